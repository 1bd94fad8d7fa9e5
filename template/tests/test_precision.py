"""Mixed precision: what `train.precision: auto` chooses, by a probe with a fake timer, and that a run keeps it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Project, stop_after
from rich.console import Console
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.pytorch_utils import Conv1D

from finetune.config.load import load_config
from finetune.distributed.world import World
from finetune.model import device, precision
from finetune.model.precision import bf16_is_faster, inference_precision, training_precision
from finetune.run.saved_model import load_saved_model
from finetune.train import build, loop

CPU = torch.device("cpu")


class Timer:
    """Stands in for the probe's timing of one layer: fp32 takes 1 s, bf16 what the test says."""

    def __init__(self) -> None:
        self.bf16: dict[tuple[int, int], list[float]] = {}
        self.timed: list[tuple[int, int]] = []

    def __call__(self, inputs: int, outputs: int, number_format: str) -> float:
        self.timed.append((inputs, outputs))
        return self.bf16[inputs, outputs].pop(0) if number_format == "bf16" else 1.0


@pytest.fixture
def timer(monkeypatch: pytest.MonkeyPatch) -> Timer:
    """A CPU with instructions for bf16, whose probe times nothing."""
    timer = Timer()
    monkeypatch.setattr(precision, "has_bf16", lambda device: True)
    monkeypatch.setattr(precision, "_seconds", timer)
    precision._probe.cache_clear()
    return timer


def layers(*shapes: tuple[int, int]) -> nn.Sequential:
    with torch.device("meta"):
        return nn.Sequential(*(nn.Linear(*shape) for shape in shapes))


@pytest.mark.parametrize(("seconds", "chosen"), [([9.0, 0.79, 9.0], True), ([0.81, 0.9, 9.0], False)])
def test_the_best_of_several_runs_must_be_clearly_faster(seconds: list[float], chosen: bool, timer: Timer) -> None:
    timer.bf16[384, 512] = seconds
    model = layers(*[(384, 1536)] * 4)
    assert (training_precision("auto", lambda: model, CPU) == "bf16") is chosen
    assert timer.timed == [(384, 512)] * 6, "wide layers are timed at width 512"
    assert (training_precision("auto", lambda: model, CPU) == "bf16") is chosen
    assert len(timer.timed) == 6, "the next stage of the same process is not timed again"


@pytest.mark.parametrize(("many", "chosen"), [((512, 512), True), ((256, 512), False)])
def test_layers_count_as_often_as_the_model_has_them(many: tuple[int, int], chosen: bool, timer: Timer) -> None:
    """bf16 takes 0.5 of the time in one shape and 1.2 in the other; the model has 21 layers of one, 1 of the other."""
    timer.bf16 = {(512, 512): [0.5] * 3, (256, 512): [1.2] * 3}
    assert bf16_is_faster(layers(*[many] * 20, (512, 512), (256, 512))) is chosen


def test_the_shapes_of_gpt2_are_the_right_way_round(timer: Timer) -> None:
    timer.bf16[300, 400] = [0.5] * 3
    assert bf16_is_faster(nn.Sequential(*(Conv1D(400, 300) for _ in range(20))))


def test_small_models_are_not_timed(timer: Timer) -> None:
    assert training_precision("auto", lambda: layers((384, 1536), (1536, 384)), CPU) == "fp32"
    assert not timer.timed


def test_what_needs_no_probe(timer: Timer, monkeypatch: pytest.MonkeyPatch) -> None:
    large = layers((4096, 4096))
    assert training_precision("bf16", lambda: large, CPU) == "bf16"
    assert training_precision("fp32", lambda: large, CPU) == "fp32"
    assert training_precision("auto", lambda: large, torch.device("cuda")) == "bf16"
    monkeypatch.setattr(precision, "has_bf16", lambda device: False)
    assert training_precision("bf16", lambda: large, CPU) == "bf16"
    assert training_precision("auto", lambda: large, CPU) == "fp32"
    for capability, expected in (((6, 1), "fp32"), ((7, 0), "fp16"), ((7, 5), "fp16")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, found=capability: found)
        assert training_precision("auto", lambda: large, torch.device("cuda")) == expected
    assert not timer.timed


