"""Tensors that do not fit, in files whose manifests do: each is named with its file, and nothing goes on with it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Project
from safetensors.torch import load_file, save_file
from torch import Tensor

from finetune.cli import main
from finetune.errors import UserError
from finetune.files import write_manifest
from finetune.model.tensor_checks import require_kind
from finetune.model.unread import Unread
from finetune.run.folder import _intact
from finetune.train.sharded_checkpoint import read_shards
from finetune.train.state_file import load_state, save_state

TASK = "text-classification"
RUN = Path("runs/config")
Tensors = dict[str, Tensor]


def changed(file: Path, change: Callable[[Tensors], Any]) -> str:
    """Change the tensors of a file, and write its manifest anew, as an attacker would; returns the changed name."""
    tensors = load_file(file)
    before = dict(tensors)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})
    for folder in (file.parent, file.parent.parent):
        if (folder / "manifest.json").exists():
            (folder / "manifest.json").unlink()
            write_manifest(folder)
    _intact.cache_clear()
    return next(name for name in {**before, **tensors} if tensors.get(name) is not before.get(name))


def a_matrix(tensors: Tensors) -> str:
    return next(name for name in sorted(tensors) if tensors[name].ndim == 2)


def with_shape(tensors: Tensors) -> None:
    tensors[a_matrix(tensors)] = torch.zeros(3, 5)


def with_fewer_rows(tensors: Tensors) -> None:
    tensors[a_matrix(tensors)] = tensors[a_matrix(tensors)][:-1].clone()


def with_integers(tensors: Tensors) -> None:
    tensors[a_matrix(tensors)] = tensors[a_matrix(tensors)].to(torch.int8)


def with_one_less(tensors: Tensors) -> None:
    del tensors[a_matrix(tensors)]


def with_one_more(tensors: Tensors) -> None:
    tensors["intruder"] = torch.zeros(2)


def with_infinity(tensors: Tensors) -> None:
    tensors[a_matrix(tensors)] = tensors[a_matrix(tensors)] * float("inf")


CHANGES: dict[Callable[[Tensors], None], str] = {
    with_shape: "has the shape [3, 5] instead of [",
    with_fewer_rows: "has the shape [",
    with_integers: "has n",  # numbers of another kind, or no floating-point ones
    with_one_less: "is missing: ",
    with_one_more: "is no tensor of this ",
    with_infinity: "has values that are NaN or infinite: ",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("name", ["model", "trainer"])
def test_a_checkpoint_with_other_tensors_is_refused(
    name: str, change: Callable[[Tensors], None], project: Project, finished: Callable[[str], None],
    refused: Callable[..., str],
) -> None:  # fmt: skip
    finished(TASK)
    path = project.config(TASK)
    newest = max((RUN / "checkpoints").iterdir(), key=lambda folder: int(folder.name.partition("-")[2]))
    tensor = changed(newest / f"{name}.safetensors", change)
    said = refused("train", path, "--resume")
    assert said.startswith(f"{newest / name}.safetensors: '")
    assert CHANGES[change] in said
    assert name == "trainer" or f"'{tensor}'" in said
    assert said.endswith(": put back an intact checkpoint, or start without --resume")


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("method", ["full", "lora", "base"])
def test_a_model_with_other_tensors_is_refused(
    method: str, change: Callable[[Tensors], None], project: Project, refused: Callable[..., str]
) -> None:
    """`base`: that of a tiny model, which is saved with its adapter."""
    settings = {} if method == "full" else {"method": {"type": "lora"}}
    path = project.config(TASK, train={"max_steps": 1, "device": "cpu"}, **settings)
    assert main(["train", str(path)]) == 0
    file = {"full": "model", "lora": "adapter_model", "base": "base/model"}[method]
    tensor = changed(RUN / "best" / f"{file}.safetensors", change)
    said = refused("predict", RUN, "--text", "a")
    assert f"best/{file}.safetensors: '{tensor}' {CHANGES[change]}" in said


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("optimizer", 5),
        ("optimizer", {"state": {}, "param_groups": []}),
        ("schedule", {"last_epoch": "x"}),
        ("schedule", 5),
        ("scaler", {}),
        ("random", 5),
        ("random", [{"python": 5}]),
        ("random", None),
    ],
)
def test_a_state_of_other_values_is_refused(
    key: str, value: Any, project: Project, finished: Callable[[str], None], refused: Callable[..., str]
) -> None:
    finished(TASK)
    path = project.config(TASK)
    newest = max((RUN / "checkpoints").iterdir(), key=lambda folder: int(folder.name.partition("-")[2]))
    state = load_state(newest / "trainer") | {key: value}
    save_state(newest / "trainer", state)
    (newest / "manifest.json").unlink()
    write_manifest(newest)
    said = refused("train", path, "--resume")
    assert said.startswith(str(newest))
    assert said.endswith(": put back an intact checkpoint, or start without --resume")


@pytest.mark.parametrize("change", [{"lr": "x"}, {"betas": [0.9]}, {"params": [7]}, {"eps": float("nan")}, {"new": 1}])
def test_a_group_of_other_values_is_refused(
    change: dict[str, Any], project: Project, finished: Callable[[str], None], refused: Callable[..., str]
) -> None:
    finished(TASK)
    path = project.config(TASK)
    newest = max((RUN / "checkpoints").iterdir(), key=lambda folder: int(folder.name.partition("-")[2]))
    state = load_state(newest / "trainer")
    state["optimizer"]["param_groups"][0] |= change
    save_state(newest / "trainer", state)
    (newest / "manifest.json").unlink()
    write_manifest(newest)
    assert refused("train", path, "--resume").startswith(f"{newest / 'trainer.json'}: optimizer.param_groups")


def test_kinds_are_compared_within_each_other() -> None:
    like = {"lr": 0.1, "betas": (0.9, 0.99), "fused": None, "name": "a"}
    require_kind(Path("x"), "group", {"lr": 1, "betas": [1, 2], "fused": True, "name": "a"}, like, "mend it")
    for wrong in ({"lr": True}, {"betas": (1, "2")}, {"fused": 1}, {"name": "b"}, {"lr": float("inf")}):
        with pytest.raises(UserError, match=rf"^x: group\.{next(iter(wrong))}.* cannot have: mend it$"):
            require_kind(Path("x"), "group", like | wrong, like, "mend it")


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_shards_with_other_tensors_are_refused(change: Callable[[Tensors], None], tmp_path: Path) -> None:
    weights = {"a": torch.ones(4, 3), "b": torch.ones(2)}
    header = {name: {"saved_offsets": [0] * tensor.ndim} for name, tensor in weights.items()}
    sharded = {f"model.{name}": tensor for name, tensor in weights.items()}
    metadata = {"DCP_SHARDING_INFO": json.dumps({f"model.{n}": o for n, o in header.items()}), "DCP_VERSION": "1.0"}

    def write() -> None:
        named = json.loads(metadata["DCP_SHARDING_INFO"])
        offsets = {name: named.get(name, {"saved_offsets": [0] * tensor.ndim}) for name, tensor in sharded.items()}
        save_file(
            sharded,
            tmp_path / "shard-00001-of-00001.safetensors",
            metadata=metadata | {"DCP_SHARDING_INFO": json.dumps(offsets)},
        )

    write()
    empty: dict[str, Any] = {"state": {}, "param_groups": []}
    loaded = {name: torch.zeros_like(tensor) for name, tensor in weights.items()}
    read_shards(tmp_path, loaded, empty, [])
    assert all(torch.equal(loaded[name], weights[name]) for name in weights)
    change(sharded)
    write()
    with pytest.raises(UserError, match=r"put back an intact checkpoint, or start without --resume$") as caught:
        read_shards(tmp_path, loaded, empty, [])
    assert str(caught.value).startswith(f"{tmp_path}: '")


def test_a_shard_that_is_not_there_is_told(tmp_path: Path) -> None:
    """Its rows would keep the values of the model."""
    offsets = {"model.a": {"saved_offsets": [2, 0]}}
    header = {"DCP_SHARDING_INFO": json.dumps(offsets), "DCP_VERSION": "1.0"}
    save_file({"model.a": torch.ones(2, 3)}, tmp_path / "shard-00002-of-00002.safetensors", metadata=header)
    with pytest.raises(UserError, match=r"'model.a' has shards that do not follow one another"):
        read_shards(tmp_path, {"a": torch.zeros(4, 3)}, {"state": {}, "param_groups": []}, [])


def test_rows_that_are_not_finite_are_named_where_they_are_read(tmp_path: Path) -> None:
    """FSDP2 reads the rows of a rank only."""
    path = tmp_path / "model.safetensors"
    weights = torch.ones(4, 2)
    weights[3, 0] = float("nan")
    save_file({"a": weights}, path)
    stored = Unread(str(path), "a", [4, 2])
    assert torch.equal(stored.read(0, 3), weights[:3])
    with pytest.raises(UserError, match=rf"^{path}: 'a' has values that are NaN or infinite: copy it anew"):
        stored.read(2, 4)


@pytest.mark.parametrize("change", [*CHANGES, "negative"], ids=lambda change: getattr(change, "__name__", change))
def test_fisher_information_of_other_tensors_is_refused(change: Any, tmp_path: Path) -> None:
    ewc = pytest.importorskip("finetune.continual.ewc")
    model = torch.nn.Linear(3, 4)
    fisher = {name: torch.ones_like(parameter) for name, parameter in model.named_parameters()}
    ewc.write_fisher(tmp_path / "ewc", {name: tensor[:3].clone() for name, tensor in fisher.items()})
    assert ewc.read_fisher(tmp_path / "ewc", model).keys() == fisher.keys(), "before the head got another label"
    shutil.rmtree(tmp_path / "ewc")
    if change == "negative":
        fisher["bias"][1] = -1
    elif change is not with_fewer_rows:
        change(fisher)
    else:
        fisher["weight"] = torch.ones(5, 3)
    ewc.write_fisher(tmp_path / "ewc", fisher)
    with pytest.raises(UserError, match=r"fisher\.safetensors: '.+: remove .+ so that it is computed anew$"):
        ewc.read_fisher(tmp_path / "ewc", model)
