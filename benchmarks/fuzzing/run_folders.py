"""Run folders from somebody else: every verb that reads one refuses in a sentence what it cannot read.

A case changes some files of an intact run. The manifests of its folders are made anew, as an attacker would, unless
they are what is changed.
"""

import base64
import contextlib
import io
import json
import os
import random
import shutil
from collections.abc import Iterator
from copy import deepcopy
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

from .mutations import mutated, random_place
from .runs import trained
from .target import ACCEPTED, REFUSED, Target

FILES = {
    "report": ("config.json", "environment.json", "metrics.jsonl", "evaluation-test.json", "stages.json",
               "../model-data/data-check.json"),
    "find": ("config.json", "environment.json", "metrics.jsonl", "checkpoints/step-1/progress.json"),
    "resume": ("config.json", "environment.json", "checkpoints/step-1/manifest.json"),
    "predict": ("config.json", "best/finetune.json", "best/manifest.json"),
}  # fmt: skip
"""By target: the files that it reads."""
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 5, 2**63, 10**400, 0.5, -1e308, float("nan"), float("inf"), "", "x", "\0", "\ud800", "1",
    "../../x", "/etc/passwd", "<script>alert(1)</script>", "a" * 3000, "\u202e", "2024-01-01", "%s{0}", [], {}, [[]],
    [None], {"a": []}, ["a", 5], {"": ""}, [[[[1]]]], [1, 2, 3], {"1": 2}, "cuda", "tiny:bert", "zh", "fp16",
)  # fmt: skip
PIECES = [
    *(b'"', b"{", b"}", b"[", b"]", b":", b",", b"\\", b"\0", b"\n", b"\xff", b"\\ud800", b"null", b"NaN",
    b"-Infinity"),
    *(b"1e999", b"9" * 400, b"9" * 5000, b"[" * 5000, b'{"a":' * 2000, b"\xef\xbb\xbf", b"\xff\xfe", b"true", b"{}"),
]  # fmt: skip
WRITTEN: dict[str, dict[str, Any]] = {
    "evaluation-test.json": {
        "format": 1, "task": "text-classification", "split": "test", "data": "test.jsonl", "examples": 4,
        "size": "4 texts", "truncated": 0, "loss": 0.5, "headline": "accuracy", "lower_is_better": False,
        "metrics": {"accuracy": 0.5, "f1_macro": 0.4}, "baseline": [{"name": "majority", "metrics": {"accuracy": 0.5}}],
        "tables": [{"title": "Labels", "columns": ["label", "f1"], "rows": [["good", 0.5]], "note": ""}],
        "matrices": [{"title": "Confusion", "labels": ["good", "bad"], "counts": [[1, 1], [1, 1]],
                      "row_label": "true", "column_label": "predicted"}],
        "scatters": [{"title": "Values", "true": [1.0, 2.0], "predicted": [1.5, 2.0]}],
        "curves": [{"title": "F1", "x_label": "threshold", "x": [0.0, 1.0], "lines": {"f1": [0.5, 0.6]},
        "chosen": 0.5}],
        "notes": ["a note"],
    },
    "stages.json": {
        "format": 1, "headline": "accuracy", "lower_is_better": False, "continual": "none", "average": 0.5,
        "stages": [{"name": "a", "data": "a.jsonl", "run": "1-a"}, {"name": "b", "data": "b.jsonl", "run": "2-b"}],
        "matrix": [[0.5, None], [0.4, 0.6]], "backward_transfer": None, "forgetting": 0.1,
    },
}  # fmt: skip
"""What other verbs write into a run."""


@cache
def original(target: str) -> dict[str, bytes]:
    """The files of a run that a target reads, small ones by their content."""
    run = trained("text-classification").path
    files = {name: (run / name).read_bytes() for name in FILES[target] if (run / name).is_file()}
    if target == "report":
        files |= {name: json.dumps(content).encode() for name, content in WRITTEN.items()}
        environment, config = json.loads(files["environment.json"]), json.loads(files["config.json"])
        model = config["model"]
        check = {"data": environment["data"], "where": {}, "model": model["name"], "max_length": model["max_length"],
                 "findings": [{"severity": "warning", "message": "a", "remedy": "b"}]}  # fmt: skip
        files["../model-data/data-check.json"] = json.dumps(check).encode()
    return files


def nothing() -> bytes:
    return b"{}"


