"""Packages that a command needs, and the environment may lack: those of an extra, or of a newer version."""

from importlib.util import find_spec

from .errors import UserError


def require_packages(what: str, *modules: str) -> None:
    """Raise UserError if a module cannot be imported; `what` needs it. Packages are named like their modules."""
    if missing := [_package(module) for module in modules if find_spec(module) is None]:
        wanted = " ".join(map(_package, modules))
        raise UserError(f"{what}: needs {' and '.join(missing)}: pip install -c constraints.txt {wanted}")


def _package(module: str) -> str:
    return module.replace("_", "-")
