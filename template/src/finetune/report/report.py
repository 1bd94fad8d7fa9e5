"""The report of a run: one HTML page with embedded plots, from the run's folder and the check of its data."""

import base64
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from .. import plotting
from ..errors import UserError
from ..files import MANIFEST
from ..run.folder import data_check_folder
from ..run.history import TrainingHistory, read_history
from . import plots
from .page import render


def write_report(run: Path) -> Path:
    """Write `report/index.html` and its plots into the run's folder; return the path of the page.

    The page names what the run does not have yet. Raises UserError if `run` is not the folder of a run.
    """
    config_file = run / "config.json"
    if not config_file.is_file():
        raise UserError(f"{run} is not a run folder: it has no config.json; name a folder such as runs/demo")
    config = read_object(config_file, "start the training again")
    evaluations = read_evaluations(run)
    history = read_history(run / "metrics.jsonl")
    main_metric = history.first_metric() or (evaluations[0]["headline"] if evaluations else None)

    folder = run / "report"
    folder.mkdir(exist_ok=True)
    for stale in folder.glob("*.png"):
        stale.unlink()
    page = render(
        name=config.get("run", {}).get("name") or run.resolve().name,
        facts=facts(config, history, main_metric),
        curves=[embed(path) for path in draw_curves(history, main_metric, folder)],
        evaluations=[
            {**evaluation, "pictures": [embed(path) for path in draw_results(evaluation, folder)]}
            for evaluation in evaluations
        ],
        stages=read_stages(run, folder),
        validated=bool(history.validation),
        data=read_data_check(run, config),
        config=yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
    )
    index = folder / "index.html"
    index.write_text(page, encoding="utf-8")
    return index


def read_evaluations(run: Path) -> list[dict[str, Any]]:
    """The evaluations of the run, that of the test split first."""
    paths = sorted(run.glob("evaluation-*.json"), key=lambda path: (path.stem != "evaluation-test", path.stem))
    return [
        # Plots are named after the file: a name from its content could lead out of the folder.
        {**read_object(path, "remove it and evaluate again"), "split": path.stem.removeprefix("evaluation-")}
        for path in paths
    ]


def read_data_check(run: Path, config: dict[str, Any]) -> dict[str, Any] | None:
    """What `check-data` found, if it checked the same data, tokenizer and max_length that the run was trained with."""
    folder = data_check_folder(run.parent, config.get("run", {}).get("name") or run.name)
    environment = run / "environment.json"
    if not (folder / "data-check.json").is_file() or not environment.is_file():
        return None
    check = read_object(folder / "data-check.json", "check the data again")
    inputs = read_object(environment, "start the training again").get("data", {})
    files = {path: checksum for path, checksum in inputs.items() if Path(path).name != MANIFEST}  # data only
    model, where = config.get("model", {}), config.get("data", {}).get("where", {})
    trained_with = (files, where, model.get("name"), model.get("max_length"))
    if (check.get("data"), check.get("where"), check.get("model"), check.get("max_length")) != trained_with:
        return None
    return {**check, "picture": embed(folder / "data-check.png")}


def read_stages(run: Path, folder: Path) -> dict[str, Any] | None:
    """The scores of continual training with stages, with their plot; None for any other run."""
    path = run / "stages.json"
    if not path.is_file():
        return None
    content = read_object(path, "continue the training with --resume")
    return {**content, "picture": embed(plots.stage_matrix(content, folder / "stages.png"))}


def read_object(path: Path, remedy: str) -> dict[str, Any]:
    """The JSON object in a file that this program wrote. Raises UserError if it holds anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error}): {remedy}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: must hold a JSON object: {remedy}")
    return content


def facts(config: dict[str, Any], history: TrainingHistory, main_metric: str | None) -> dict[str, str]:
    """The facts under the title."""
    found: dict[str, Any] = {
        "task": config.get("task", {}).get("type"),
        "model": config.get("model", {}).get("name"),
        "method": config.get("method", {}).get("type"),
    }
    if history.train:
        last = history.train[-1]
        found["steps"] = f"{last['step']:,}"
        if "seconds" in last:
            found["training time"] = str(timedelta(seconds=round(last["seconds"])))
    if best := history.best(main_metric):
        found["best step"] = f"{best[0]:,}"
    return {name: str(value) for name, value in found.items() if value}


def draw_curves(history: TrainingHistory, main_metric: str | None, folder: Path) -> list[Path]:
    """The training curves; none if nothing was logged."""
    drawn = []
    if history.values("train", "loss") or history.values("validation", "loss"):
        drawn.append(plots.loss_curve(history, folder / "loss.png"))
    if main_metric and history.values("validation", main_metric):
        drawn.append(plots.metric_curve(history, main_metric, folder / "metric.png"))
    if history.values("train", "lr"):
        drawn.append(plots.learning_rate(history, folder / "learning-rate.png"))
    return drawn


def draw_results(evaluation: dict[str, Any], folder: Path) -> list[Path]:
    """The plots of an evaluation: each confusion matrix, then each scatter plot."""
    split = evaluation["split"]
    return [
        *(
            plots.confusion_matrix(matrix, folder / f"confusion-{split}-{number}.png")
            for number, matrix in enumerate(evaluation["matrices"], start=1)
        ),
        *(
            plots.scatter(points, folder / f"scatter-{split}-{number}.png")
            for number, points in enumerate(evaluation["scatters"], start=1)
        ),
    ]


def embed(picture: Path) -> dict[str, Any]:
    """A PNG file as a data URL, so that the page needs no other file; `width` in CSS pixels."""
    data = picture.read_bytes()
    dots = int.from_bytes(data[16:20])  # the width in the header of a PNG
    url = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return {"name": picture.stem, "url": url, "width": dots * 96 // plotting.DOTS_PER_INCH}
