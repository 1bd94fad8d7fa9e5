"""Speed: `finetune` beside what a user would run instead, doing the same training, interleaved in one run.

python dev.py bench speed [sst2|conll|gpt2|lora|startup ...] [--rounds N] [--examples N] [--write]

All contenders start from the same weights and make the same passes over the same examples, in turn, round by round,
after a warm-up. What counts is the processor time of the one thread that each may use, since other programs disturb the
clock. Their validation losses before and after a pass must agree. --write replaces the section in docs/benchmarks.md.
The data are read from ../shared/data.
"""

import argparse
import copy
import os
import platform
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "template" / "src"))
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

import torch
import transformers
from contenders.base import Contender, Timing
from contenders.huggingface import AT_ITS_BEST, HuggingFace, rows_of
from contenders.ours import Ours, Products
from contenders.tutorial import Tutorial
from finetune.config.config import Config
from finetune.console import quiet_libraries
from finetune.model.cpu_attention import CPU_ATTENTION
from finetune.model.device import has_bf16
from finetune.model.tiny import tiny_tokenizer
from finetune.train.build import Setup, build
from finetune.train.loop import set_seed
from real_input import DATA, FILES, SETS, encoder

ROOT = Path(__file__).resolve().parents[1]
SEPARATOR = {"sst2": "\n", "conll": "\n\n"}
WARM_UP = 3
"""Steps before anything is timed."""
TOLERANCE = 0.1
"""Largest difference of the validation losses after a pass, as a share: the orders of the examples differ."""
PAGE, MARKS = ROOT / "docs" / "benchmarks.md", ("<!-- speed -->", "<!-- /speed -->")
OURS, TUTORIAL, AS_IT_COMES, BEST, PRODUCTS = "ours", "tutorial", "trainer", "best", "products"
TITLES = {
    TUTORIAL: "tutorial loop: padded to 128, fp32, plain AdamW",
    AS_IT_COMES: "Trainer as it comes",
    BEST: "Trainer at its best: bf16, group_by_length, fused AdamW",
    OURS: "finetune with its defaults",
    PRODUCTS: "the bare matrix products of finetune",
}


@dataclass(slots=True)
class Figures:
    """What was measured of a contender, a value a round."""

    training: list[Timing] = field(default_factory=list)
    evaluation: list[Timing] = field(default_factory=list)
    prediction: list[Timing] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    metrics: list[float] = field(default_factory=list)
    peak: float = 0.0
    """MB of resident memory of a process that only trains."""


def encoder_config(name: str, examples: int, folder: Path) -> Config:
    """The pretrained encoder on a random part of SST-2 or CoNLL-2003."""
    task, ending, _, options = SETS[name]
    files = {}
    for split, part in (("train", "train"), ("validation", "dev")):
        rows = (DATA / f"{FILES[name]}-{part}.{ending}").read_text("utf-8").strip().split(SEPARATOR[name])
        rows = [row for row in rows if row.strip()]
        chosen = random.Random(0).sample(rows, min(examples, len(rows)))
        files[split] = folder / f"{part}.{ending}"
        files[split].write_text(SEPARATOR[name].join(chosen) + "\n", "utf-8")
    return Config.model_validate(
        {
            "task": {"type": task},
            "model": {"name": str(encoder())},
            "data": {**files, **options},
            "train": {"epochs": 1, "batch_size": 16, "seed": 0},
            "optim": {"lr": 5e-5, "schedule": "constant", "warmup": 0},
            "run": {"name": name, "dir": folder / "runs"},
        }
    )


def decoder_config(name: str, examples: int, folder: Path) -> Config:
    """A decoder from random weights on windows of Shakespeare's plays: GPT-2 of 6 layers, or LoRA on a Llama."""
    length = {"gpt2": 256, "lora": 512}[name]
    text = (DATA / "shakespeare.txt").read_text("utf-8")
    cut = len(text) * 9 // 10
    window = length * 4  # characters of a window, about
    for split, part in (("train", text[: examples * window]), ("validation", text[cut : cut + 16 * window])):
        (folder / f"{split}.txt").write_text(part, "utf-8")
    tokenizer = tiny_tokenizer("tiny:gpt2", [text])
    size = {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    set_seed(0)
    if name == "gpt2":
        shape = transformers.GPT2Config(n_positions=length, n_embd=384, n_layer=6, n_head=6, **size)
        model = transformers.GPT2LMHeadModel(shape)
    else:  # the shape of Qwen2 0.5B, with its share of weights outside of the layers
        layers = {"num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2}
        widths = {"hidden_size": 896, "intermediate_size": 4864, "max_position_embeddings": length}
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**size, **layers, **widths))
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    return Config.model_validate(
        {
            "task": {"type": "text-generation"},
            "model": {"name": str(folder / "model"), "max_length": length},
            "method": {"type": "lora" if name == "lora" else "full"},
            "data": {split: folder / f"{split}.txt" for split in ("train", "validation")},
            "train": {"epochs": 1, "batch_size": 8 if name == "gpt2" else 1, "seed": 0, "packing": name == "gpt2"},
            "optim": {"lr": 1e-3, "schedule": "constant", "warmup": 0},
            "run": {"name": name, "dir": folder / "runs"},
        }
    )


