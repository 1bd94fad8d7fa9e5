"""Resuming: a stopped and resumed run equals an uninterrupted one to the bit, and another experiment is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import (
    TASKS,
    Project,
    assert_resumes_to_the_bit,
    build,
    save_base_model,
    stop_after,
    with_prices,
)
from rich.console import Console
from safetensors.torch import load_file, save_file

from finetune.cli import main
from finetune.config.load import load_config
from finetune.files import is_valid
from finetune.model.size import parameter_counts
from finetune.run.folder import RunFolder
from finetune.train import loop as training
from finetune.train import throughput
from finetune.train.checkpoint import load_checkpoint, newest_valid
from finetune.train.resume import with_same_choices


@pytest.mark.parametrize(("task", "stop"), [*((task, 4) for task in TASKS), (TASKS[0], 1), (TASKS[0], 5)])
def test_resume_bit_exact(task: str, stop: int, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an epoch and between two, dropout on, in the middle of a window of the log."""
    loop = {"epochs": 4, "max_steps": 7, "batch_size": 2, "log_every": 3, "patience": 9, "device": "cpu"}
    as_if_killed_in_a_line = '{"kind": "train", "step": 999}\n{"kind": "tra'
    weights = assert_resumes_to_the_bit(
        project, project.config(task, train=loop), stop, monkeypatch, logged_beyond=as_if_killed_in_a_line
    )
    head = {"best/standardized_head.safetensors"} if task == "regression" else set()
    saved = {f"checkpoints/step-7/{name}.safetensors" for name in ("model", "trainer")}
    assert weights == {"best/model.safetensors"} | saved | head


def test_resume_bit_exact_with_windows(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of which some examples have several, with dropout on."""
    loop = {"epochs": 4, "max_steps": 7, "batch_size": 2, "device": "cpu"}
    path = project.config("text-classification", train=loop, model={"max_length": 8, "overflow": "windows"})
    assert_resumes_to_the_bit(project, path, 4, monkeypatch)


def test_resume_bit_exact_with_tabular_features(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with_prices(project, "regression")
    loop = {"epochs": 4, "max_steps": 7, "batch_size": 2, "device": "cpu"}
    path = project.config("regression", train=loop, data={"features": {"price": "number", "brand": "category"}})
    assert_resumes_to_the_bit(project, path, 4, monkeypatch)


def test_rates_after_a_resume_are_those_of_the_steps(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step takes a second, a validation and a checkpoint a minute each; the run is stopped between two lines."""
    clock = [0.0]
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: clock[0])
    for name, seconds in ("optimizer_step", 1), ("validate", 60), ("save_checkpoint", 60):
        monkeypatch.setattr(training, name, taking(seconds, clock, getattr(training, name)))
    loop = {"max_steps": 6, "batch_size": 5, "log_every": 3, "eval_every": 2}
    assert_resumes_to_the_bit(project, project.config("text-classification", train=loop), 5, monkeypatch)
    for run in ("whole", "cut"):
        rates = [line["examples_per_second"] for line in project.metrics(run) if line["kind"] == "train"]
        assert rates == [5, 5], run


def taking(seconds: float, clock: list[float], work: Callable[..., Any]) -> Callable[..., Any]:
    """`work`, which moves the clock on."""

    def timed(*arguments: Any, **options: Any) -> Any:
        clock[0] += seconds
        return work(*arguments, **options)

    return timed


def test_a_resumed_run_keeps_its_metric(project: Project, finished: Callable[[str], None]) -> None:
    """Earlier versions chose by the main metric, and did not record it."""
    finished("text-classification")
    run = RunFolder(Path("runs/config"))
    config = run.config()
    assert config.train.metric is None
    assert with_same_choices(run, config).train.metric == "f1_macro"
    environment = json.loads(run.environment_file.read_text())
    del environment["metric"]
    run.environment_file.write_text(json.dumps(environment))
    assert with_same_choices(run, config).train.metric == "accuracy"


def test_resume_refuses_another_experiment(
    project: Project, finished: Callable[[str], None], refused: Callable[..., str]
) -> None:
    path = project.config("text-classification")
    assert "there is no such run to resume" in refused("train", path, "--resume")
    finished("text-classification")
    assert "optim.lr was 0.001 when the run was started and is 0.5 now" in refused(
        "train", path, "optim.lr=0.5", "--resume"
    )
    train_file = project.folder / "train.jsonl"
    train_file.write_text(train_file.read_text() + '{"text": "new", "label": "good"}\n')
    assert "train.jsonl: the file has changed since" in refused("train", path, "--resume")


