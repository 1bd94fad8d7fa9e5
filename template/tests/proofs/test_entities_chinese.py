"""Entities in text without spaces between words: a tiny model learns them, and finds them by their characters."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from conftest import Project

from finetune.cli import main

FAMILY, GIVEN = "王李张刘陈杨赵黄", "伟芳娜敏静丽强磊洋艳"
CITIES = ("北京", "上海", "广州", "哈尔滨", "乌鲁木齐", "成都")
SENTENCES = (
    "{0}在{1}工作。",
    "昨天{0}去了{1}。今天回来。",
    "{1}的{0}说天气很好。",
    "我不认识{0}",
    "{1}下雨了",
    "天气很好。",
)


def sentence(draw: random.Random) -> dict[str, Any]:
    """A sentence with its people and cities."""
    name = draw.choice(FAMILY) + "".join(draw.choices(GIVEN, k=draw.randint(1, 2)))
    text, city = draw.choice(SENTENCES), draw.choice(CITIES)
    filled = text.format(name, city)
    entities = [
        {"start": filled.index(word), "end": filled.index(word) + len(word), "label": label}
        for slot, word, label in (("{0}", name, "PER"), ("{1}", city, "LOC"))
        if slot in text
    ]
    return {"text": filled, "entities": entities}


def test_a_tiny_model_learns_chinese_entities(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    draw = random.Random(1)
    for name, count in (("train", 400), ("test", 80)):
        rows = [sentence(draw) for _ in range(count)]
        project.write(f"{name}.jsonl", "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows))
    data = {"train": "train.jsonl", "validation": "test.jsonl", "test": "test.jsonl"}
    train = {"epochs": 6, "batch_size": 16, "device": "cpu"}
    config = project.config("token-classification", data=data, train=train, optim={"lr": 1e-3})
    assert main(["train", str(config)]) == 0
    assert main(["evaluate", "latest"]) == 0
    evaluation = json.loads(Path("runs/config/evaluation-test.json").read_text())
    assert evaluation["metrics"]["f1"] > 0.98
    capsys.readouterr()
    assert main(["predict", "latest", "--text", "王芳静去了乌鲁木齐。"]) == 0
    [person, city] = json.loads(capsys.readouterr().out)["prediction"]
    assert {**person, "probability": 0} == {"start": 0, "end": 3, "label": "PER", "text": "王芳静", "probability": 0}
    assert {**city, "probability": 0} == {"start": 5, "end": 9, "label": "LOC", "text": "乌鲁木齐", "probability": 0}
    assert min(person["probability"], city["probability"]) > 0.5
