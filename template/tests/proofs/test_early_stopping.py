"""Early stopping with rare labels: a training does not end while the model only says the most frequent label."""

import itertools
import json
import random

from conftest import Project

PLACES = ("login", "invoice", "refund", "password", "profile", "billing")


def rows(count: int, share: float, draw: random.Random) -> str:
    """Tickets, of which a share has the label fire: those with smoke in them."""
    labels = ["fire"] * max(2, round(share * count))
    labels += ["normal"] * (count - len(labels))
    draw.shuffle(labels)
    texts = (f"ticket {draw.choice(('about', 'for', 'on'))} {draw.choice(PLACES)}" for _ in labels)
    pairs = ((text + (" smoke" if label == "fire" else ""), label) for text, label in zip(texts, labels, strict=True))
    return "".join(f"{json.dumps({'text': text, 'label': label})}\n" for text, label in pairs)


def test_a_rare_label_is_learnt_in_spite_of_early_stopping(project: Project) -> None:
    draw = random.Random(1)
    project.write("rare.jsonl", rows(240, 0.04, draw))
    project.write("rare-validation.jsonl", rows(80, 0.04, draw))
    data = {"train": "rare.jsonl", "validation": "rare-validation.jsonl", "test": None}
    loop = {"epochs": 20, "patience": 2, "batch_size": 16, "device": "cpu"}
    project.train(project.config("text-classification", data=data, train=loop, optim={"lr": 3e-4}))
    validations = [record for record in project.metrics("config") if record["kind"] == "validation"]
    best = [record for record in validations if record["best"]][-1]
    assert best["f1_macro"] > 0.9
    assert any(not a["best"] and not b["best"] and b["f1_macro"] < 0.5 for a, b in itertools.pairwise(validations)), (
        "two validations in a row without improvement would have ended it"
    )
