"""Runs of tiny models for the targets that need one, trained once in each process."""

import atexit
import contextlib
import json
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from finetune.run.folder import RunFolder

DIALOGUE = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
ROWS: dict[str, list[dict[str, Any]]] = {
    "text-classification": [{"text": "a fine day", "label": "good"}, {"text": "a grim day", "label": "bad"}],
    "multi-label-classification": [{"text": "one", "labels": ["a", "b"]}, {"text": "two", "labels": ["b"]}],
    "regression": [{"text": "one", "label": 1.5}, {"text": "two", "label": 2}],
    "token-classification": [{"tokens": ["Ada", "lives", "in", "Turin"], "tags": ["B-PER", "O", "O", "B-LOC"]}],
    "ranking": [{"query": "tea", "document": "green tea", "label": 1}, {"query": "tea", "document": "bar", "label": 0}],
    "retrieval": [{"query": "tea", "document": "green tea", "negatives": ["a bar"]}],
    "text-generation": [{"prompt": "a b", "completion": "c d"}],
    "chat": [{"messages": DIALOGUE}],
}
"""Training data of each task."""
TINY = {"text-generation": "tiny:gpt2", "chat": "tiny:gpt2"}


@cache
def trained(task: str) -> "RunFolder":
    """The run of a model that was trained for one step."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch
    from finetune.config.load import load_config
    from finetune.console import quiet_libraries
    from finetune.run.folder import RunFolder
    from finetune.train.loop import train
    from rich.console import Console

    torch.set_num_threads(1)
    quiet_libraries()
    folder = Path(tempfile.mkdtemp(prefix="fuzz-run-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "data.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in 4 * ROWS[task]), encoding="utf-8")
    config = {
        "task": {"type": task, **({"generation": {"max_new_tokens": 3}} if task in TINY else {})},
        "model": {"name": TINY.get(task, "tiny:bert"), "max_length": 32},
        "data": {"train": str(folder / "data.jsonl"), "validation": str(folder / "data.jsonl")},
        "train": {"epochs": 1, "device": "cpu", "precision": "fp32"},
        "run": {"name": "model", "dir": str(folder / "runs")},
    }
    (folder / "config.yaml").write_text(json.dumps(config), encoding="utf-8")
    with contextlib.chdir(folder):
        train(load_config(folder / "config.yaml", []), resume=False, console=Console(quiet=True))
    return RunFolder(folder / "runs" / "model")
