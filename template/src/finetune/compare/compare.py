"""Runs on the same rows: evaluate what is missing, refuse what cannot be compared, and compute the differences."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from ..cli import write_report
from ..console import print_line
from ..dataset import new_task
from ..errors import UserError
from ..evaluate import evaluate
from ..run.contributions import read_contributions
from ..run.find import find_run, newest_first
from ..run.folder import RunFolder
from ..tasks.intervals import Array, holm, mcnemar, paired
from .seeds import over_seeds
from .settings import differing_settings, settings_of

TRAIN = "python -m finetune train configs/demo.yaml run.name=second"
ONE_FILE = "comparison"
"""Name of the evaluations on a file of --data."""
LEVEL = 0.05
"""p-values below it are significant."""


@dataclass(frozen=True, slots=True)
class Against:
    """How much higher the main metric of a run is than that of the first one."""

    run: str
    difference: float
    interval: tuple[float, float]
    p: float
    """Corrected for the number of comparisons (Holm)."""
    verdict: str
    """better, worse, or not significant."""


def chosen_runs(names: Sequence[str], console: Console) -> list[RunFolder]:
    """The runs of these names; without names the two newest that have a model, the older one first.

    Raises UserError for fewer than two, and for one that is named twice.
    """
    if not names:
        newest = [run for run in newest_first() if run.has_model][:2]
        if len(newest) < 2:
            there = f"only one run with a model, {newest[0].path}" if newest else "no run with a model yet"
            raise UserError(f"compare: there is {there}: train another one, such as `{TRAIN}`")
        return newest[::-1]
    runs = [find_run(name, console) for name in names]
    for number, run in enumerate(runs):
        if run.path.resolve() in [earlier.path.resolve() for earlier in runs[:number]]:
            raise UserError(f"compare: {run.path} is named twice: name another run")
    if len(runs) < 2:
        raise UserError("compare: one run alone cannot be compared: name another one, or none for the two newest")
    return runs


def compare_runs(
    runs: Sequence[RunFolder], split: str | None, data: Path | None, console: Console, *, trust_remote_code: bool
) -> dict[str, Any]:
    """All that `compare` shows, as JSON. Raises UserError where the runs cannot be compared on the same rows."""
    configs = [run.config() for run in runs]
    names = _names(runs)
    _require_equal(
        "have different tasks, {} and {}", names, [config.task.type for config in configs], "compare runs of one task"
    )
    if data:
        split = split or ONE_FILE
        evaluations = [_evaluate(run, split, data, console, trust_remote_code) for run in runs]
    else:
        split = split or ("test" if all(config.data.test for config in configs) else "validation")
        evaluations = [_evaluated(run, split, console, trust_remote_code) for run in runs]
    _require_equal(
        "have different main metrics, {} and {}",
        names,
        [one["headline"] for one in evaluations],
        "compare runs of one task",
    )
    again = f"evaluate all of them on one file, with --data FILE, or again with `finetune evaluate RUN --split {split}`"
    _require_equal("were scored on different rows", names, [one["fingerprint"] for one in evaluations], again)
    task, headline = new_task(configs[0]), evaluations[0]["headline"]
    contributions = [read_contributions(run, evaluation) for run, evaluation in zip(runs, evaluations, strict=True)]
    for run, evaluation, one in zip(runs, evaluations, contributions, strict=True):
        if one.shape != contributions[0].shape or not task.has_headline(one, evaluation["metrics"][headline]):
            raise UserError(
                f"{run.path}: what its examples contribute does not give its {headline}: evaluate it again; a task of "
                f"your own needs the methods `contributions` and `headline`"
            )
    lower_is_better = evaluations[0]["lower_is_better"]
    settings = [settings_of(run, config) for run, config in zip(runs, configs, strict=True)]
    kept = ("data", "size", "examples", "loss", "metrics", "interval")
    return {
        "split": split,
        "headline": headline,
        "lower_is_better": lower_is_better,
        "test": "mcnemar" if headline == "accuracy" else "bootstrap",
        "correction": "holm" if len(runs) > 2 else None,
        "names": names,
        "runs": [
            {"run": str(run.path), **{key: evaluation.get(key) for key in kept}}
            for run, evaluation in zip(runs, evaluations, strict=True)
        ],
        "settings": differing_settings(settings),
        "differences": [asdict(one) for one in _differences(names, contributions, headline, lower_is_better, task)],
        "seeds": over_seeds(names, settings, [one["metrics"][headline] for one in evaluations]),
    }


def _differences(
    names: Sequence[str], contributions: Sequence[Array], headline: str, lower_is_better: bool, task: Any
) -> Iterable[Against]:
    """Of each run to the first one."""
    first, *others = contributions
    found = [paired(first, other, task.headline) for other in others]
    p_values = [one.p for one in found]
    if headline == "accuracy":
        p_values = [mcnemar(first[:, 0] > 0, other[:, 0] > 0) for other in others]
    for name, one, p in zip(names[1:], found, holm(p_values), strict=True):
        is_better = (one.difference < 0) == lower_is_better
        verdict = "not significant" if p >= LEVEL else "better" if is_better else "worse"
        yield Against(name, one.difference, (one.low, one.high), p, verdict)


def _names(runs: Sequence[RunFolder]) -> list[str]:
    """The folders' names; their paths, where some have the same name."""
    names = [run.path.resolve().name for run in runs]
    return names if len({*names}) == len(names) else [str(run.path) for run in runs]


def _evaluated(run: RunFolder, split: str, console: Console, trust_remote_code: bool) -> dict[str, Any]:
    """The evaluation of a run on a split: what `evaluate` wrote, unless it is missing, or older than the model."""
    if found := run.evaluation(split):
        _complete_report(run, split)
        return found
    return _evaluate(run, split, None, console, trust_remote_code)


def _complete_report(run: RunFolder, split: str) -> None:
    """Write the report of a run unless it is newer than the evaluation: a kill may have come between the two."""
    page, evaluation = run.path / "report" / "index.html", run.path / run.evaluation_name(split)
    if not page.is_file() or page.stat().st_mtime < evaluation.stat().st_mtime:
        write_report(run, Console(quiet=True))


def _evaluate(
    run: RunFolder, split: str, data: Path | None, console: Console, trust_remote_code: bool
) -> dict[str, Any]:
    print_line(console, escape(f"evaluating {run.path} on {data or split}"))
    quiet = Console(quiet=True)
    found = evaluate(run, split, data, quiet, trust_remote_code=trust_remote_code)
    write_report(run, quiet)
    return found


def _require_equal(what: str, names: Sequence[str], found: Sequence[Any], remedy: str) -> None:
    """Raise UserError where a run has another one than the first run."""
    for name, one in zip(names, found, strict=True):
        if one != found[0]:
            raise UserError(f"compare: {name} and {names[0]} {what.format(one, found[0])}: {remedy}")
