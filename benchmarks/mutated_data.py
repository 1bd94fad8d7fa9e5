"""Damaged data files: each reader against many mutations of files of its format.

python dev.py bench mutated_data [FORMAT ...] [--files N] [--seconds S] [--seed N]

A mutation changes, inserts, removes or repeats bytes of a small valid file. Whatever the file then is, reading it as
examples of its task must end within S seconds of processor time, in rows or in a UserError that names the file. A row
that is lost in silence cannot be told from here: the tests of the readers have those cases.
"""

import argparse
import gzip
import io
import json
import os
import platform
import random
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "template" / "src"))

from finetune.config.config import Data
from finetune.data.rows import read_rows
from finetune.dataset import columns_of
from finetune.errors import UserError
from finetune.init_data.recognise import TASKS
from finetune.tasks import make_task

PIECES = [
    *(b'"', b"'", b",", b";", b"\t", b"|", b"\n", b"\r", b"\r\n", b"\0", b"[", b"]", b"{", b"}", b":", b"\\"),
    *(b"\xff\xfe", b"\xef\xbb\xbf", b"\x80", b"\xc3", b"\xed\xa0\x80", b"\xa1\xa1", b"\\ud800", b"NaN", b"-Infinity"),
    *(b"1e999", b"--5", b"9" * 400, b"[" * 500, b'{"a":' * 500, b"a" * 200_000, b"# ", b"-DOCSTART-"),
    *("，：\u3000\u00a0".encode(), b"null", b"1-2\t", b"true", b"\x1f\x8b", b"PK\x03\x04", b"=1+1", b"T1\tPER 0 99\tx"),
]  # fmt: skip
"""What the grammar of some format, or an encoding, gives a meaning to."""
FEWEST, MOST = 1, 4
"""Mutations of a file."""

REVIEWS = [{"text": f"a {word} film,\nit's “{word}” \"5\"", "label": label}
           for word, label in [("fine", "pos"), ("dull", "neg"), ("好", "pos"), ("schön", "neg")]]  # fmt: skip
WORDS = [
    ("EU", "B-ORG"),
    ("rejects", "O"),
    ("German", "B-MISC"),
    ("call", "O"),
    ("", ""),
    ("Peter", "B-PER"),
    ("x", "O"),
]
SPANS = {"text": "Ada lives in Berlin"}
DIALOGUE = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]


@dataclass(slots=True)
class Result:
    """What became of the files of a format."""

    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    failures: list[str] = field(default_factory=list)


