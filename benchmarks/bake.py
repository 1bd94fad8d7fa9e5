"""What cookiecutter costs beyond the rendering itself: time of a bake, and of plain jinja2 on the same files.

python benchmarks/bake.py [ROUNDS]
"""

import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]

# Everything that any renderer must do: start Python, read the template, render it, write the project.
PLAIN_JINJA = """
import json, pathlib, sys
from fnmatch import fnmatch
from jinja2 import Environment, StrictUndefined
from slugify import slugify

template, output = map(pathlib.Path, sys.argv[1:])
environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
environment.filters["slugify"] = slugify
answers = {}
questions = json.loads((template.parent / "cookiecutter.json").read_text(encoding="utf-8"))
for name, value in questions.items():
    if isinstance(value, (str, list)) and (name.startswith("__") or not name.startswith("_")):
        default = value[0] if isinstance(value, list) else value
        answers[name] = environment.from_string(default).render(cookiecutter=answers)
for path in sorted(template.rglob("*")):
    name = path.relative_to(template).as_posix()
    rendered = environment.from_string(name).render(cookiecutter=answers)
    target = output / "my-project" / rendered
    if path.is_file() and rendered and not rendered.endswith("/"):  # a name that renders to nothing is left out
        target.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes()
        if not any(fnmatch(name, pattern) for pattern in questions["_copy_without_render"]):
            content = environment.from_string(content.decode()).render(cookiecutter=answers).encode()
        target.write_bytes(content)
"""


COOKIECUTTER = [sys.executable, "-m", "cookiecutter", ".", "--no-input", "--default-config", "--output-dir"]

# The output folder is appended to what comes before the flags.
CONTENDERS: dict[str, tuple[list[str], list[str]]] = {
    "plain jinja2": ([sys.executable, "-c", PLAIN_JINJA, "template"], []),
    "cookiecutter, no hooks": (COOKIECUTTER, ["--accept-hooks", "no"]),
    "cookiecutter, environment=none": (COOKIECUTTER, ["environment=none"]),
    "cookiecutter, environment=empty": (COOKIECUTTER, []),
}


def clean_copy(folder: Path) -> Path:
    """The repository as it is fetched, without what work in it leaves behind."""
    copy = folder / "ft-template"
    traces = shutil.ignore_patterns("__pycache__", "*_cache", "runs")
    for name in ("template", "hooks"):
        shutil.copytree(REPOSITORY / name, copy / name, ignore=traces)
    shutil.copy(REPOSITORY / "cookiecutter.json", copy)
    (copy / "{{cookiecutter.project_slug}}").symlink_to("template", target_is_directory=True)
    return copy


def run(name: str, repository: Path, output: Path) -> float:
    """Seconds that one contender takes to fill an empty folder."""
    command, flags = CONTENDERS[name]
    start = time.perf_counter()
    subprocess.run([*command, str(output), *flags], cwd=repository, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def result(name: str, repository: Path) -> dict[Path, bytes]:
    """The files that a contender makes."""
    with tempfile.TemporaryDirectory() as folder:
        run(name, repository, Path(folder))
        project = Path(folder, "my-project")
        return {path.relative_to(project): path.read_bytes() for path in project.rglob("*") if path.is_file()}


def measure(rounds: int, repository: Path) -> dict[str, list[float]]:
    """Interleave the contenders, so that a busy moment of the machine hits all of them."""
    times: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(rounds):
        for name, taken in times.items():
            with tempfile.TemporaryDirectory() as folder:
                taken.append(run(name, repository, Path(folder)))
    return times


def main(rounds: int) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        repository = clean_copy(Path(folder))
        if result("plain jinja2", repository) != result("cookiecutter, environment=none", repository):
            sys.exit("plain jinja2 and cookiecutter made different files: the comparison would mean nothing.")
        times = measure(rounds, repository)
    print(f"{platform.platform()}, {platform.machine()}, Python {platform.python_version()},", end=" ")
    print(f"cookiecutter {version('cookiecutter')}, jinja2 {version('jinja2')}; {rounds} rounds\n")
    print("| | median s | min s | of plain jinja2 |\n| --- | --- | --- | --- |")
    base = statistics.median(times["plain jinja2"])
    for name, taken in times.items():
        median = statistics.median(taken)
        print(f"| {name} | {median:.2f} | {min(taken):.2f} | {median / base:.1f} x |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 11)
