"""Export a run's best model for transformers, without peft and this package, or as an ONNX model."""

import json
from pathlib import Path
from typing import Literal

from ..errors import UserError
from ..files import publish
from ..model.methods import can_be_merged, merge
from ..run.folder import RunFolder
from ..run.saved_model import TASK_FILE, load_saved_model
from .onnx import require_onnx, write_onnx

Format = Literal["safetensors", "onnx"]


def export(run: RunFolder, folder: Path, form: Format = "safetensors", *, trust_remote_code: bool = False) -> None:
    """Write model, tokenizer and state of the task to a new folder, with the weights of the method merged.

    Raises UserError if the folder exists, if the method cannot be merged, or if the model cannot be converted.
    """
    if folder.exists():
        raise UserError(f"{folder}: exists already: name a new folder")
    if form == "onnx":
        require_onnx(run.config().task)
    saved = load_saved_model(run.best, trust_remote_code=trust_remote_code, to_merge=True)
    model = saved.model
    if form == "safetensors" or can_be_merged(saved.method):  # an ONNX graph can hold the layers of a method
        model = merge(saved.method, model)

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
        (target / TASK_FILE).write_text(json.dumps(known, indent=1, ensure_ascii=False), encoding="utf-8")

    publish(folder, write)
