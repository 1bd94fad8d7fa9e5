"""Damaged data files: each form that the package reads, read as examples of its task.

A row that is lost in silence cannot be told from here: the tests of the readers have those cases.
"""

import gzip
import io
import json
import random
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from .mutations import mutated
from .target import ACCEPTED, REFUSED, Target

PIECES = [
    *(b'"', b"'", b",", b";", b"\t", b"|", b"\n", b"\r", b"\r\n", b"\0", b"[", b"]", b"{", b"}", b":", b"\\"),
    *(b"\xff\xfe", b"\xef\xbb\xbf", b"\x80", b"\xc3", b"\xed\xa0\x80", b"\xa1\xa1", b"\\ud800", b"NaN", b"-Infinity"),
    *(b"1e999", b"--5", b"9" * 400, b"[" * 500, b'{"a":' * 500, b"a" * 200_000, b"# ", b"-DOCSTART-"),
    *("，：\u3000\u00a0".encode(), b"null", b"1-2\t", b"true", b"\x1f\x8b", b"PK\x03\x04", b"=1+1", b"T1\tPER 0 99\tx"),
]  # fmt: skip
"""What the grammar of some format, or an encoding, gives a meaning to."""

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


Content = bytes | Callable[[], bytes]


def forms() -> dict[str, tuple[str, str, Content]]:
    """Valid files by the name of their form: task, file ending, content (a function where it needs a library)."""
    lines = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in REVIEWS).encode()
    csv = "text,label\n" + "".join(f'"{row["text"].replace(chr(34), 2 * chr(34))}",{row["label"]}\n' for row in REVIEWS)
    chinese = "text,label\n" + "".join(f"我在这里买的东西都很好，他们的人也不错,{row['label']}\n" for row in REVIEWS)
    tsv = "text\tlabel\n" + "".join(f"{row['text'].split(',')[0]}\t{row['label']}\n" for row in REVIEWS)
    conll = "".join(f"{word} {tag}\n" if word else "\n" for word, tag in WORDS)
    conllu = (
        "# text = EU rejects\n1\tEU\teu\tPROPN\t_\t_\t2\tnsubj\t_\t_\n2\trejects\treject\tVERB\t_\t_\t0\troot\t_\t_\n\n"
    )
    spans = {
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
    found: dict[str, tuple[str, str, Content]] = {
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
        "xlsx": ("text-classification", ".xlsx", _xlsx),
        "parquet": ("text-classification", ".parquet", _parquet),
        "arrow": ("text-classification", ".arrow", _arrow),
        "label studio": ("token-classification", ".json", json.dumps([studio, studio]).encode()),
    }
    found |= {
        name: ("token-classification", ".jsonl", 2 * f"{json.dumps(row)}\n".encode()) for name, row in spans.items()
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


FORMS = forms()


@cache
def valid(form: str) -> bytes:
    content = FORMS[form][2]
    return content() if callable(content) else content


def damaged(form: str, random_: random.Random) -> bytes:
    return mutated(valid(form), PIECES, random_)


def read(form: str, content: bytes, folder: Path) -> str:
    """Read a file as examples; a refusal names the file."""
    from finetune.config.config import Data
    from finetune.data.rows import read_rows
    from finetune.dataset import columns_of
    from finetune.errors import UserError
    from finetune.init_data.recognise import TASKS
    from finetune.tasks import make_task

    task_name, ending, _ = FORMS[form]
    path = folder / f"data{ending}"
    path.write_bytes(content)
    task = make_task(TASKS[task_name](type=task_name))
    try:
        task.parse(read_rows(path, columns_of(task, Data(train="x"))))
    except UserError as error:
        if str(path) not in str(error):
            raise AssertionError(f"the sentence does not name the file: {error}") from error
        return REFUSED
    return ACCEPTED


TARGETS = [Target(f"data/{form}", partial(valid, form), partial(damaged, form), partial(read, form)) for form in FORMS]
