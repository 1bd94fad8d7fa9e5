"""A stopped and resumed run has the bits of one that ran through, whatever the settings of the training."""

from typing import Any

import pytest
from conftest import Project, assert_resumes_to_the_bit

LOOP = {"epochs": 4, "max_steps": 9, "batch_size": 4, "log_every": 2, "eval_every": 2, "patience": 9, "device": "cpu"}
SETTINGS: dict[str, dict[str, Any]] = {
    "gradient accumulation": {"train": {"micro_batch_tokens": 20}},
    "packing": {"train": {"packing": True}},
    "activation checkpointing": {"train": {"activation_checkpointing": True}},
    "plateau": {"optim": {"schedule": "plateau", "plateau_patience": 0, "lr": 0.01}},
    "bf16": {"train": {"precision": "bf16"}},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings(name: str, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of an epoch, dropout on; early stopping has counted already."""
    sections = {"train": LOOP | SETTINGS[name].get("train", {}), "optim": SETTINGS[name].get("optim", {})}
    path = project.config("token-classification", **sections)
    assert_resumes_to_the_bit(project, path, 5, monkeypatch)
