"""The report of a run: one HTML page with embedded plots, from the run's folder and the check of its data."""

import base64
import re
from pathlib import Path
from shlex import quote
from typing import Any

import yaml

from .. import optional
from ..errors import UserError
from ..files import MANIFEST, Folder, entries, is_plain
from ..run.folder import RunFolder, data_check_folder
from ..run.history import TrainingHistory, read_history
from ..run.records import DataCheck, Recorded, Stages, read_record
from ..tasks.verdict import verdict
from . import plots
from .explanations import explained
from .facts import environment_facts, main_facts
from .matrices import confusions, stage_matrix
from .page import render
from .words import Translate, translator

INDEX = "index.html"
PICTURE = re.compile(r"(loss|metric|learning-rate|(scatter|curve)-.+-[0-9]+|(reliability|coverage)-.+)\.(svg|png)")
"""Names of plots; earlier versions drew .png."""


def write_report(run: Path) -> Path:
    """Write `report/index.html` and its plots into the run's folder; return the path of the page.

    The page names what the run does not have yet. Raises UserError if `run` is not the folder of a run.
    """
    own = RunFolder(run)
    if not own.config_file.is_file():
        raise UserError(f"{run} is not a run folder: it has no config.json; name a folder such as runs/demo")
    config = read_record(own, own.config_file.name, Recorded, "start the training again")
    environment = read_environment(own)
    evaluations = own.evaluations()
    history = read_history(own.at(own.metrics_file.name))
    main_metric = history.first_metric() or (evaluations[0]["headline"] if evaluations else None)
    language = environment.get("language", "en")
    _ = translator(language)

    report = own.inner("report")
    with report.staged() as target:
        page = render(
            language,
            name_of_run=config.get("run", {}).get("name") or run.resolve().name,
            verdicts=verdicts(evaluations, _),
            facts=main_facts(config, environment, examples_of_test(config, evaluations), history, main_metric, _),
            environment=environment_facts(config, environment, _),
            curves=[embed(path) for path in draw_curves(history, main_metric, target, _)],
            evaluations=[
                {
                    **evaluation,
                    "matrices": [confusions(matrix) for matrix in evaluation["matrices"]],
                    "explanations": [explained(one) for one in evaluation.get("explanations", [])],
                    "drawn": draw_results(evaluation, target, _),
                }
                for evaluation in evaluations
            ],
            advice=advice(run, config, _),
            stages=read_stages(own),
            validated=bool(history.validation),
            data=read_data_check(own, config, environment),
            config=yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
        )
        (target / INDEX).write_text(page, encoding="utf-8")
        drawn = {path.name for path in target.iterdir()}
    for path in entries(report.path):
        if PICTURE.fullmatch(path.name) and path.name not in drawn:
            report.remove(path.name)
    return report.path / INDEX


def verdicts(evaluations: list[dict[str, Any]], _: Translate) -> list[str]:
    """What is to be said first: on which split a baseline is better, or as good."""
    told = {evaluation["split"]: verdict(evaluation, _) for evaluation in evaluations}
    return [_("{split}: {sentence}").format(split=_(split), sentence=text) for split, text in told.items() if text]


def advice(run: Path, config: dict[str, Any], _: Translate) -> dict[str, str]:
    """What to do where nothing was evaluated: the command, on data that the config names or else on another file."""
    data, command = config.get("data") or {}, f"python -m finetune evaluate {quote(run.as_posix())}"
    for split in ("test", "validation"):
        if data.get(split):
            return {"text": _("Nothing was evaluated yet: run"), "command": f"{command} --split {split}"}
    text = _(
        "Nothing was evaluated: the config names no validation or test data. With a file of labelled examples, run"
    )
    return {"text": text, "command": f"{command} --data FILE"}


def read_environment(run: RunFolder) -> dict[str, Any]:
    """What was recorded when the run was started; nothing if that is missing."""
    return run.environment() if run.environment_file.is_file() else {}


def examples_of_test(config: dict[str, Any], evaluations: list[dict[str, Any]]) -> dict[str, int]:
    """The number of test examples, if the run was evaluated on the test data of its config."""
    test = (config.get("data") or {}).get("test")
    for found in evaluations:
        if found["split"] == "test" and found["data"] == test:
            return {"test": found["examples"]}
    return {}


def read_data_check(run: RunFolder, config: dict[str, Any], environment: dict[str, Any]) -> dict[str, Any] | None:
    """What `check-data` found, if it checked the same data, tokenizer and max_length that the run was trained with."""
    name = config.get("run", {}).get("name") or run.path.resolve().name
    folder = data_check_folder(run.path.parent, name)
    if not is_plain(name) or not (folder / "data-check.json").is_file():
        return None
    check = read_record(Folder(folder), "data-check.json", DataCheck, "check the data again")
    inputs = environment.get("data", {})
    files = {path: checksum for path, checksum in inputs.items() if Path(path).name != MANIFEST}  # data only
    model, where = config.get("model", {}), config.get("data", {}).get("where", {})
    trained_with = (files, where, model.get("name"), model.get("max_length"))
    if (check.get("data"), check.get("where"), check.get("model"), check.get("max_length")) != trained_with:
        return None
    picture = Folder(folder).at("data-check.svg")  # earlier versions drew a .png
    return {**check, "picture": embed(picture) if picture.is_file() else None}


def read_stages(run: RunFolder) -> dict[str, Any] | None:
    """The scores of continual training with stages; None for any other run."""
    if not run.stages_file.is_file():
        return None
    return stage_matrix(read_record(run, run.stages_file.name, Stages, "continue the training with --resume"))


def draw_curves(history: TrainingHistory, main_metric: str | None, folder: Path, _: Translate) -> list[Path]:
    """The training curves; none if nothing was logged."""
    drawn = []
    if history.values("train", "loss") or history.values("validation", "loss"):
        drawn.append(plots.loss_curve(history, folder / "loss.svg", _))
    if main_metric and history.values("validation", main_metric):
        drawn.append(plots.metric_curve(history, main_metric, folder / "metric.svg", _))
    if history.values("train", "lr"):
        drawn.append(plots.learning_rate(history, folder / "learning-rate.svg", _))
    return drawn


def draw_results(evaluation: dict[str, Any], folder: Path, _: Translate) -> list[dict[str, Any]]:
    """The plots of an evaluation: each title with its picture. Those of earlier versions have no curves."""
    drawn = []
    for kind, draw in (("scatters", plots.scatter), ("curves", plots.curves)):
        for number, content in enumerate(evaluation.get(kind, []), start=1):
            path = folder / f"{kind.removesuffix('s')}-{evaluation['split']}-{number}.svg"
            drawn.append({"title": content["title"], "picture": embed(draw(content, path, _))})
    if part := optional.find("calibration", "plots"):
        pictures = part.draw(evaluation, folder, _).items()
        drawn += [{"title": title, "picture": embed(picture)} for title, picture in pictures]
    return drawn


def embed(picture: Path) -> dict[str, str]:
    """An SVG file as a data URL, so that the page needs no other file. As an image, it cannot run scripts."""
    data = base64.b64encode(picture.read_bytes()).decode()
    return {"name": picture.stem, "url": f"data:image/svg+xml;base64,{data}"}
