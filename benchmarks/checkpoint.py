"""How long a training stalls while a checkpoint is saved: written by a thread, beside waiting for the write.

python dev.py bench checkpoint [--rounds N] [--folder DIR]

A model of BERT base's shape (110 million parameters, random weights) with AdamW on the CPU, one thread. In each round
one checkpoint is saved in each way, in turn. The loop that writes in the background takes steps until all is written.
"""

import argparse
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "template" / "src"))

import torch
from finetune.config.config import Model, Optim
from finetune.console import quiet_libraries
from finetune.distributed.world import SINGLE_PROCESS
from finetune.run.saved_model import Base
from finetune.train.background import BackgroundWriter
from finetune.train.checkpoint import TrainingState, save_checkpoint
from finetune.train.optim import make_optimizer, make_schedule
from finetune.train.scaling import LossScaler
from transformers import BertConfig, BertForSequenceClassification

Times = tuple[float, float]
"""Wall-clock seconds, and processor seconds of the thread."""


class Training:
    """As much of a training as a checkpoint holds."""

    def __init__(self, folder: Path) -> None:
        torch.manual_seed(0)
        self.folder, self.state = folder, TrainingState()
        folder.mkdir(parents=True)
        self.model = BertForSequenceClassification(BertConfig())
        self.optimizer = make_optimizer(Optim(), self.model)
        self.parts: Any = SimpleNamespace(
            world=SINGLE_PROCESS,
            model=self.model,
            base=Base(Model(name="tiny:bert"), head=[], files={}, weights={}),
            optimizer=self.optimizer,
            schedule=make_schedule(Optim(), self.optimizer, 1000),
            scaler=LossScaler("fp32", self.model.device),
            allocation=None,
        )
        self.ids = torch.randint(1000, 20_000, (4, 32))

    def step(self) -> None:
        """One optimizer step over 4 texts of 32 tokens."""
        self.model(input_ids=self.ids, labels=torch.tensor([0, 1, 0, 1])).loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def save(self, writer: BackgroundWriter) -> None:
        """A checkpoint of the next step."""
        self.state.step += 1
        save_checkpoint(self.folder, self.state, self.parts, writer, keep=1)


def timed(work: Callable[[], Any], clock: Callable[[], float] = time.thread_time) -> Times:
    """The times of a call."""
    wall, processor = time.perf_counter(), clock()
    work()
    return time.perf_counter() - wall, clock() - processor


def save_and_wait(training: Training, writer: BackgroundWriter) -> None:
    training.save(writer)
    writer.wait()


def one_round(training: Training, writer: BackgroundWriter) -> dict[str, Times]:
    """Each way once."""
    found = {"the whole write": timed(lambda: save_and_wait(training, writer), time.process_time)}
    found["a step"] = timed(training.step)
    found["stall of the loop: the copy"] = timed(lambda: training.save(writer))
    steps = []
    while writer.is_busy:
        steps.append(timed(training.step))
    writer.wait()
    found["a step while it is written"] = tuple(map(statistics.median, zip(*steps, strict=True)))  # type: ignore[assignment]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", type=Path, help="on the disk to be measured; by default that for temporary files")
    options = parser.parse_args()
    quiet_libraries()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        training, writer = Training(Path(folder) / "run" / "checkpoints"), BackgroundWriter(SINGLE_PROCESS)
        training.step()
        first = timed(lambda: training.save(writer))
        writer.wait()
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        rounds = [one_round(training, writer) for _ in range(options.rounds)]
    count = sum(parameter.numel() for parameter in training.model.parameters())
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "safetensors"))
    print(f"{platform.processor() or platform.machine()}, 1 thread, {versions}")
    print(f"{count / 1e6:.0f}M parameters, checkpoints of {size / 1e6:,.0f} MB, {options.rounds} rounds\n")
    print("| what | s: median (least, most) | s of processor: median | share of the whole write: s | of processor |")
    print("| --- | --- | --- | --- | --- |")
    whole = [statistics.median(column) for column in zip(*(found["the whole write"] for found in rounds), strict=True)]
    for name, times in {
        **{name: [found[name] for found in rounds] for name in rounds[0]},
        "the first copy": [first],
    }.items():
        wall, processor = zip(*times, strict=True)
        medians = [statistics.median(wall), statistics.median(processor)]
        shares = [f"{100 * value / total:.1f} %" for value, total in zip(medians, whole, strict=True)]
        shares = ["", ""] if "step" in name else shares
        spread = f"{medians[0]:.2f} ({min(wall):.2f}, {max(wall):.2f})"
        print(f"| {name} | {spread} | {medians[1]:.2f} | {shares[0]} | {shares[1]} |")


if __name__ == "__main__":
    main()
