"""Data in which a text, a number and a category decide together: what `data.features` gains.

python dev.py bench features [--rows N]

Synthetic offers: the text tells the quality, the price is a number, and a brand may ask for more. Whether an offer is a
bargain (classification), and how far its price is below the fair one (regression), follows from all three; a twentieth
of the labels is wrong, a tenth of the prices is missing. Without data.features the model reads the text alone.
"""

import argparse
import json
import os
import platform
import random
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "template" / "src"))
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from finetune.config.config import Config
from finetune.console import quiet_libraries
from finetune.evaluate import evaluate
from finetune.run.folder import RunFolder
from finetune.train.loop import train
from rich.console import Console

SEEDS = (0, 1, 2)
QUALITIES = {
    20.0: ["simple", "plain", "thin", "used", "small"],
    60.0: ["solid", "neat", "sturdy", "tidy", "firm"],
    180.0: ["precious", "rare", "gilded", "handmade", "noble"],
}
"""The fair price of the words that tell a quality."""
BRANDS = {"acme": 1.0, "borel": 2.0, "corvo": 0.5}
THINGS = ["chair", "lamp", "table", "vase", "clock", "mirror"]
FILLERS = ["with care packed", "from our store", "ready to ship", "seen at the fair", "in a box"]
COLUMNS = {"price": "number", "brand": "category"}
SPLITS = {"train": 1.0, "validation": 0.2, "test": 0.4}
METRICS = {"text-classification": "accuracy", "regression": "r2"}


def offers(count: int, draw: random.Random, task: str) -> list[dict[str, Any]]:
    """Rows of the task."""
    rows = []
    for _ in range(count):
        fair, words = draw.choice([*QUALITIES.items()])
        brand = draw.choice([*BRANDS])
        ratio = draw.gauss(0, 0.8)  # of the price to the fair one, on a logarithmic scale
        text = f"{draw.choice(words)} {draw.choice(THINGS)} {draw.choice(FILLERS)}"
        price = round(fair * BRANDS[brand] * 2.718**ratio, 2)
        label: str | float = "bargain" if (ratio < 0) != (draw.random() < 0.05) else "dear"
        rows.append(
            {
                **{"text": text, "price": None if draw.random() < 0.1 else price, "brand": brand},
                "label": label if task == "text-classification" else -ratio + draw.gauss(0, 0.2),
            }
        )
    return rows


def score(folder: Path, task: str, features: dict[str, str], seed: int, rows: int) -> float:
    """The main metric on the test data of a model trained with these columns."""
    for split, share in SPLITS.items():
        lines = (json.dumps(row) + "\n" for row in offers(round(rows * share), random.Random(f"{split} {seed}"), task))
        (folder / f"{split}.jsonl").write_text("".join(lines), "utf-8")
    config = Config.model_validate(
        {
            "task": {"type": task},
            "model": {"name": "tiny:bert", "max_length": 32},
            "data": {**{split: folder / f"{split}.jsonl" for split in SPLITS}, "features": features},
            "train": {"epochs": 10, "device": "cpu", "seed": seed},
            "optim": {"lr": 1e-3},
            "run": {"name": f"{task}-{seed}-{len(features)}", "dir": folder / "runs"},
        }
    )
    quiet = Console(quiet=True)
    assert train(config, console=quiet)
    return float(evaluate(RunFolder(config.run_folder), "test", None, quiet)["metrics"][METRICS[task]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2000, help="of the training data")
    rows = parser.parse_args().rows
    quiet_libraries()
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers"))
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, {versions}\n")
    print("| task | metric | columns | " + " | ".join(f"seed {seed}" for seed in SEEDS) + " |")
    print("| --- | --- | --- |" + " --- |" * len(SEEDS))
    for task, metric in METRICS.items():
        for name, features in (("text", {}), ("text, price", {"price": "number"}), ("text, price, brand", COLUMNS)):
            with tempfile.TemporaryDirectory() as folder:
                scores = [score(Path(folder), task, features, seed, rows) for seed in SEEDS]
            print(f"| {task} | {metric} | {name} | {' | '.join(f'{one:.4f}' for one in scores)} |", flush=True)


if __name__ == "__main__":
    main()
