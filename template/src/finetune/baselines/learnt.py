"""Learnt baselines of an evaluation: fitted to the training data of the run, cached in `baselines.json` of its folder.

They see the training data only, as the run recorded them, never those of validation or test. What is fitted is thrown
away: the cache holds metrics alone, by a fingerprint of the training data, the scored examples and the settings.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from threadpoolctl import threadpool_limits

from ..config.config import Files
from ..console import counted
from ..data.files import checksum, files_of, shown
from ..dataset import Examples
from ..errors import UserError
from ..run.folder import RunFolder
from ..run.named_files import require_named_data
from ..run.records import Baseline, Typed, read_record
from ..run.saved_model import SavedModel
from ..tasks.base import Task
from ..tasks.ranking import RankingTask
from ..tasks.retrieval import RetrievalTask
from ..tasks.texts import TextTask
from .bm25 import BM25Model, BM25WithFeatures, has_pairs
from .linear import LinearModel, outputs_of
from .retrieval import compared
from .sample import sample

CACHE = "baselines.json"
FORMAT = 1
"""Version of the cache, and of what is fitted."""
MOST_EXAMPLES = 100_000
MOST_CHARACTERS = 10_000_000
"""The budget of the training data; of more, a sample is taken, so that fitting takes seconds."""
MOST_WORK = 80_000_000
"""Characters times the numbers that are predicted for each example."""

Entry = Callable[[Task[Any, Any], str, Sequence[Any], Sequence[Any]], dict[str, Any]]
"""From the task, a baseline's name, the examples and its predictions of them to its entry in an evaluation."""


class Model(Protocol):
    """A fitted baseline."""

    @property
    def name(self) -> str: ...
    @property
    def described(self) -> str: ...
    def predictions(self, examples: Sequence[Any]) -> list[Any]: ...


class Learnt(Typed):
    """What was learnt for an evaluation."""

    key: str
    """Fingerprint of all that it depends on."""
    fitted: str
    seconds: float
    baseline: list[Baseline]
    notes: list[str]


class Cache(Typed):
    """baselines.json."""

    evaluations: dict[str, Learnt]
    """By the files of the scored examples."""


def learnt_baselines(
    run: RunFolder, saved: SavedModel, data: str, scored: str, examples: Sequence[Any], entry: Entry
) -> dict[str, Any]:
    """The entries of the learnt baselines in an evaluation (`baseline`) and what is to be said of them (`notes`).

    `saved` is the model of the run; `data` names the files of the examples, and `scored` is their fingerprint.
    Where the training data cannot be read any more, or the run must not name them, there are none, and a note says why.
    """
    task = saved.task
    if not isinstance(task, TextTask | RankingTask | RetrievalTask):
        return {"baseline": [], "notes": []}
    try:
        key = _key(run, scored)
        known = _cached(run)
        if data not in known or known[data]["key"] != key:
            if isinstance(task, RetrievalTask):
                known[data] = {"key": key, **compared(run, saved, examples, entry)}
            else:
                known[data] = {"key": key, **_learn(run, task, examples, entry)}
            run.write(CACHE, json.dumps({"format": FORMAT, "evaluations": known}, indent=1, ensure_ascii=False) + "\n")
        return known[data]  # type: ignore[no-any-return]
    except UserError as error:
        return {"baseline": [], "notes": [f"No baseline was learnt: {error}."]}


def _key(run: RunFolder, scored: str) -> str:
    """Fingerprint of the training data as the run recorded them, of the settings and of the scored rows."""
    config = run.config()
    settings = [section.model_dump(mode="json") for section in (config.task, config.data)]
    return hashlib.sha256(json.dumps([FORMAT, run.environment().get("data"), settings, scored]).encode()).hexdigest()


def _cached(run: RunFolder) -> dict[str, Any]:
    """What was learnt before; nothing if that cannot be read, for it can be learnt again."""
    with suppress(UserError):
        found: dict[str, Any] = read_record(run, CACHE, Cache, "remove it")["evaluations"]
        return found
    return {}


def _learn(
    run: RunFolder, task: TextTask[Any, Any] | RankingTask, examples: Sequence[Any], entry: Entry
) -> dict[str, Any]:
    """Fit the models to the training data, or to a sample of them, and score the examples."""
    started = time.monotonic()
    config = run.config()
    files = config.data.train
    _require_trained_on(run, files)
    most = min(MOST_CHARACTERS, MOST_WORK // outputs_of(task))
    some, count = sample(Examples(config, task, files), partial(_characters, task), MOST_EXAMPLES, most)
    with threadpool_limits(1, user_api="blas"):  # its threads cost more than they save on vectors of this size
        models = fit(task, some)
    seconds = time.monotonic() - started
    unit = ("query", "queries") if isinstance(task, RankingTask) else ("example",)
    used = f"{len(some):,} of {counted(count, *unit)} of {shown(files)}"
    sampled = f"The learnt baselines are fitted to a sample of the training data: {used}."
    return {
        "fitted": "; ".join(f"{model.name}: {model.described}" for model in models) + f"; {used}",
        "seconds": round(seconds, 3),
        "baseline": [
            {**entry(task, model.name, examples, model.predictions(examples)), "learnt": True} for model in models
        ],
        "notes": [sampled] if len(some) < count else [],
    }


def fit(task: TextTask[Any, Any] | RankingTask, examples: Sequence[Any]) -> list[Model]:
    """The learnt baselines of a task. Raises UserError where there is nothing to learn from."""
    if not examples:
        raise UserError("no training example is short enough")
    if isinstance(task, RankingTask):
        plain = BM25Model(task, examples)
        return [plain, *([BM25WithFeatures(task, examples, plain)] if has_pairs(examples) else [])]
    return [LinearModel(task, examples)]


def _characters(task: Task[Any, Any], example: Any) -> int:
    return sum(map(len, task.texts([example])))


def _require_trained_on(run: RunFolder, files: Files) -> None:
    """Raise UserError unless the files are the training data as the run recorded them, and it may name them."""
    require_named_data(run, files, "put them into the project")
    recorded = run.environment().get("data", {})
    for path in files_of(files):
        if recorded.get(path.as_posix()) != checksum(path):
            raise UserError(f"{path}: is not the file that the run was trained on")
