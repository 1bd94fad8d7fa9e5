"""Real texts, a model from random weights: how far a few minutes on a CPU bring `finetune`.

python dev.py bench from_scratch [multi30k|shakespeare] [--epochs N]

Multi30k, English to German, with tiny:t5; Shakespeare's plays with tiny:gpt2. The data are read from ../shared/data.
"""

import argparse
import json
import os
import platform
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

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
LENGTH = 128


def multi30k(folder: Path) -> dict[str, Any]:
    """Its training pairs; of its development pairs the first half to choose the step on, the second half as a test."""
    for split, part, half in (("train", "train", None), ("validation", "dev", 0), ("test", "dev", 1)):
        sides = [(DATA / f"multi30k-{part}.{side}").read_text("utf-8").splitlines() for side in ("en", "de")]
        pairs = list(zip(*sides, strict=True))
        pairs = pairs if half is None else pairs[half::2]
        lines = (json.dumps({"source": source, "target": target}) + "\n" for source, target in pairs)
        (folder / f"{split}.jsonl").write_text("".join(lines), "utf-8")
    return {
        "task": {"type": "translation", "generation": {"max_new_tokens": 48, "validation_examples": 100}},
        "model": {"name": "tiny:t5", "max_length": LENGTH},
        "data": {split: folder / f"{split}.jsonl" for split in ("train", "validation", "test")},
    }


def shakespeare(folder: Path) -> dict[str, Any]:
    """The first nine tenths to train, then a twentieth each to choose the step and as a test."""
    text = (DATA / "shakespeare.txt").read_text("utf-8")
    cuts = [0, len(text) * 18 // 20, len(text) * 19 // 20, len(text)]
    for split, start, end in zip(("train", "validation", "test"), cuts, cuts[1:], strict=False):
        (folder / f"{split}.txt").write_text(text[start:end], "utf-8")
    return {
        "task": {"type": "text-generation", "generation": {"max_new_tokens": 64, "samples": 1}},
        "model": {"name": "tiny:gpt2", "max_length": LENGTH},
        "data": {split: folder / f"{split}.txt" for split in ("train", "validation", "test")},
    }


SETS = {"multi30k": multi30k, "shakespeare": shakespeare}


def main() -> None:
    """Print the validation after each epoch, then the figures on the test data beside the baseline's."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=SETS, nargs="?", default="multi30k")
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"{DATA} is missing: the benchmark needs its data")
    quiet_libraries()
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers"))
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, Python "
          f"{platform.python_version()}, {packages}", flush=True)  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        sections = {
            **SETS[options.name](Path(folder)),
            "train": {"epochs": options.epochs, "batch_size": 16, "precision": "fp32", "log_every": 50},
            "optim": {"lr": 2e-3},
            "run": {"name": options.name, "dir": Path(folder, "runs")},
        }
        config = Config.model_validate(sections)
        if not train(config, console=Console()):
            sys.exit("interrupted")
        evaluate(RunFolder(config.run_folder), "test", None, Console())


if __name__ == "__main__":
    main()
