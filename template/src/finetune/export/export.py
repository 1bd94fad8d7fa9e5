"""A run's best model as an ordinary one, which needs neither peft nor this package, or as an ONNX file."""

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


def export(run: RunFolder, folder: Path, form: Format = "safetensors") -> None:
    """Write model, tokenizer and what the task has learnt to the new folder.

    What a method has added is computed into the weights. Raises UserError if the folder exists, if the method adds what
    the format has no place for, or if the model cannot be converted.
    """
    if folder.exists():
        raise UserError(f"{folder}: exists already: name a new folder")
    if form == "onnx":
        require_onnx(run.config().task)
    finetuned = load_saved_model(run.best, to_merge=True)
    model = finetuned.model
    if form == "safetensors" or can_be_merged(finetuned.method):  # a graph may have layers that no ordinary model has
        model = merge(finetuned.method, model)

    def write(target: Path) -> None:
        if form == "onnx":
            write_onnx(target, finetuned.task, model, finetuned.tokenizer)
            model.config.save_pretrained(target)
            finetuned.tokenizer.padding_side = "right"  # the graph numbers positions from the first column
        else:
            model.save_pretrained(target)
        finetuned.tokenizer.save_pretrained(target)
        # What logits mean beside the label names, such as a threshold or a scale, no file of transformers holds.
        known = {"max_length": finetuned.max_length, "state": finetuned.task.state()}
        (target / TASK_FILE).write_text(json.dumps(known, indent=1, ensure_ascii=False), encoding="utf-8")

    publish(folder, write)
