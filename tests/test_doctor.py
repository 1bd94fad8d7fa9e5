"""`ft-template doctor`: the facts of a machine, and what follows from them."""

import json
import os
import platform
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import TASKS
from front_end import ft_template
from ft_template.answers import suggest
from ft_template.answers.complete import resolve
from ft_template.create.bake import REPOSITORY
from ft_template.system import doctor, machine
from ft_template.system.machine import GB, Gpu, Machine, inspect_machine, query_gpus
from ft_template.template import bundled

H100 = Gpu("NVIDIA H100 80GB HBM3", 85 * GB, "550.54.15")
GOOD = Machine(
    system="Linux 6.1 x86_64",
    python="3.12.4",
    executable="/usr/bin/python3",
    venv=True,
    git="2.39.5",
    uv="0.9.1",
    gpus=(H100,),
    gpu_trouble=None,
    memory=64 * GB,
    memory_available=60 * GB,
    disk=500 * GB,
)


def levels(found: Machine) -> dict[str, str]:
    return {finding.id: finding.level for finding in doctor.diagnose(found)}


def test_nothing_is_wrong_with_a_good_machine() -> None:
    assert set(levels(GOOD).values()) == {"ok"}
    assert set(levels(GOOD)) == {"python", "git", "uv", "gpu", "driver", "memory", "disk"}


@pytest.mark.parametrize(
    ("change", "finding", "level"),
    [
        ({"venv": False}, "python", "error"),
        ({"git": None}, "git", "warning"),
        ({"uv": None}, "uv", "info"),
        ({"gpus": ()}, "gpu", "info"),
        ({"gpus": (), "gpu_trouble": "No devices were found"}, "gpu", "warning"),
        ({"gpus": (replace(H100, driver="470.1"),)}, "driver", "warning"),
        ({"memory_available": 1 * GB}, "memory", "warning"),
        ({"disk": 5 * GB}, "disk", "warning"),
        ({"disk": GB // 20}, "disk", "error"),
    ],
)
def test_each_fault_has_its_level_and_its_remedy(change: dict[str, object], finding: str, level: str) -> None:
    found = replace(GOOD, **change)  # type: ignore[arg-type]
    (fault,) = [each for each in doctor.diagnose(found) if each.id == finding]

    assert fault.level == level
    assert (fault.remedy is not None) == (level in ("warning", "error"))
    assert {each for name, each in levels(found).items() if name != finding} == {"ok"}


def fake_driver(folder: Path, script: str) -> None:
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "nvidia-smi").chmod(0o755)


def test_the_driver_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    fake_driver(tmp_path, "echo 'NVIDIA H100, 81559, 550.54.15'; echo 'NVIDIA GB10, [N/A], 580.1'")

    assert query_gpus() == (
        (Gpu("NVIDIA H100", 81559 * 2**20, "550.54.15"), Gpu("NVIDIA GB10", None, "580.1")),
        None,
    )


def test_a_driver_that_does_not_answer_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    fake_driver(tmp_path, "echo 'NVIDIA-SMI has failed because it could not talk to the driver.'; exit 9")

    assert query_gpus() == ((), "NVIDIA-SMI has failed because it could not talk to the driver.")


def test_this_machine(tmp_path: Path) -> None:
    found = inspect_machine(tmp_path / "not" / "there")

    assert found.python == platform.python_version()
    assert found.disk == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.05)
    assert found.memory >= found.memory_available > 0
    assert found.git is not None
    assert found.git[0].isdigit()


def test_the_command(tmp_path: Path) -> None:
    run = ft_template("doctor", "--json", cwd=tmp_path)
    document = json.loads(run.stdout)
    failed = any(finding["level"] == "error" for finding in document["findings"])
    lines = ft_template("doctor", cwd=tmp_path).stdout.splitlines()

    assert run.returncode == (1 if failed else 0)
    assert set(document) == {"protocol", "version", "machine", "findings"}
    assert set(document["machine"]) == set(Machine.__dataclass_fields__)
    assert len(lines) == len(document["findings"])


def test_an_error_is_an_exit_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from ft_template.cli import main

    monkeypatch.setattr(machine, "inspect_machine", lambda folder: replace(GOOD, venv=False))
    assert main(["doctor"]) == 1
    assert "python3-venv" in capsys.readouterr().out
    monkeypatch.setattr(machine, "inspect_machine", lambda folder: replace(GOOD, git=None))
    assert main(["doctor"]) == 0


# --- what fits the machine --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("task", TASKS)
def test_every_model_that_is_proposed_has_a_size(task: str, language: str) -> None:
    model = str(resolve(bundled(), {"task": task, "language": language})["base_model"])

    assert suggest.method(GOOD, model) is not None


def test_every_text_names_the_same_memory_of_bert_base() -> None:
    """Weights, gradients and optimizer state; the weights alone, which are also what is downloaded."""
    full = machine.format_size(suggest.memory(suggest.BERT_BASE, suggest.BERT_BASE))
    weights = machine.format_size(suggest.memory(suggest.BERT_BASE, 0))
    pages = ["cookiecutter.json", "README.md", "README.zh-CN.md", "docs/from-zero.md", "docs/from-zero.zh-CN.md"]
    others = {*REPOSITORY.glob("docs/*.md"), REPOSITORY / "template/README.md"} - {REPOSITORY / page for page in pages}
    for path in (*(REPOSITORY / page for page in pages), *others):
        figures = re.findall(r"BERT base\D{0,60}?(\d[\d.]* GB)", path.read_text(encoding="utf-8"))
        assert set(figures) <= {full, weights}, path
        assert full in figures or path in others, path
    for model in ("google-bert/bert-base-uncased", "google-bert/bert-base-cased", "google-bert/bert-base-chinese"):
        suggestion = suggest.method(GOOD, model)
        assert suggestion is not None
        assert f"needs about {full}, plus activations" in suggestion.reason


@pytest.mark.parametrize(
    ("memory", "model", "choice"),
    [
        (80 * GB, "Qwen/Qwen2.5-0.5B-Instruct", "full"),
        (8 * GB, "Qwen/Qwen2.5-0.5B-Instruct", "lora"),
        (8 * GB, "google-bert/bert-base-cased", "full"),
        (2 * GB, "google-bert/bert-base-cased", "lora"),
    ],
)
def test_the_method_follows_from_the_memory(memory: int, model: str, choice: str) -> None:
    suggestion = suggest.method(replace(GOOD, gpus=(replace(H100, memory=memory),)), model)

    assert suggestion is not None
    assert suggestion.choice == choice
    assert machine.format_size(memory) in suggestion.reason


def test_other_suggestions_say_why() -> None:
    without = replace(GOOD, gpus=())
    broken = replace(without, gpu_trouble="No devices were found")

    assert suggest.accelerator(GOOD).choice == suggest.accelerator(without).choice == "auto"
    assert "85 GB" in suggest.accelerator(GOOD).reason
    assert suggest.accelerator(broken).choice == "cpu"
    assert suggest.method(GOOD, "someone/unknown") is None
    assert "too little" in suggest.environment(replace(GOOD, disk=GB)).reason
    assert "enough" in suggest.environment(GOOD).reason
