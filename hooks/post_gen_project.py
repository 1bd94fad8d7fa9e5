"""After the files are written: make the environment that was asked for, and say what comes next.

A trouble with the environment never fails this hook, for cookiecutter would then delete the project. Cookiecutter
renders this file and runs it alone, so it uses the standard library only; it is also valid Python as it stands here.
"""

import io
import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path

OLDEST_PYTHON = (3, 11)
# Left in the template's folders by whoever runs its package and tests in place.
CACHES = ("__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache")


def tidy(project: Path) -> None:
    """What cookiecutter leaves to a hook about the files; ft-template calls this where it runs no hooks."""
    remove_caches(project)
    remove_empty_folders(project)


def remove_caches(project: Path) -> None:
    """The same files come out whether or not the template has been worked on."""
    for name in CACHES:
        for cache in list(project.rglob(name)):
            shutil.rmtree(cache, ignore_errors=True)


def remove_empty_folders(project: Path) -> None:
    """Cookiecutter makes a folder also where every file in it is left out by its name."""
    if (folder := project / ".vscode").is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def make_environment(project: Path, choice: str) -> str | None:
    """Make what the answer `environment` asks for; returns a sentence if that did not work."""
    if choice == "none" or (project / ".venv").exists():
        return None
    if sys.version_info < OLDEST_PYTHON:
        return (
            f"No .venv was made: cookiecutter runs on Python {sys.version_info[0]}.{sys.version_info[1]}, and the "
            "project needs 3.11 or newer. Start setup_env.py with a newer one."
        )
    return make_empty_venv(project / ".venv") if choice == "empty" else install(project)


def make_empty_venv(folder: Path) -> str | None:
    """A .venv without pip: made in a moment, without network, and enough for PyCharm to find its interpreter."""
    try:
        venv.create(folder, symlinks=sys.platform != "win32", with_pip=False)
    except Exception as error:  # whatever went wrong, the project is worth keeping
        shutil.rmtree(folder, ignore_errors=True)
        return f"No .venv was made ({error}). Run setup_env.py in the project: it makes one."
    return None


def install(project: Path) -> str | None:
    """Run the project's own setup_env.py in view."""
    try:
        status: int | str = subprocess.run([sys.executable, "setup_env.py"], cwd=project, check=False).returncode
    except (OSError, KeyboardInterrupt) as error:
        status = type(error).__name__
    if status == 0:
        return None
    return f"The installation did not finish ({status}), the project itself is complete: run its setup_env.py again."


def steps(folder: str, environment: str) -> tuple[list[str], list[str]]:
    """What the user does now, in PyCharm and in a terminal; `environment` is what there is, not what was asked for."""
    windows = sys.platform == "win32"
    python = r".venv\Scripts\python" if windows else ".venv/bin/python"
    in_pycharm, in_terminal = [f"Open the folder {folder}"], [f"cd {folder}"]
    if environment == "empty":
        in_pycharm += ['Run "Install dependencies"    downloads PyTorch and the rest, once']
        in_terminal += [f"{'python' if windows else 'python3'} setup_env.py"]
    elif environment == "none":
        python = "python"
        in_pycharm += ["Choose your interpreter in the settings"]
        in_terminal += [f'{python} -m pip install -e ".[dev]" -c constraints.txt']
    in_pycharm += ['Run "Train (demo)"            a first model in about a minute, offline']
    in_terminal += [f"{python} -m finetune train configs/demo.yaml"]
    return in_pycharm, in_terminal


def next_steps(slug: str, environment: str) -> str:
    """The steps as they are printed."""
    indent = "\n     "
    in_pycharm, in_terminal = map(indent.join, steps(slug, environment))
    return f"\n{slug} is ready.\n\n  In PyCharm{indent}{in_pycharm}\n\n  In a terminal{indent}{in_terminal}\n"


def main() -> None:
    """Tidy, make the environment, say what comes next; never exits with an error."""
    answers = json.loads(r"""{{ cookiecutter | tojson }}""")
    project = Path.cwd()
    tidy(project)
    # cruft runs this hook in folders that it throws away, to compare them: an environment would be part of the
    # comparison. Of the two, only cookiecutter says where it writes to.
    if "_output_dir" not in answers:
        return
    # A console that cannot show a letter must not fail the hook either.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    environment = answers["environment"]
    if trouble := make_environment(project, environment):
        print(trouble)
        environment = "empty"  # to be filled by the same command
    print(next_steps(answers["project_slug"], environment))


if __name__ == "__main__":
    main()
