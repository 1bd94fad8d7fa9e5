"""AdamW with 8-bit state: refused in a sentence where it cannot run; with bitsandbytes, exact in what it saves.

bitsandbytes computes it on a CPU as well, which the tests use; paged memory needs a GPU.
"""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import Project, assert_resumes_to_the_bit, build

from finetune import packages
from finetune.config.config import Optim
from finetune.config.load import load_config
from finetune.errors import UserError
from finetune.train import build as setting_up
from finetune.train import loop as training
from finetune.train.optim import make_optimizer, page_state, require_optimizer, state_bytes
from finetune.train.state_file import load_state

NAMES = ["adamw8bit", "paged_adamw8bit"]
needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="pip install bitsandbytes, which is optional"
)


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is for GPUs run on this CPU."""
    monkeypatch.setattr(setting_up, "require_optimizer", lambda *_: None)


@pytest.mark.parametrize("name", NAMES)
def test_refused_without_a_gpu_before_anything_is_read(
    name: str, project: Project, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]
) -> None:
    monkeypatch.setattr(setting_up, "Examples", lambda *_: pytest.fail("read the data first"))
    said = refused("train", project.config("text-classification"), f"optim.name={name}", "train.device=cpu")
    assert said == f"optim.name: {name} keeps its state on a CUDA GPU, not on 'cpu': use adamw"


def test_refused_without_bitsandbytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"^optim\.name: needs bitsandbytes: pip install -c constraints.txt"):
        require_optimizer(Optim(name="adamw8bit"), torch.device("cuda"))
    require_optimizer(Optim(), torch.device("cpu"))


def test_refused_with_sharding(project: Project, refused: Callable[..., str]) -> None:
    path = project.config("text-classification", optim={"name": "adamw8bit"}, train={"parallel": "fsdp"})
    assert "train.parallel is fsdp, but optim.name is adamw8bit, which needs unsharded weights: set it to ddp" in (
        refused("train", path)
    )


@pytest.mark.parametrize("name", NAMES)
def test_what_bitsandbytes_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a stub; the manager is one of this optimizer alone."""
    told: dict[str, Any] = {}

    class Manager:
        def initialize(self) -> None:
            told["managers"] = [*told.get("managers", []), self]

        def override_config(self, *arguments: Any) -> None:
            told["overridden"] = arguments

        def register_parameters(self, groups: Any) -> None:
            told["registered"] = groups

    class AdamW8bit(torch.optim.SGD):
        def __init__(self, groups: Any, **options: Any) -> None:
            super().__init__(groups, lr=options["lr"])
            told.update(options)

    stub = SimpleNamespace(AdamW8bit=AdamW8bit, GlobalOptimManager=Manager)
    monkeypatch.setitem(sys.modules, "bitsandbytes", SimpleNamespace(optim=stub))
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", stub)
    model = torch.nn.Sequential(torch.nn.Embedding(9, 4), torch.nn.Linear(4, 2))
    optimizer: Any = make_optimizer(Optim(name=name, lr=0.1, beta1=0.5, beta2=0.75, eps=0.25), model)
    assert (told["lr"], told["betas"], told["eps"]) == (0.1, (0.5, 0.75), 0.25)
    assert told["is_paged"] == (name == "paged_adamw8bit")
    assert told["overridden"][0][0] is model[0].weight
    assert told["overridden"][1:] == ("optim_bits", 32)
    assert told["registered"] is optimizer.param_groups
    assert [optimizer.mng] == told["managers"]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.01, 0.0]


def settings(project: Project, name: str = "adamw8bit") -> Path:
    loop = {"epochs": 9, "max_steps": 6, "batch_size": 2, "eval_every": 3, "device": "cpu"}
    return project.config("text-classification", train=loop, optim={"name": name, "lr": 1e-3, "warmup": 0})


@needs_bitsandbytes
@pytest.mark.usefixtures("on_cpu")
def test_state_is_as_large_as_the_memory_says(project: Project) -> None:
    """8 bits with a scale for each block, but fp32 for embeddings and small parameters."""
    config = load_config(settings(project))
    setup = build(config)
    training.optimizer_step(config, setup, range(2))
    names = {parameter: name for name, parameter in setup.model.named_parameters()}
    total = 0
    for parameter, state in setup.optimizer.state.items():
        in_8_bits = parameter.numel() >= 4096 and "embeddings.weight" not in names[parameter]
        assert (state["state1"].dtype == torch.uint8) == in_8_bits, names[parameter]
        total += sum(state[key].nbytes for key in ("state1", "state2", "absmax1", "absmax2") if key in state)
    assert total == state_bytes(config.optim, setup.model)
    assert total < 0.5 * state_bytes(Optim(), setup.model)


@needs_bitsandbytes
@pytest.mark.usefixtures("on_cpu")
@pytest.mark.filterwarnings("ignore:Paged optimizers are not supported on CPU")
@pytest.mark.parametrize("name", NAMES)
def test_resume_bit_exact(name: str, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_resumes_to_the_bit(project, settings(project, name), 4, monkeypatch)
    whole, cut = (load_state(Path(f"runs/{run}/checkpoints/step-6/trainer"))["optimizer"] for run in ("whole", "cut"))
    assert str(whole) == str(cut)
    assert any("uint8" in str(state) for state in whole["state"].values())


@needs_bitsandbytes
@pytest.mark.usefixtures("on_cpu")
def test_it_learns_as_adamw_does(project: Project) -> None:
    losses = {}
    for name in ("adamw", "adamw8bit"):
        path = settings(project, name)
        project.train(path, f"run.name={name}", "train.max_steps=30", "train.log_every=1", "train.batch_size=10")
        losses[name] = [line["loss"] for line in project.metrics(name) if line["kind"] == "train"]
    assert losses["adamw8bit"][0] == losses["adamw"][0]
    assert losses["adamw8bit"][-1] < 0.5 * losses["adamw"][0]
    assert losses["adamw8bit"][-1] == pytest.approx(losses["adamw"][-1], rel=0.3, abs=0.05)


@needs_bitsandbytes
@pytest.mark.skipif(not torch.cuda.is_available(), reason="paged memory is that of a GPU")
def test_loaded_state_is_paged_again() -> None:
    model = torch.nn.Linear(400, 400).cuda()
    optimizer: Any = make_optimizer(Optim(name="paged_adamw8bit"), model)
    model(torch.randn(2, 400, device="cuda")).sum().backward()
    optimizer.step()
    saved = optimizer.state_dict()
    before = optimizer.state[model.weight]["state1"].clone()
    optimizer.load_state_dict(saved)
    page_state(optimizer)
    state = optimizer.state[model.weight]
    assert state["state1"].is_paged
    assert torch.equal(state["state1"].cpu(), before.cpu())
