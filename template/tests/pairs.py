"""Pairs of replies for the tests of preference tuning, of uneven lengths."""

import json
from pathlib import Path
from typing import Any

import yaml
from conftest import Project, messages

PAIRS = [
    (["When do you open ?"], "At nine , every day but Sunday .", "No idea ."),
    (
        ["Hello", "Hello , how can I help ?", "Where is my parcel 7 ?"],
        "On its way .",
        "I do not know , and I do not care",
    ),
    (["Thank you"], "You are welcome .", "ok"),
    (["Do you open on Sunday ?"], "No , we are closed on Sunday , and on Monday too .", "Yes ."),
    (["May I pay by card , or only in cash , as it says on the door ?"], "Both .", "Read the door ."),
    (["Where is the station ?"], "Two streets from here , on the left .", "Somewhere , I think , but who knows ?"),
]
ROWS = [{"prompt": messages(*turns), "chosen": chosen, "rejected": rejected} for turns, chosen, rejected in PAIRS]


def write_rows(project: Project, name: str, rows: list[dict[str, Any]]) -> Path:
    return project.write(name, "".join(f"{json.dumps(row)}\n" for row in rows))


def write_config(project: Project, name: str = "config", **sections: dict[str, Any]) -> Path:
    """A config of preference tuning, and its files: six pairs to train on, the last four to validate and to test."""
    write_rows(project, "pairs.jsonl", ROWS)
    write_rows(project, "pairs-validation.jsonl", ROWS[2:])
    data = {"train": "pairs.jsonl", "validation": "pairs-validation.jsonl", "test": "pairs-validation.jsonl"}
    data |= sections.pop("data", {})
    model = {"max_length": 64, **sections.pop("model", {})}
    path = project.config("chat", name, model=model, data=data, **sections)
    values = yaml.safe_load(path.read_text())
    values["task"] |= {"dpo": {"beta": 0.1}, "generation": {"max_new_tokens": 9}}
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path
