"""The optional folders of the package. A project deletes those that it does not need, with their tests.

Nothing outside an optional folder imports it: its commands, its config keys and what the core calls in it are looked up
here.

- `continual/` trains on from an earlier run, `sweep/` searches the best settings.
- `init_data/` makes a dataset of one file, `check_data/` checks the dataset.
- `baselines/` fits linear models and BM25 to the training data, to be shown beside each evaluation; `calibration/`
  measures predicted probabilities, `error_analysis/` shows where a model is wrong, `explain/` how much each word
  contributes to a prediction, `compare/` whether runs differ by more than chance; `report/` writes the HTML report.
- `plan/` computes the memory that a training needs.
- `export/` writes models for other programs and uploads them, `serving/` answers over HTTP, `monitor/` watches a stream
  of texts.
- `search/` finds the documents that answer a query, and hard negatives.
- `pipeline/` trains and scores a customer service, from the search to an answer that quotes; it needs `search/`.
- `track/` sends metrics to experiment trackers.
"""

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType


@dataclass(frozen=True, slots=True)
class Part:
    """What an optional folder adds."""

    verbs: tuple[str, ...] = ()
    """Commands: each is a click command in `<folder>/command.py`, named like the verb with `_` for `-`."""
    keys: tuple[str, ...] = ()
    """Keys of the config, such as `run.track`."""


PARTS = {
    "continual": Part(keys=("continue_from", "continual", "stages")),
    "init_data": Part(verbs=("init-data",)),
    "check_data": Part(verbs=("check-data",)),
    "report": Part(verbs=("report",)),
    "export": Part(verbs=("export", "push")),
    "monitor": Part(verbs=("monitor",)),
    "serving": Part(verbs=("serve",)),
    "plan": Part(verbs=("plan",)),
    "compare": Part(verbs=("compare",)),
    "error_analysis": Part(verbs=("errors",)),
    "explain": Part(verbs=("explain",)),
    "calibration": Part(),
    "baselines": Part(),
    "sweep": Part(verbs=("sweep",)),
    "pipeline": Part(verbs=("pipeline",)),
    "track": Part(verbs=("track",), keys=("run.track",)),
    "search": Part(verbs=("search", "mine")),
}


def is_there(folder: str) -> bool:
    """Whether the folder is there. Without `__init__.py`, as git may leave it behind, it does not count."""
    spec = find_spec(f"{__package__}.{folder}")
    return spec is not None and spec.origin is not None


def find(folder: str, module: str) -> ModuleType | None:
    """A module of an optional folder; None if the folder was deleted."""
    return import_module(f"{__package__}.{folder}.{module}") if is_there(folder) else None