def changes(target: str, random_: random.Random) -> bytes:
    """Other contents of one to three files, in JSON by their names, in base64."""
    files = original(target)
    changed = {}
    for name in random_.sample(list(files), min(len(files), random_.choice((1, 1, 1, 2, 3)))):
        content = files[name]
        if random_.random() < 0.7:
            content = with_other_values(content, random_)
        if random_.random() < 0.4:
            content = mutated(content, PIECES, random_)
        changed[name] = base64.b64encode(content).decode()
    return json.dumps(changed).encode()


def with_other_values(content: bytes, random_: random.Random) -> bytes:
    """Lines of JSON of which one has one or two other values."""
    lines = content.splitlines() if content.count(b'"kind"') > 1 else [content]
    at = random_.randrange(len(lines))
    document = json.loads(lines[at])
    for _ in range(random_.randint(1, 2)):
        if not document:
            break
        place, key = random_place(document, random_, stop=0.2)
        if random_.random() < 0.15:
            del place[key]
        else:
            place[key] = deepcopy(random_.choice(VALUES))
    lines[at] = json.dumps(document).encode()
    return b"\n".join(lines) + b"\n"


def use(target: str, content: bytes, folder: Path) -> str:
    """Put a run into the folder, and let the verb read it."""
    from finetune.errors import UserError

    run = folder / "runs" / "model"
    build(run, target, {name: base64.b64decode(encoded) for name, encoded in json.loads(content).items()})
    try:
        with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
            VERBS[target](run)
    except UserError as error:
        sentence = str(error)
        if "\n" in sentence.strip() or not any(
            place in sentence for place in (".json", "runs/model", "--text", str(folder))
        ):
            raise AssertionError(f"no sentence with a place: {sentence}") from error
        return REFUSED
    assert sorted(path.name for path in folder.iterdir()) == ["runs"], "it wrote outside of the run"
    return ACCEPTED


def build(run: Path, target: str, changed: dict[str, bytes]) -> None:
    from finetune.files import MANIFEST, write_manifest

    intact = trained("text-classification").path
    for part in ("best",) if target == "predict" else ("checkpoints/step-1",) if target in ("find", "resume") else ():
        shutil.copytree(intact / part, run / part, copy_function=os.link)
    for name, content in (original(target) | changed).items():
        path = run / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content)
    for folder in {(run / name).parent for name in changed} - {run}:
        if (folder / MANIFEST).is_file() and f"{folder.relative_to(run)}/{MANIFEST}" not in changed:
            (folder / MANIFEST).unlink()
            write_manifest(folder)


@contextlib.contextmanager
def no_canvas(width: float, height: float, path: Path) -> Iterator[Any]:
    """Drawing takes a second, so that few cases do it."""
    yield MagicMock()
    path.write_text("<svg/>", encoding="utf-8")


def report(run: Path) -> None:
    from finetune.plotting import canvas
    from finetune.report import plots
    from finetune.report.report import write_report

    log = (run / "metrics.jsonl").read_bytes()
    plots.canvas = canvas if sum(log) % 50 == 1 else no_canvas
    page = write_report(run).read_text(encoding="utf-8")
    assert "<script" not in page


def find(run: Path) -> None:
    from finetune.errors import UserError
    from finetune.run.find import find_interrupted, find_run, newest_first

    assert [found.path for found in newest_first()] == [Path("runs/model")]
    find_run("latest")
    with contextlib.suppress(UserError):
        find_interrupted()
    find_run(str(run)).config()


def resume(run: Path) -> None:
    """What a training does with an earlier run before it loads weights."""
    from finetune.cli import training_settings
    from finetune.run.folder import RunFolder
    from finetune.train.checkpoint import newest_valid
    from finetune.train.resume import require_same_config, require_same_inputs, with_same_choices
    from rich.console import Console

    settings = training_settings(run, [], True)
    folder = RunFolder(run)
    require_same_config(folder, settings)
    require_same_inputs(folder, trained("text-classification").environment(), Console(quiet=True))
    with_same_choices(folder, settings)
    newest_valid(folder.checkpoints)


def predict(run: Path) -> None:
    from finetune.predict import Predictor
    from finetune.run.folder import RunFolder

    records = Predictor(RunFolder(run)).predict_texts(["a fine day", "b"])
    assert len(records) == 2


VERBS = {"report": report, "find": find, "resume": resume, "predict": predict}
TARGETS = [Target(f"run/{name}", nothing, partial(changes, name), partial(use, name)) for name in VERBS]
