"""The facts of a run: what was trained on what, and what it takes to train it again."""

from datetime import datetime, timedelta
from typing import Any

from ..run.history import TrainingHistory
from .words import Translate

Facts = dict[str, str]


def main_facts(
    config: dict[str, Any],
    environment: dict[str, Any],
    evaluated: dict[str, int],
    history: TrainingHistory,
    metric: str | None,
    _: Translate,
) -> Facts:
    """The facts under the title; `evaluated` has the number of test examples, if the run was evaluated on them.

    Runs of earlier versions have recorded less: what is missing is left out.
    """
    found: dict[str, Any] = {
        "task": config.get("task", {}).get("type"),
        "model": config.get("model", {}).get("name"),
        "method": config.get("method", {}).get("type"),
    }
    if sizes := environment.get("examples"):
        found["examples"] = ", ".join(f"{_(split)} {count:,}" for split, count in {**sizes, **evaluated}.items())
    if tokens := environment.get("tokens"):
        found["tokens of an epoch"] = f"{tokens:,}"
    if sizes := environment.get("parameters"):
        numbers = {name: f"{size:,}" for name, size in sizes.items()}
        found["parameters"] = _("{trainable} of {total} trainable").format(**numbers)
    if history.train:
        last = history.train[-1]
        found["steps"] = f"{last['step']:,}"
        if "seconds" in last:
            found["training time"] = timedelta(seconds=round(last["seconds"]))
    if best := history.best(metric):
        found["best step"] = f"{best[0]:,}"
    if started := environment.get("started"):
        found["started"] = f"{datetime.fromisoformat(started):%Y-%m-%d %H:%M %z}"
    return _shown(found, _)


def environment_facts(config: dict[str, Any], environment: dict[str, Any], _: Translate) -> Facts:
    """What a repetition of the run needs to know: seed, device, versions, commit."""
    git = environment.get("git") or {}
    commit = git.get("commit")
    found = {
        "seed": config.get("train", {}).get("seed"),
        "device": environment.get("device"),
        "training precision": environment.get("precision"),
        "processes": environment.get("processes"),
        "system": environment.get("platform"),
        "python": environment.get("python"),
        **environment.get("packages", {}),
        "finetune": environment.get("finetune"),
        "template": environment.get("template"),
        "git commit": _("{commit}, modified").format(commit=commit) if git.get("modified") else commit,
    }
    return _shown(found, _)


def _shown(found: dict[str, Any], _: Translate) -> Facts:
    return {_(name): str(value) for name, value in found.items() if value is not None}
