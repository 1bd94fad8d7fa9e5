"""Speed: `finetune` beside what a user would run instead, doing the same training, interleaved in one run.

python dev.py bench speed [sst2|conll|gpt2|lora|startup|bert-sst2|llama1b-full ...] [--rounds N] [--write] [--tiny]

All arms start from the same weights and make the same passes over the same examples, in turn, round by round, after a
warm-up. On a CPU what counts is the processor time of the one thread that each may use, since other programs disturb
the clock. Validation losses before and after a pass must agree. Peak memory is that of a process that trains with one
arm only; on a GPU each arm has a process of its own for all its figures. Workloads of a GPU are "not measured" without
one; --tiny tries the arms of any workload with a tiny model, also on a CPU. --write adds the figures to those in
docs/speed.json, and writes the tables of docs/benchmarks.md and docs/images/speed.png from that file. The data are
read from ../shared/data.
"""

import argparse
import copy
import gc
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "template" / "src"))
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

import torch
from contenders import trl
from contenders.base import Contender, trainable
from contenders.figures import Figures, require_alike
from contenders.huggingface import AT_ITS_BEST, HuggingFace, rows_of, with_peft
from contenders.ours import Ours, Products
from contenders.report import STARTUP, Measured, show, write
from contenders.startup import startup
from contenders.tutorial import Tutorial
from contenders.workloads import ARMS, AS_IT_COMES, BEST, OURS, PRODUCTS, TINY_EXAMPLES, TRL, TUTORIAL, WORKLOADS
from finetune.config.config import Config
from finetune.config.methods import Full
from finetune.console import quiet_libraries
from finetune.model.device import has_bf16
from finetune.train.build import build
from finetune.train.loop import set_seed
from real_input import DATA

WARM_UP = 3
"""Steps before anything is timed."""


def make_contender(kind: str, config: Config, setup: Any, alone: bool = False) -> Contender:
    """A contender by its kind, on a copy of the model that was built. `alone`: which is given up where it is large."""
    if kind == OURS:
        return Ours(config, setup)
    if kind == PRODUCTS:
        return Products(Ours(config, setup))
    assert setup.validation
    splits = {"train": setup.train, "validation": setup.validation}
    rows = {split: rows_of(setup.task, part.features) for split, part in splits.items()}
    device = setup.model.device
    if isinstance(config.method, Full):
        model = plain_copy(setup.model)
    else:
        weights = trainable(setup.model)
        if alone:
            setup.model = setup.optimizer = None
            gc.collect()
            reset_peak()
        model = with_peft(config, device, weights, half=kind != BEST)
    parts = (model, setup.task, setup.tokenizer, rows, config)
    if kind == TUTORIAL:
        return Tutorial(*parts)
    checkpointing = {"gradient_checkpointing": config.train.activation_checkpointing is True}
    best = {**AT_ITS_BEST, **checkpointing, "bf16": has_bf16(device)}
    if kind == TRL:
        return trl.Sft(*parts, **best)
    return HuggingFace(*parts, **({} if kind == AS_IT_COMES else best))


def plain_copy(model: Any) -> Any:
    """A copy that computes as transformers does: without the layers, activations and attention of `finetune`."""
    config = copy.deepcopy(model.config)
    config._attn_implementation = "sdpa"
    plain = type(model)(config)
    plain.load_state_dict(model.state_dict())
    return plain.to(model.device)


def measure(name: str, kinds: Sequence[str], options: argparse.Namespace) -> dict[str, Figures]:
    """Train, evaluate and predict with each contender in turn, round by round."""
    figures = {kind: Figures() for kind in kinds}
    with tempfile.TemporaryDirectory() as folder:
        config = make_config(name, Path(folder), options)
        setup = build(config)
        contenders = {kind: make_contender(kind, config, setup) for kind in kinds}
        for kind, contender in contenders.items():
            figures[kind].before = contender.evaluate()[1]
            contender.train(WARM_UP)
        for number in range(options.rounds):
            for kind, contender in contenders.items():
                found = figures[kind]
                contender.reset()
                training = contender.train()
                evaluation, loss, metric = contender.evaluate()
                found.training.append(training.seconds)
                found.wall.append(training.wall)
                if kind != PRODUCTS:
                    found.losses.append(loss)
                if contender.predicts:
                    found.prediction.append(contender.predict().seconds)
                if contender.predicts and kind != PRODUCTS:
                    found.metrics.append(metric)
                if contender.predicts or kind != PRODUCTS:
                    found.evaluation.append(evaluation.seconds)
                print(
                    f"{name} round {number + 1}  {kind:8}  training {training.seconds:.2f} s, evaluation "
                    f"{evaluation.seconds:.2f} s, loss {found.before:.4f} to {loss:.4f}, metric {metric:.4f}",
                    flush=True,
                )
    return figures


def make_config(name: str, folder: Path, options: argparse.Namespace) -> Config:
    """The config of a workload; a tiny one trains in few steps."""
    load = WORKLOADS[name]
    config = load.config(folder, options.examples or (TINY_EXAMPLES if options.tiny else load.examples), options.tiny)
    set_seed(config.train.seed)
    return config