def seeds() -> dict[str, tuple[str, str, bytes]]:
    """Valid files by the name of their form: task, file ending, content."""
    lines = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in REVIEWS).encode()
    csv = "text,label\n" + "".join(f'"{row["text"].replace(chr(34), 2 * chr(34))}",{row["label"]}\n' for row in REVIEWS)
    chinese = "text,label\n" + "".join(f"我在这里买的东西都很好，他们的人也不错,{row['label']}\n" for row in REVIEWS)
    tsv = "text\tlabel\n" + "".join(f"{row['text'].split(',')[0]}\t{row['label']}\n" for row in REVIEWS)
    conll = "".join(f"{word} {tag}\n" if word else "\n" for word, tag in WORDS)
    conllu = (
        "# text = EU rejects\n1\tEU\teu\tPROPN\t_\t_\t2\tnsubj\t_\t_\n2\trejects\treject\tVERB\t_\t_\t0\troot\t_\t_\n\n"
    )
    forms = {
        "doccano": {**SPANS, "label": [[0, 3, "PER"], [13, 19, "LOC"]]},
        "prodigy": {**SPANS, "spans": [{"start": 0, "end": 3, "label": "PER"}], "answer": "accept"},
        "spacy": [SPANS["text"], {"entities": [[0, 3, "PER"]]}],
        "spacy, paragraphs": {
            "paragraphs": [{"raw": SPANS["text"], "sentences": [{"tokens": [{"orth": "Ada", "ner": "U-PER"}]}]}]
        },
    }
    studio = {"data": SPANS, "annotations": [{"result": [{"value": {"start": 0, "end": 3, "labels": ["PER"]}}]}]}
    chats = {
        "openai": {"messages": DIALOGUE, "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
        "sharegpt": {"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]},
        "alpaca": {"instruction": "add", "input": "1 2", "output": "3"},
    }
    found = {
        "jsonl": ("text-classification", ".jsonl", lines),
        "json": ("text-classification", ".json", json.dumps(REVIEWS, indent=1).encode()),
        "json, an object": ("text-classification", ".json", json.dumps({"data": REVIEWS}).encode()),
        "csv": ("text-classification", ".csv", csv.encode()),
        "csv, UTF-16": ("text-classification", ".csv", csv.encode("utf-16")),
        "csv, GB18030": ("text-classification", ".csv", chinese.encode("gb18030")),
        "csv, gzip": ("text-classification", ".csv.gz", gzip.compress(csv.encode())),
        "tsv": ("text-classification", ".tsv", tsv.encode()),
        "semicolons": ("text-classification", ".csv", tsv.replace("\t", ";").encode()),
        "numbers": ("regression", ".csv", b'text,label\nfine,"3,5"\ndull,1.25\nso,2\n'),
        "several labels": ("multi-label-classification", ".csv", b"text,labels\nfine,a|b\ndull,\"['a', 'b']\"\nso,\n"),
        "conll": ("token-classification", ".conll", conll.encode()),
        "conllu": ("token-classification", ".conll", 2 * conllu.encode()),
        "xlsx": ("text-classification", ".xlsx", _xlsx()),
        "parquet": ("text-classification", ".parquet", _parquet()),
        "arrow": ("text-classification", ".arrow", _arrow()),
        "label studio": ("token-classification", ".json", json.dumps([studio, studio]).encode()),
    }
    found |= {
        name: ("token-classification", ".jsonl", 2 * f"{json.dumps(row)}\n".encode()) for name, row in forms.items()
    }
    target = f"{json.dumps({**SPANS, 'label': ['Ada wohnt in Berlin']})}\n".encode()
    found["doccano, a target"] = ("translation", ".jsonl", 2 * target)
    found |= {name: ("chat", ".jsonl", 2 * f"{json.dumps(row)}\n".encode()) for name, row in chats.items()}
    return found


def _xlsx() -> bytes:
    import openpyxl

    book, sink = openpyxl.Workbook(), io.BytesIO()
    book.active.append(["text", "label"])
    for row in REVIEWS:
        book.active.append([*row.values()])
    book.save(sink)
    return sink.getvalue()


def _parquet() -> bytes:
    import pyarrow.parquet

    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(REVIEWS), sink)
    return sink.getvalue()


def _arrow() -> bytes:
    import pyarrow

    sink = io.BytesIO()
    table = pyarrow.Table.from_pylist(REVIEWS)
    with pyarrow.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def mutated(content: bytes, random_: random.Random) -> bytes:
    """The content with a few mutations."""
    changed = bytearray(content)
    for _ in range(random_.randint(FEWEST, MOST)):
        at = random_.randint(0, len(changed))
        length = random_.randint(1, 12)
        match random_.randrange(6):
            case 0:
                del changed[at : at + length]
            case 1:
                changed[at:at] = random_.choice(PIECES)
            case 2:
                changed[at : at + length] = random_.choice(PIECES)
            case 3 if at < len(changed):
                changed[at] = random_.randrange(256)
            case 4:
                start = random_.randint(0, len(changed))
                changed[at:at] = changed[start : start + random_.randint(1, 80)]
            case _:
                del changed[at + random_.randint(0, 60) :]
    return bytes(changed)


def read_mutations(name: str, files: int, seconds: int, seed: int) -> Result:
    """Read mutations of the seed of a form."""
    task_name, ending, content = seeds()[name]
    settings = TASKS[task_name](type=task_name)
    data, result, random_ = Data(train="x"), Result(), random.Random(f"{seed} {name}")
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGPROF, _stop)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"data{ending}")
        for number in range(files + 1):
            bytes_ = mutated(content, random_) if number else content
            path.write_bytes(bytes_)
            task = make_task(settings)
            outcome, took = _read(path, task, columns_of(task, data), seconds)
            if number == 0 and outcome != "read":
                raise SystemExit(f"{name}: the valid file is refused: {outcome}")
            kind = "refused" if outcome.startswith("refused") else outcome
            if outcome.startswith("refused") and str(path) not in outcome:
                kind = "without the file's name"
            if kind not in ("read", "refused"):
                result.failures.append(f"{outcome}\n    {bytes_[:300]!r}")
                kind = "failed"
            result.outcomes[kind] += 1
            result.slowest = max(result.slowest, took)
    return result


def _read(path: Path, task: Any, columns: Any, seconds: int) -> tuple[str, float]:
    started = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, seconds)  # of processor time: the machine may be busy
    try:
        task.parse(read_rows(path, columns))
        outcome = "read"
    except UserError as error:
        outcome = f"refused: {error}"
    except TimeoutError:
        outcome = "took too long"
    except Exception as error:
        outcome = f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return outcome, time.process_time() - started


def _stop(*_: Any) -> None:
    raise TimeoutError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("formats", nargs="*", help="forms, such as csv; all by default")
    parser.add_argument("--files", type=int, default=100_000, help="mutated files of each form")
    parser.add_argument("--seconds", type=int, default=10, help="limit of processor time for a file")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    names = arguments.formats or [*seeds()]
    print(f"{platform.platform()}, Python {platform.python_version()}, pyarrow {version('pyarrow')}")
    print(f"{arguments.files:,} files of each form, seed {arguments.seed}\n")
    print("| form | read | refused | failed | slowest file (processor time) |\n|---|---|---|---|---|")
    failures: list[str] = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        options = (arguments.files, arguments.seconds, arguments.seed)
        for name, future in [(name, pool.submit(read_mutations, name, *options)) for name in names]:
            result = future.result()
            counts = [f"{result.outcomes[kind]:,}" for kind in ("read", "refused", "failed")]
            print(f"| {name} | {' | '.join(counts)} | {result.slowest:.3f} s |", flush=True)
            failures += [f"{name}: {failure}" for failure in result.failures[:5]]
    print(*failures, sep="\n", file=sys.stderr)
    if failures:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