@dataclass(frozen=True, slots=True)
class Workload:
    """What is trained, by which contenders."""

    config: Callable[[str, int, Path], Config]
    files: tuple[str, ...]
    kinds: tuple[str, ...]
    examples: int


OF_ENCODERS = (TUTORIAL, AS_IT_COMES, BEST, OURS, PRODUCTS)
WORKLOADS = {
    "sst2": Workload(encoder_config, ("sst2-train.tsv", "sst2-dev.tsv"), OF_ENCODERS, 320),
    "conll": Workload(encoder_config, ("conll2003-train.conll", "conll2003-dev.conll"), OF_ENCODERS, 320),
    "gpt2": Workload(decoder_config, ("shakespeare.txt",), (BEST, OURS), 64),
    "lora": Workload(decoder_config, ("shakespeare.txt",), (BEST, OURS), 4),
}


def make_contender(kind: str, config: Config, setup: Setup) -> Contender:
    """A contender by its kind, on a copy of the model that was built."""
    if kind == OURS:
        return Ours(config, setup)
    if kind == PRODUCTS:
        return Products(Ours(config, setup))
    assert setup.validation
    splits = {"train": setup.train, "validation": setup.validation}
    rows = {split: rows_of(setup.task, part.features) for split, part in splits.items()}
    parts = (plain_copy(setup.model), setup.task, setup.tokenizer, rows, config)
    if kind == TUTORIAL:
        return Tutorial(*parts)
    return HuggingFace(*parts, **(AT_ITS_BEST | {"bf16": has_bf16(setup.model.device)} if kind == BEST else {}))


def plain_copy(model: Any) -> Any:
    """A copy that computes as transformers does: without the layer and the attention that `finetune` puts in."""
    model = copy.deepcopy(model)
    for module in model.modules():
        if type(module).__name__.startswith("FirstToken"):
            module.__class__ = type(module).__bases__[1]
    if model.config._attn_implementation == CPU_ATTENTION:
        model.set_attn_implementation("sdpa")
    return model


def measure(name: str, kinds: Sequence[str], examples: int, rounds: int) -> dict[str, Figures]:
    """Train, evaluate and predict with each contender in turn, round by round."""
    with tempfile.TemporaryDirectory() as folder:
        config = WORKLOADS[name].config(name, examples, Path(folder))
        set_seed(config.train.seed)
        setup = build(config)
        contenders = {kind: make_contender(kind, config, setup) for kind in kinds}
        figures = {kind: Figures() for kind in kinds}
        before = {}
        for kind, contender in contenders.items():
            before[kind] = contender.evaluate()[1]
            contender.train(WARM_UP)
        for number in range(rounds):
            for kind, contender in contenders.items():
                contender.reset()
                figures[kind].training.append(contender.train())
                timing, loss, metric = contender.evaluate()
                figures[kind].evaluation.append(timing)
                if contender.predicts:
                    figures[kind].prediction.append(contender.predict())
                figures[kind].losses.append(loss)
                figures[kind].metrics.append(metric)
                print(
                    f"{name} round {number + 1}  {kind:8}  training {figures[kind].training[-1].processor:.2f} s, "
                    f"evaluation {timing.processor:.2f} s, loss {before[kind]:.4f} to {loss:.4f}, metric {metric:.4f}",
                    flush=True,
                )
    require_alike(before, figures)
    for kind in kinds:
        if kind != PRODUCTS:
            figures[kind].peak = peak_memory(name, kind, examples)
    return figures


def require_alike(before: dict[str, float], figures: dict[str, Figures]) -> None:
    """All contenders must begin at the same loss and learn the same."""
    after = {kind: statistics.median(figures[kind].losses) for kind in figures if kind != PRODUCTS}
    for losses, tolerance in (({kind: before[kind] for kind in after}, 0.01), (after, TOLERANCE)):
        if max(losses.values()) > (1 + tolerance) * min(losses.values()):
            sys.exit(f"the contenders do not learn alike: validation losses {losses}")
    if any(after[kind] >= before[kind] for kind in after):
        sys.exit(f"a contender does not learn: validation losses {before}, then {after}")


def peak_memory(name: str, kind: str, examples: int) -> float:
    """MB of a process that trains with one contender only."""
    command = [sys.executable, __file__, name, "--examples", str(examples), "--peak", kind]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(result.stdout.split()[-1])


def print_peak(name: str, kind: str, examples: int) -> None:
    """Train in this process and print its peak of resident memory, in MB."""
    with tempfile.TemporaryDirectory() as folder:
        config = WORKLOADS[name].config(name, examples, Path(folder))
        set_seed(config.train.seed)
        setup = build(config)
        contender = make_contender(kind, config, setup)
        del setup
        contender.train(None if kind in (OURS, BEST) else WARM_UP)  # what is padded to one length needs no more
    status = Path("/proc/self/status")  # the peak that getrusage gives includes that of the parent process
    peak = re.search(r"VmHWM:\s+(\d+)", status.read_text()) if status.is_file() else None
    print(int(peak[1]) / 1000 if peak else float("nan"))