def measure_all(name: str, kinds: Sequence[str], options: argparse.Namespace) -> dict[str, Figures]:
    """The figures of all arms, with the peaks of memory; exits if they do not learn alike."""
    if torch.cuda.is_available():
        figures = {kind: in_own_process(name, kind, options) for kind in kinds}
    else:
        figures = measure(name, kinds, options)
    require_alike(figures, learns=not options.tiny)
    for kind in kinds:
        if kind != PRODUCTS and not torch.cuda.is_available():
            figures[kind].peak = in_own_process(name, kind, options).peak
    return figures


def in_own_process(name: str, kind: str, options: argparse.Namespace) -> Figures:
    """The figures of one arm: on a GPU all of them, on a CPU the peak of memory only."""
    command = [sys.executable, __file__, name, "--own-process", kind, "--rounds", str(options.rounds)]
    command += ["--examples", str(options.examples)] if options.examples else []
    result = subprocess.run(command + ["--tiny"] * options.tiny, stdout=subprocess.PIPE, text=True, check=True)
    return Figures(**json.loads(result.stdout.splitlines()[-1]))


def print_own(name: str, kind: str, options: argparse.Namespace) -> None:
    """Measure one arm in this process and print its figures."""
    found = Figures()
    if torch.cuda.is_available():
        found = measure(name, [kind], options)[kind]
        found.peak = torch.cuda.max_memory_allocated() / 1e6
    else:
        with tempfile.TemporaryDirectory() as folder:
            config = make_config(name, Path(folder), options)
            setup = build(config)
            contender = make_contender(kind, config, setup, alone=True)
            del setup
            contender.train(WARM_UP if kind in (TUTORIAL, AS_IT_COMES) else None)
            found.peak = peak()
    print(json.dumps(asdict(found)))


def reset_peak() -> None:
    """Begin to measure the peak of resident memory here, on Linux."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak() -> float:
    """Peak of resident memory in MB; `getrusage` has that of the parent process in it."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+)", status.read_text()) if status.is_file() else None
    return int(found[1]) / 1000 if found else 0.0


def machine() -> str:
    """Processor or GPU, and versions."""
    packages = []
    for name in ("torch", "transformers", "accelerate", "peft", "trl"):
        try:
            packages.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            packages.append(f"{name} not installed")
    cpu = f"{platform.machine()} {'with' if has_bf16(torch.device('cpu')) else 'without'} bf16 instructions, one thread"
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else cpu
    return f"{device}, Python {platform.python_version()}, {', '.join(packages)}"


def main() -> None:
    """Measure the chosen workloads and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"of {', '.join([*WORKLOADS, STARTUP])}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--examples", type=int, help="texts, or windows of the plays")
    parser.add_argument("--arms", nargs="+", choices=ARMS)
    parser.add_argument("--tiny", action="store_true", help="a tiny model, to try the arms out")
    parser.add_argument(
        "--write", action="store_true", help="write docs/speed.json, docs/benchmarks.md and the picture"
    )
    parser.add_argument("--own-process", choices=ARMS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := {*options.workloads} - {*WORKLOADS, STARTUP}:
        parser.error(f"there is no workload {', '.join(unknown)}: choose of {', '.join([*WORKLOADS, STARTUP])}")
    quiet_libraries()
    torch.set_num_threads(1)
    if options.own_process:
        print_own(options.workloads[0], options.own_process, options)
        return
    here = machine()
    print(here, flush=True)
    for name in options.workloads or [*WORKLOADS, STARTUP]:
        given = f" --examples {options.examples}" if options.examples else ""
        found: Measured = {"command": f"{name}{given} --rounds {options.rounds}", "machine": here}
        if name == STARTUP:
            found["commands"] = startup(options.rounds)
        elif reason := why_not(name, options):
            print(f"{name}: not measured: {reason}", flush=True)
            continue
        else:
            kinds = [kind for kind in WORKLOADS[name].arms if kind in (options.arms or ARMS)]
            if TRL in kinds and not trl.is_installed():
                print(f"{name}: without TRL's SFTTrainer, which is not installed: {trl.INSTALL}", flush=True)
                kinds.remove(TRL)
            figures = measure_all(name, kinds, options)
            found |= {"on_gpu": torch.cuda.is_available(), "arms": {kind: rounded(figures[kind]) for kind in kinds}}
        print("\n".join(show(name, found)), flush=True)
        if options.write and not options.tiny:
            write(name, found)


def why_not(name: str, options: argparse.Namespace) -> str | None:
    """Why a workload cannot be measured here, if so."""
    load = WORKLOADS[name]
    if load.missing:
        return f"{', '.join(load.missing)} is missing in {DATA}"
    if load.on_gpu and not torch.cuda.is_available() and not options.tiny:
        return "there is no GPU"
    return None


def rounded(figures: Figures) -> dict[str, Any]:
    """As it is written to the file."""
    return json.loads(json.dumps(asdict(figures)), parse_float=lambda value: round(float(value), 4))  # type: ignore


if __name__ == "__main__":
    main()
