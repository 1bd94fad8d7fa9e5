"""Files of a run: their permissions."""

import os
import stat
from pathlib import Path

import pytest
from conftest import Project, needs

from finetune.cli import main


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
@needs("export")
@pytest.mark.parametrize("method", ["full", "lora"])
def test_every_file_has_the_permissions_of_the_umask(method: str, project: Project) -> None:
    """Weights, adapters, base models and checkpoints too, which safetensors would let only the owner read."""
    previous = os.umask(0o027)
    try:
        path = project.config("text-classification", train={"max_steps": 1}, method={"type": method})
        project.train(path)
        assert main(["export", "runs/config", "exported"]) == 0
    finally:
        os.umask(previous)
    files = [file for folder in ("runs", "exported") for file in Path(folder).rglob("*") if file.is_file()]
    assert [file for file in files if stat.S_IMODE(file.stat().st_mode) != 0o640] == []
    weights = {file.parent.name for file in files if file.suffix == ".safetensors"}
    assert weights == {"best", "step-1", "exported", *(["base"] if method == "lora" else [])}
