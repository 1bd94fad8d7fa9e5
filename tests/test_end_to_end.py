"""The whole path of a newcomer, for real: answers, empty environment, installation, training, evaluation, the tests."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ft_template.create.bake import bake


def run(project: Path, *arguments: str) -> str:
    """Run the project's own Python in the project, as PyCharm does; returns what it printed."""
    python = project / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    ours = ("VIRTUAL_ENV", "PYTHONPATH", "PYTEST_ADDOPTS", "COVERAGE_PROCESS_START")
    variables = {name: value for name, value in os.environ.items() if name not in ours}
    tools = os.path.join(sys.prefix, "Scripts" if os.name == "nt" else "bin")  # uv is there already
    result = subprocess.run(
        [str(python), *arguments],
        cwd=project,
        env={**variables, "PATH": tools + os.pathsep + os.environ["PATH"], "PYTHONIOENCODING": "utf-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=3600,  # only what hangs takes so long
        check=False,
    )
    print(result.stdout)  # pytest shows it where this fails
    assert result.returncode == 0, f"{' '.join(arguments)} ended with {result.returncode}"
    assert "Traceback" not in result.stdout
    return result.stdout


@pytest.fixture(scope="module")
def project(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default answers, in a folder whose name has a space, an apostrophe and letters beyond ASCII."""
    return bake(tmp_path_factory.mktemp("whole path") / "o'neil's täst 日本", template=repository)


def test_from_answers_to_an_evaluated_model(project: Path) -> None:
    # "Install dependencies": the empty environment of the post hook installs into itself.
    assert "Ready in" in run(project, "setup_env.py")
    assert "nothing to do" in run(project, "setup_env.py")

    # "Train (demo)", cut short.
    run(project, "-m", "finetune", "train", "configs/demo.yaml", "train.max_steps=3")
    demo = project / "runs" / "demo"
    steps = [json.loads(line) for line in (demo / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert max(step.get("step", 0) for step in steps) == 3
    assert list((demo / "best").glob("*.safetensors"))

    # "Evaluate".
    run(project, "-m", "finetune", "evaluate", "latest", "--split", "test")
    assert json.loads((demo / "evaluation-test.json").read_text(encoding="utf-8"))
    assert (demo / "report" / "index.html").stat().st_size > 10_000

    # "Doctor" and "All tests".
    run(project, "-m", "finetune", "doctor")
    assert " passed" in run(project, "-m", "pytest", "-q", "-n", "auto", "--dist", "loadfile")
