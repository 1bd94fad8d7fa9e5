"""Path macros such as $PROJECT_DIR$, which PyCharm expands in every attribute and text of its files."""

import re
from pathlib import Path

MACRO = re.compile(r"\$([A-Za-z_]+)\$")


def expand(text: str, project_dir: Path, module_dir: Path) -> str:
    """Expand the macros that a shared file may use; others are left unchanged."""
    known = {"PROJECT_DIR": project_dir, "MODULE_DIR": module_dir, "USER_HOME": Path.home()}
    return MACRO.sub(lambda found: known[found[1]].as_posix() if found[1] in known else found[0], text)


def unknown(text: str) -> list[str]:
    """The macros in a text that a shared file may not use."""
    return [found[0] for found in MACRO.finditer(text) if found[1] not in ("PROJECT_DIR", "MODULE_DIR", "USER_HOME")]