def startup(rounds: int) -> Iterator[str]:
    """Processor and wall time of commands that need no model."""
    sources = os.pathsep.join(str(ROOT / part) for part in ("template/src", "generator"))
    environment = {**os.environ, "PYTHONPATH": sources}
    with tempfile.TemporaryDirectory() as folder:
        wrong = Path(folder, "wrong.yaml")
        wrong.write_text(
            "task: {type: text-classification}\nmodel: {name: 'tiny:bert'}\ndata: {train: a}\ntrain: {epoch: 1}\n"
        )
        commands = {
            "finetune --help": ["-m", "finetune", "--help"],
            "ft-template --help": ["-m", "ft_template", "--help"],
            "finetune train with a misspelt key": ["-m", "finetune", "train", str(wrong)],
        }
        times: dict[str, list[Timing]] = {name: [] for name in commands}
        for number in range(rounds + 1):
            for name, arguments in commands.items():
                timing = run_timed([sys.executable, *arguments], environment)
                if number:  # the first one fills caches
                    times[name].append(timing)
    yield "| command | s of processor | s |"
    yield "| --- | --- | --- |"
    for name, found in times.items():
        yield f"| `{name}` | {spread([one.processor for one in found])} | {spread([one.wall for one in found])} |"


def run_timed(command: list[str], environment: dict[str, str]) -> Timing:
    """Time of a process, its imports included."""
    before, wall = os.times(), time.perf_counter()
    subprocess.run(command, env=environment, capture_output=True, check=False)
    after = os.times()
    return Timing(
        after.children_user + after.children_system - before.children_user - before.children_system,
        time.perf_counter() - wall,
    )


def spread(values: list[float]) -> str:
    """Median, and the least and the most."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def table(figures: dict[str, Figures]) -> Iterator[str]:
    """A row a contender, slowest first."""

    def median(kind: str, what: str) -> float:
        return statistics.median(one.processor for one in getattr(figures[kind], what))

    yield ("| | training, s of processor | s | of finetune | evaluation | of finetune | prediction | of finetune "
           "| peak MB | loss, metric after it |")  # fmt: skip
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for kind, found in figures.items():
        cells = [TITLES[kind], spread([one.processor for one in found.training])]
        cells.append(f"{statistics.median(one.wall for one in found.training):.2f}")
        cells.append(f"{median(kind, 'training') / median(OURS, 'training'):.2f}")
        for what in ("evaluation", "prediction"):
            times = [one.processor for one in getattr(found, what)]
            cells += [spread(times), f"{median(kind, what) / median(OURS, what):.2f}"] if times else ["", ""]
        learned = f"{statistics.median(found.losses):.3f}, {statistics.median(found.metrics):.3f}"
        cells += [f"{found.peak:,.0f}", learned] if kind != PRODUCTS else ["", ""]
        yield f"| {' | '.join(cells)} |"


def machine() -> str:
    """Processor and versions."""
    packages = []
    for name in ("torch", "transformers", "accelerate", "peft", "trl"):
        try:
            packages.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            packages.append(f"{name} not installed")
    bf16 = "with" if has_bf16(torch.device("cpu")) else "without"
    python = platform.python_version()
    return f"{platform.machine()} {bf16} bf16 instructions, one thread, Python {python}, {', '.join(packages)}"


def write(lines: list[str]) -> None:
    """Replace the marked section of the page."""
    page = PAGE.read_text("utf-8")
    pattern = re.compile(f"{MARKS[0]}.*{MARKS[1]}", re.DOTALL)
    section = "\n".join([MARKS[0], *lines, MARKS[1]])
    PAGE.write_text(pattern.sub(lambda _: section, page), "utf-8")


def main() -> None:
    """Measure the chosen workloads and print their tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("workloads", nargs="*", default=[*WORKLOADS, "startup"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--examples", type=int, help="texts, or windows of the plays")
    parser.add_argument("--arms", nargs="+", choices=TITLES)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    options = parser.parse_args()
    quiet_libraries()
    torch.set_num_threads(1)
    if options.peak:
        print_peak(options.workloads[0], options.peak, options.examples)
        return
    lines = [machine()]
    print(lines[0], flush=True)
    for name in options.workloads:
        lines += ["", f"### {name}", ""]
        if name == "startup":
            lines += startup(options.rounds)
        elif missing := [file for file in WORKLOADS[name].files if not (DATA / file).is_file()]:
            lines.append(f"Not measured: {', '.join(missing)} is missing in {DATA}.")
        else:
            load, examples = WORKLOADS[name], options.examples or WORKLOADS[name].examples
            kinds = [kind for kind in load.kinds if kind in (options.arms or load.kinds)]
            lines += table(measure(name, kinds, examples, options.rounds))
        print("\n".join(lines), flush=True)
    if options.write:
        write(lines)


if __name__ == "__main__":
    main()