def interrupted_lora(project: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The config of a LoRA run on a local base model, which was stopped after its first step."""
    path = project.config(
        "text-classification",
        model=save_base_model(project, "text-classification"),
        method={"type": "lora"},
        train={"max_steps": 3, "device": "cpu"},
    )
    with monkeypatch.context() as patched:
        stop_after(1, patched)
        assert not training.train(load_config(path), console=Console(quiet=True))
    return path


def test_a_checkpoint_holds_what_is_trained(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained weights, two values of AdamW for each, and random states; nothing that grows with the base model."""
    path = interrupted_lora(project, monkeypatch)
    trainable, total = parameter_counts(build(load_config(path)).model)
    files = {file.name: file.stat().st_size for file in Path("runs/config/checkpoints/step-1").iterdir()}
    trainer = {"trainer.json", "trainer.safetensors"}
    assert files.keys() == {"base.json", "manifest.json", "model.safetensors", "progress.json", *trainer}
    assert 3 * 4 * trainable < sum(files.values()) < 3 * 4 * trainable + 100_000 < 4 * total


def test_another_base_model_is_refused(
    project: Project, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]
) -> None:
    path = interrupted_lora(project, monkeypatch)
    weights = load_file("base/model.safetensors")
    weights["encoder.layer.0.output.dense.weight"][3, 4] += 1e-3
    save_file(weights, "base/model.safetensors", metadata={"format": "pt"})
    assert refused("train", path, "--resume") == (
        "runs/config/checkpoints/step-1: holds what was learnt on top of the model 'base', which has changed since: "
        "put it back, or start without --resume"
    )
    assert is_valid(Path("runs/config/checkpoints/step-1"))


def test_a_checkpoint_of_an_earlier_version_has_all_weights(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are taken from it, whatever the base model is now."""
    path = interrupted_lora(project, monkeypatch)
    folder = Path("runs/config/checkpoints/step-1")
    model = build(load_config(path)).model
    trained = load_file(folder / "model.safetensors")
    whole = {name: trained.get(name, tensor + 1) for name, tensor in model.state_dict().items()}
    (folder / "base.json").unlink()
    save_file(whole, folder / "model.safetensors")
    load_checkpoint(folder, parts := build(load_config(path)))
    for name, tensor in parts.model.state_dict().items():
        assert torch.equal(tensor, whole[name]), name


def test_a_model_of_the_hub_is_resumed_at_its_commit(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its branch may have moved on."""
    path = interrupted_lora(project, monkeypatch)
    run = RunFolder(Path("runs/config"))
    assert run.environment()["revision"] is None  # a folder
    environment = run.environment() | {"revision": "a" * 40}
    run.environment_file.write_text(json.dumps(environment))
    assert with_same_choices(run, load_config(path)).model.revision == "a" * 40


def test_resume_of_a_finished_run_says_so(
    project: Project, finished: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    finished("text-classification")
    assert main(["train", str(project.config("text-classification")), "--resume"]) == 0
    assert "has already ended, at step 6" in capsys.readouterr().out


def test_a_run_of_the_same_name_is_moved_aside(project: Project) -> None:
    path = project.config("text-classification", train={"max_steps": 1})
    for _ in range(3):
        project.train(path)
    assert sorted(p.name for p in Path("runs").glob("[!.]*") if p.is_dir()) == ["config", "config-1", "config-2"]


def test_two_trainings_do_not_share_a_folder(project: Project, refused: Callable[..., str]) -> None:
    with RunFolder(Path("runs/config")).claimed():
        assert "another training is writing here" in refused("train", project.config("text-classification"))


def test_a_damaged_checkpoint_is_passed_over(project: Project) -> None:
    steps = {"max_steps": 2, "eval_every": 1, "keep_checkpoints": 2}
    project.train(project.config("text-classification", train=steps))
    older, newest = (Path(f"runs/config/checkpoints/step-{step}") for step in (1, 2))
    weights = newest / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    found, damaged = newest_valid(newest.parent)
    assert (found, [*damaged]) == (older, [newest])


def test_other_versions_of_packages_are_reported(
    project: Project, finished: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    finished("text-classification")
    file = Path("runs/config/environment.json")
    environment = json.loads(file.read_text())
    now, environment["packages"]["torch"] = environment["packages"]["torch"], "1.2.3"
    file.write_text(json.dumps(environment))
    assert main(["train", str(project.config("text-classification")), "--resume"]) == 0
    assert f"torch was 1.2.3 at the start and is {now} now" in " ".join(capsys.readouterr().out.split())
