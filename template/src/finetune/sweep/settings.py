"""The settings of a sweep, and their checks before the first trial: keys and values must be those of the config."""

import json
import os
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, ValidationError, WithJsonSchema, model_validator

from ..config.config import Config
from ..config.load import config_with, load_config, sentence
from ..config.yaml_lines import Node, parse_override, read_yaml
from ..errors import UserError
from ..files import PLAIN_NAME, is_plain
from ..parsing import shortened
from ..section import Section


def _pair(kind: str) -> dict[str, Any]:
    return {"type": "array", "items": {"type": kind}, "minItems": 2, "maxItems": 2}


Reals = Annotated[tuple[float, float], WithJsonSchema(_pair("number"))]
Integers = Annotated[tuple[int, int], WithJsonSchema(_pair("integer"))]

PROBE = 0.382
"""Beside its ends a range is checked at this part of it, which is no whole number where one is needed."""
FIXED = {
    **dict.fromkeys(("run", "run.name", "run.dir"), "the folders of the trials are named by the sweep"),
    **dict.fromkeys(("task", "task.type"), "trials are compared by a metric of one task"),
    **dict.fromkeys(("data", "data.validation", "data.test"), "trials are compared on the same validation data"),
    "train.metric": "trials are compared by the same metric, the key metric of the sweep",
    "train.seeds": "a trial is one training for each of the seeds of the sweep, the key seeds",
    "stages": "a trial is one training",
}
"""Keys that cannot vary, each with the reason."""


class Range(Section):
    """Numbers between two bounds, which are possible values, too."""

    uniform: Reals | None = None
    """Uniform distribution: real numbers from low to high: {uniform: [0.0, 0.2]}."""
    log: Reals | None = None
    """Log-uniform distribution: real numbers above 0, evenly in each order of magnitude: {log: [1.0e-5, 1.0e-3]}."""
    int: Integers | None = None
    """Integers from low to high: {int: [1, 8]}."""

    @model_validator(mode="after")
    def _rises(self) -> "Range":
        (kind, (low, high)) = self.given
        if low >= high:
            raise ValueError(f"{kind} is [{low}, {high}]: write the lower number first")
        if kind == "log" and low <= 0:
            raise ValueError(f"log is [{low}, {high}]: write numbers above 0")
        return self

    @property
    def given(self) -> tuple[str, Reals | Integers]:
        """The distribution by its name, and its bounds."""
        kinds = {"uniform": self.uniform, "log": self.log, "int": self.int}
        return next((kind, bounds) for kind, bounds in kinds.items() if bounds is not None)


Values = Annotated[
    Annotated[tuple[Any, ...], Tag("list")] | Annotated[Range, Tag("range")],
    Discriminator(lambda values: "range" if isinstance(values, dict | Range) else "list"),
]


class Sweep(Section):
    """A search for the best settings of a config (hyperparameter search)."""

    config: Path
    """Base config, such as configs/train.yaml: what all trials share."""
    vary: dict[str, Values] = Field(min_length=1)
    """Search space: keys of the config, each with a list of values or a range: {optim.lr: {log: [1.0e-5, 1.0e-4]}}.

    Ranges are uniform, log (log-uniform) and int. A list of one value sets the key in all trials.
    """
    search: Literal["grid", "random", "tpe"] = "random"
    """Search algorithm: grid tries all combinations, random draws them, tpe learns from the trials before it.

    tpe is the tree-structured Parzen estimator of Optuna (pip install -c constraints.txt optuna).
    """
    trials: int | None = Field(default=None, ge=1, le=10_000)
    """Trials: settings to try, at most. null: all combinations of a grid, else 20."""
    seeds: int = Field(default=1, ge=1, le=100)
    """Random seeds: trainings of each trial, with train.seed and the numbers after it; the mean chooses."""
    parallel: int = Field(default=1, ge=1, le=256)
    """Trainings at once, each in a process of its own: on GPUs one per device, on a CPU they share its cores."""
    metric: str | None = None
    """Metric that compares trials and chooses their best step, on the validation data. null: train.metric."""
    prune: Literal["none", "median", "hyperband"] = "none"
    """Pruning: stop a trial early that is worse than the median of the others, or by Hyperband's schedule.

    It needs Optuna, and looks at the first seed of a trial after each of its validations.
    """
    name: str | None = Field(default=None, pattern=PLAIN_NAME)
    """Sweep name: the folder of its trials and results; by default the name of the sweep file."""
    dir: Path | None = None
    """Output directory of all sweeps. null: the folder sweeps in run.dir of the config."""

    @property
    def needs_optuna(self) -> bool:
        """Whether Optuna has a part in the search."""
        return self.search == "tpe" or self.prune != "none"

    @property
    def varied(self) -> list[str]:
        """The keys with several values."""
        return [key for key, values in self.vary.items() if isinstance(values, Range) or len(values) > 1]