def test_inference_takes_the_precision_of_the_training(timer: Timer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [inference_precision("auto", trained, CPU) for trained in ("bf16", "fp32")] == ["bf16", "fp32"]
    assert inference_precision("bf16", "fp32", CPU) == "bf16"
    assert inference_precision("fp32", "bf16", CPU) == "fp32"
    monkeypatch.setattr(precision, "has_bf16", lambda device: False)
    assert inference_precision("auto", "bf16", CPU) == "fp32"
    for wanted, trained in (("auto", "fp16"), ("fp16", "fp32")):
        assert inference_precision(wanted, trained, torch.device("cuda")) == "fp16"
        assert inference_precision(wanted, trained, CPU) == "fp32"
    assert not timer.timed


class Operations(TorchDispatchMode):
    """Counts matrix products and casts."""

    count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += function in (torch.ops.aten.mm.default, torch.ops.aten._to_copy.default)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(("number_format", "count"), [("fp32", 3), ("bf16", 7)])
def test_the_probe_times_both_passes_and_the_casts(
    number_format: device.Precision, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One product forward and two backward; bf16 casts the input and the weight, and their gradients back."""
    with Operations() as done:
        monkeypatch.setattr(precision, "clock", lambda: done.count)
        assert precision._seconds(8, 4, number_format) == count


def test_the_probe_leaves_random_numbers_and_threads_as_they_are() -> None:
    model = layers((8, precision.SMALL_MODEL // 8))
    random, threads = torch.get_rng_state(), torch.get_num_threads()
    precision._probe.cache_clear()
    bf16_is_faster(model)
    assert precision._probe.cache_info().currsize == 1
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.get_num_threads() == threads


def test_a_run_keeps_its_precision(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe says bf16 at the start and fp32 later: resume, validation and evaluation stay with bf16."""
    path = project.config("text-classification", train={"max_steps": 4, "epochs": 4, "eval_every": 2})
    with monkeypatch.context() as patch:
        patch.setattr(build, "training_precision", lambda wanted, model, device: "bf16")
        stop_after(2, patch)
        assert not loop.train(load_config(path), console=Console(quiet=True))
    assert json.loads(Path("runs/config/environment.json").read_text())["precision"] == "bf16"
    assert json.loads(Path("runs/config/config.json").read_text())["train"]["precision"] == "auto"
    used = []
    fit = loop.fit

    def note_precision(config: Any, run: Any, setup: Any, *others: Any) -> bool:
        used.append(setup.precision)
        return fit(config, run, setup, *others)

    monkeypatch.setattr(loop, "fit", note_precision)
    assert loop.train(load_config(path), resume=True, console=Console(quiet=True))
    assert used == ["bf16"]
    assert load_saved_model(Path("runs/config/best")).precision == "bf16"


def test_fp32_is_kept_too(project: Project) -> None:
    project.train(project.config("text-classification", train={"max_steps": 1, "device": "cpu"}))
    assert json.loads(Path("runs/config/environment.json").read_text())["precision"] == "fp32"
    assert load_saved_model(Path("runs/config/best")).precision == "fp32"


def test_one_rank_decides_for_all(project: Project) -> None:
    class OtherRank(World):
        def on_main(self, work: Any) -> Any:
            return "bf16"  # what the first rank has found

    config = load_config(project.config("text-classification"))
    assert build.build(config, OtherRank()).precision == "bf16"


@pytest.mark.parametrize("names", [["_is_avx512_bf16_supported"], ["_is_amx_tile_supported"], []])
def test_a_cpu_has_bf16_by_either_instruction_set(names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda name=name: name in names)
    assert device.has_bf16(torch.device("cpu")) == bool(names)


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_a_gpu_has_bf16_from_ampere_on(
    capability: tuple[int, int], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert device.has_bf16(torch.device("cuda")) is expected
