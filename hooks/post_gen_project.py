"""Runs after generation: create the Python environment and print the next steps.

An error with the environment never fails this hook, because cookiecutter would then delete the project. Cookiecutter
renders this file and runs it alone, so it uses the standard library only; unrendered it is valid Python, too.
"""

import io
import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path

OLDEST_PYTHON = (3, 11)
# Appear in the template's folders when its package or tests are run in place.
CACHES = ("__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache")

# Folders in which every file may be excluded by an answer.
OPTIONAL_FOLDERS = (".vscode", "data", "deploy", "notebooks", "pipelines")


def clean_up(project: Path) -> None:
    """Remove caches and empty folders that cookiecutter copied; `ft-template new`, which runs no hooks, calls it."""
    remove_caches(project)
    remove_empty_folders(project)


def remove_caches(project: Path) -> None:
    """The generated files must not depend on whether the template has been run in place."""
    for name in CACHES:
        for cache in list(project.rglob(name)):
            shutil.rmtree(cache, ignore_errors=True)


def remove_empty_folders(project: Path) -> None:
    """Cookiecutter creates a folder even if the conditional names exclude every file in it."""
    for top in map(project.joinpath, OPTIONAL_FOLDERS):
        folders = [path for path in (top, *top.rglob("*")) if path.is_dir()]
        for folder in sorted(folders, reverse=True):  # the inner ones first
            if not any(folder.iterdir()):
                folder.rmdir()


def create_environment(project: Path, choice: str) -> str | None:
    """Create the environment for the answer `environment`; returns an error message if that fails."""
    if choice == "none" or (project / ".venv").exists():
        return None
    if sys.version_info < OLDEST_PYTHON:
        return (
            f"No .venv was created: this is Python {sys.version_info[0]}.{sys.version_info[1]}, and the project needs "
            "3.11 or newer. Run the project's setup_env.py with a newer Python."
        )
    return create_empty_venv(project / ".venv") if choice == "empty" else install(project)


def create_empty_venv(folder: Path) -> str | None:
    """Create a .venv without pip: takes a moment, needs no network, and lets PyCharm find its interpreter."""
    try:
        venv.create(folder, symlinks=sys.platform != "win32", with_pip=False)
    except Exception as error:  # whatever it is, the project must be kept
        shutil.rmtree(folder, ignore_errors=True)
        return f"No .venv was created ({error}). Run the project's setup_env.py, which creates it."
    return None


def install(project: Path) -> str | None:
    """Run the project's setup_env.py with its output visible."""
    try:
        status: int | str = subprocess.run([sys.executable, "setup_env.py"], cwd=project, check=False).returncode
    except (OSError, KeyboardInterrupt) as error:
        status = type(error).__name__
    if status == 0:
        return None
    return f"The installation did not finish ({status}); the project is complete: run its setup_env.py again."


def next_steps(folder: str, environment: str) -> tuple[list[str], list[str]]:
    """The next steps in PyCharm and in a terminal; `environment` is the existing one, not the requested one."""
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


def next_steps_text(slug: str, environment: str) -> str:
    """The next steps as printed text."""
    indent = "\n     "
    in_pycharm, in_terminal = map(indent.join, next_steps(slug, environment))
    return f"\n{slug} is ready.\n\n  In PyCharm{indent}{in_pycharm}\n\n  In a terminal{indent}{in_terminal}\n"


def main() -> None:
    """Clean up, create the environment, print the next steps; never exits with an error."""
    answers = json.loads(r"""{{ cookiecutter | tojson }}""")
    project = Path.cwd()
    clean_up(project)
    # cruft runs this hook in temporary folders that it compares: an environment would be part of the comparison.
    # Only cookiecutter, not cruft, passes the output folder.
    if "_output_dir" not in answers:
        return
    # A character that the console cannot encode must not fail the hook.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    environment = answers["environment"]
    if error := create_environment(project, environment):
        print(error)
        environment = "empty"  # the next step is the same: run setup_env.py
    print(next_steps_text(answers["project_slug"], environment))


if __name__ == "__main__":
    main()