@dataclass(frozen=True, slots=True)
class Plan:
    """A sweep whose settings have been checked."""

    sweep: Sweep
    base: Config
    file: Path

    @property
    def folder(self) -> Path:
        """The folder of the sweep, in which the runs of its trials lie."""
        return (self.sweep.dir or self.base.run.dir / "sweeps") / (self.sweep.name or self.file.stem)

    @property
    def metric(self) -> str:
        """The metric that compares trials, by its name in the config."""
        return self.base.train.metric or self.base.task.selection_metric

    @property
    def lower_is_better(self) -> bool:
        """Whether the metric falls as the model improves."""
        return self.metric == "loss" or self.base.task.metrics.get(self.metric) == "min"

    def overrides(self, values: dict[str, Any]) -> list[str]:
        """The arguments of `finetune train` with these values."""
        metric = [f"train.metric={self.sweep.metric}"] if self.sweep.metric else []
        return [*metric, *(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in values.items())]

    def config(self, values: dict[str, Any]) -> Config:
        """The config of a trial with these values."""
        return load_config(self.sweep.config, self.overrides(values))


def read_sweep(path: Path, overrides: list[str] | None = None) -> Plan:
    """Read a sweep file, apply overrides such as `trials=3` and `vary.optim.lr=[1e-5]`, and check it with its config.

    Raises UserError with file:line and key for what is wrong in either.
    """
    root = read_yaml(path)
    for override in overrides or []:
        (first, *rest), value = parse_override(override)
        root.set((first, ".".join(rest)) if first == "vary" and rest else (first, *rest), value)
    _require_forms(root)
    try:
        sweep = Sweep.model_validate(root.plain())
    except ValidationError as error:
        raise UserError(sentence(Sweep, root, error)) from error
    if not is_plain(sweep.name or path.stem):
        raise UserError(f"{path}: its name is no name for a folder: set name")
    base = _base(sweep, root)
    plan = Plan(sweep, base, path)
    if os.path.lexists(plan.folder / "config.json"):
        raise UserError(f"{plan.folder}: is the folder of a run: choose another name")
    _require_values(sweep, root)
    return plan


def _require_forms(root: Node) -> None:
    """Refuse values of `vary` that are neither a list nor a range, and keys that cannot vary."""
    vary = root.children.get("vary", Node({}, ""))
    for key, node in vary.children.items():
        if reason := FIXED.get(key):
            raise UserError(f"{node.origin}: 'vary.{key}' cannot vary, because {reason}: remove it")
        given = node.plain()
        if isinstance(given, list):
            shown = [json.dumps(value, sort_keys=True, default=str) for value in given]
            if not given:
                raise UserError(f"{node.origin}: 'vary.{key}' is an empty list: write the values to try")
            if repeated := next((text for text in shown if shown.count(text) > 1), None):
                raise UserError(f"{node.origin}: 'vary.{key}' has {shortened(repeated)} twice: keep one")
        elif not (isinstance(given, dict) and len(given) == 1 and next(iter(given)) in Range.model_fields):
            raise UserError(
                f"{node.origin}: 'vary.{key}' is {shortened(json.dumps(given, default=str))}: write a list of values, "
                f"or a range: {{uniform: [low, high]}}, {{log: [low, high]}} or {{int: [low, high]}}"
            )


def _base(sweep: Sweep, root: Node) -> Config:
    """The config of the sweep, with its metric; it must have validation data to compare trials on."""
    metric = root.children.get("metric")
    base = config_with(sweep.config, [(("train", "metric"), deepcopy(metric))] if metric and sweep.metric else [])
    if base.stages:
        raise UserError(f"{root.place(('config',))}: {sweep.config} has stages, and a trial is one training: "
                        f"name a config without them")  # fmt: skip
    if base.train.seeds:
        raise UserError(f"{root.place(('config',))}: {sweep.config} has train.seeds, and the sweep has seeds of its "
                        f"own: set seeds here, and remove train.seeds there")  # fmt: skip
    if base.data.validation is None:
        raise UserError(f"{sweep.config}: data.validation is not set, and trials are compared on it: name a file")
    if sweep.search == "grid" and (ranges := [key for key, values in sweep.vary.items() if isinstance(values, Range)]):
        place = root.place(("vary", ranges[0]))
        raise UserError(f"{place}: 'vary.{ranges[0]}' is a range, which has no grid: write a list, or search: random")
    if sweep.seeds > 1 and "train.seed" in sweep.varied:
        place = root.place(("vary", "train.seed"))
        raise UserError(f"{place}: 'vary.train.seed' varies what seeds sets: remove one of the two")
    return base


def _require_values(sweep: Sweep, root: Node) -> None:
    """Check each value of each key with the config, beside the first value of the other keys."""
    vary = root.children["vary"].children
    first = {key: next(_probes(sweep.vary[key], node)) for key, node in vary.items()}
    for key, node in vary.items():
        for probe in _probes(sweep.vary[key], node):
            chosen = {**first, key: probe}
            config_with(sweep.config, [(tuple(name.split(".")), deepcopy(value)) for name, value in chosen.items()])


def _probes(values: tuple[Any, ...] | Range, node: Node) -> Iterator[Node]:
    """The values of a key to check, with their places."""
    if not isinstance(values, Range):
        yield from node.children.values()
        return
    kind, (low, high) = values.given
    inner = [] if kind == "int" else [low + PROBE * (high - low)]
    for value in (low, high, *inner):
        yield Node(value, node.origin, text=json.dumps(value))
