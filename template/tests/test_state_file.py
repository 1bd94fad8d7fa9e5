"""The state of a training in files: every type comes back, and only numbers are read."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from finetune.train.state_file import load_state, save_state


def test_every_type_comes_back(tmp_path: Path) -> None:
    shared = torch.arange(256, dtype=torch.uint8)
    state: dict[str, Any] = {
        "optimizer": {"state": {0: {"step": torch.tensor(3.0), "table": shared}, 1: {"table": shared}}, "groups": [{}]},
        "random": [{"python": (3, (2**32 - 1, 7), None), "cuda": None}],
        "numbers": [1, -0.1, 1e-300, math.inf, True, "text", 2**70],
        "transposed": torch.arange(6.0).view(2, 3).T,
        "empty": [torch.empty(0), torch.empty(0, dtype=torch.bfloat16), {}, (), []],
        "half": torch.tensor([1.5], dtype=torch.bfloat16),
    }
    save_state(tmp_path / "trainer", state)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["trainer.json", "trainer.safetensors"]
    found = load_state(tmp_path / "trainer")
    assert repr(found) == repr(state)
    assert [tensor.dtype for tensor in found["empty"][:2]] == [torch.float32, torch.bfloat16]
    assert found["optimizer"]["state"].keys() == {0, 1}


def test_tensors_of_equal_content_are_kept_apart(tmp_path: Path) -> None:
    save_state(tmp_path / "a", [torch.zeros(2), torch.zeros(2), torch.zeros(4)[2:], torch.zeros(2, 2)[:, 0]])
    tensors = load_state(tmp_path / "a")
    tensors[0] += 1
    assert [tensor.tolist() for tensor in tensors] == [[1, 1], [0, 0], [0, 0], [0, 0]]


def test_other_types_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="no plain state: set"):
        save_state(tmp_path / "a", {"names": {1}})


def test_no_tensor_is_in_the_json(tmp_path: Path) -> None:
    save_state(tmp_path / "a", {1: torch.ones(2)})
    assert json.loads((tmp_path / "a.json").read_text()) == {"dict": [[1, {"tensor": "0"}]]}
