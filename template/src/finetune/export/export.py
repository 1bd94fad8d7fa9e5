"""Export a run's best model for transformers, without peft and this package, or as an ONNX model."""

import json
from pathlib import Path
from typing import Literal

from ..errors import UserError
from ..files import publish
from ..model.methods import can_be_merged, merge
from ..run.folder import RunFolder
from ..run.saved_model import TASK_FILE, load_saved_model, to_data_units
from .onnx import NotConvertedError, require_onnx, write_onnx

Format = Literal["safetensors", "onnx"]


def export(
    run: RunFolder, folder: Path, form: Format = "safetensors", *, trust_remote_code: bool = False
) -> str | None:
    """Write model, tokenizer and state of the task to a new folder, with the weights of the method merged.

    Returns what a user of the numbers of a regression has to know, if there is something.
    Raises UserError if the folder exists, if the method cannot be merged, or if the model cannot be converted.
    """
    if folder.exists():
        raise UserError(f"{folder}: exists already: name a new folder")
    config = run.config()
    try:
        if form == "onnx":
            require_onnx(config.task)
        return _export(run, folder, form, trust_remote_code)
    except NotConvertedError as error:
        mergeable = can_be_merged(config.method)
        remedy = (
            "export it as safetensors" if mergeable else f"{config.method.type} has no other format: train with lora"
        )
        raise UserError(f"--format onnx: {error}: {remedy}") from error


def _export(run: RunFolder, folder: Path, form: Format, trust_remote_code: bool) -> str | None:
    saved = load_saved_model(run.best, trust_remote_code=trust_remote_code, to_merge=True)
    model = saved.model
    if form == "safetensors" or can_be_merged(saved.method):  # an ONNX graph can hold the layers of a method
        model = merge(saved.method, model)
    standardization, in_data_units = saved.task.standardization(), to_data_units(saved, model)

    def write(target: Path) -> None:
        if form == "onnx":
            write_onnx(target, saved.task, model, saved.tokenizer)
            model.config.save_pretrained(target)
            saved.tokenizer.padding_side = "right"  # the graph numbers positions from the first column on
        else:
            model.save_pretrained(target)
        saved.tokenizer.save_pretrained(target)
        # No file of transformers has a place for the state of the task, such as a threshold or a scale of the logits.
        known = {"max_length": saved.max_length, "state": saved.task.state()}
        if standardization:
            known["data_units"] = in_data_units
        (target / TASK_FILE).write_text(json.dumps(known, indent=1, ensure_ascii=False), encoding="utf-8")

    publish(folder, write)
    if in_data_units:
        return None
    return (
        f"the head of a {model.config.model_type} model has no bias, so its numbers stay standardized: multiply them "
        f"by the deviation and add the mean in {folder / TASK_FILE}"
    )
