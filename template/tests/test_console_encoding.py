"""A terminal whose encoding lacks a character, such as → or a Chinese label in cp1252, makes no command fail."""

import io
import sys
from typing import Any

import pytest
from conftest import Project

from finetune import optional
from finetune.cli import main

LABELS = ["差评👎", "好评👍"]
VERBS: list[tuple[str, list[str]]] = [
    ("", ["train", "config.yaml", "train.max_steps=2"]),
    ("", ["evaluate", "runs/config"]),
    ("", ["predict", "runs/config", "中文.jsonl"]),
    ("", ["predict", "runs/config", "--text", "文本 → 👎"]),
    ("report", ["report", "runs/config"]),
    ("check_data", ["check-data", "config.yaml"]),
    ("init_data", ["init-data", "中文.jsonl", "--config", "config.yaml", "--output", "分割"]),
    ("plan", ["plan", "config.yaml"]),
    ("monitor", ["monitor", "runs/config", "--input", "中文.jsonl", "--once"]),
    ("export", ["export", "runs/config", "导出"]),
    ("", ["doctor"]),
    ("", ["schema"]),
    ("", ["train", "没有.yaml"]),
    ("", ["train", "config.yaml", "train.文=3"]),
]
"""The folder that may be deleted, and the command."""
REFUSED = (["train", "没有.yaml"], ["train", "config.yaml", "train.文=3"])


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_what_the_terminal_cannot_show_is_replaced(
    encoding: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f'{{"text": "文本 {i} → {LABELS[i % 2]}", "label": "{LABELS[i % 2]}"}}\n' for i in range(20)]
    project.write("中文.jsonl", "".join(rows))
    files = dict.fromkeys(("train", "validation", "test"), "中文.jsonl")
    project.config("text-classification", data=files)
    shown = ""
    for folder, arguments in VERBS:
        if folder and not optional.is_there(folder):
            continue
        streams: dict[str, Any] = {
            name: io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors=errors, write_through=True)
            for name, errors in (("stdout", "strict"), ("stderr", "backslashreplace"))  # as Python opens them
        }
        with monkeypatch.context() as patched:
            for name, stream in streams.items():
                patched.setattr(sys, name, stream)
            assert main(arguments) == (2 if arguments in REFUSED else 0), arguments
        shown += "".join(stream.buffer.getvalue().decode(encoding) for stream in streams.values())
    assert "??" in shown  # of standard output
    assert "\\u6ca1\\u6709.yaml: cannot be read" in shown  # of standard error, which escapes
