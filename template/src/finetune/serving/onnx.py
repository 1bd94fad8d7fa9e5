"""`--onnx`: an ONNX export of the run computes the logits, by onnxruntime."""

import json
from pathlib import Path

from ..errors import UserError
from ..model.onnx_model import OnnxModel
from ..packages import require_packages
from ..run.saved_model import TASK_FILE, SavedModel


def load_onnx(folder: Path, saved: SavedModel) -> OnnxModel:
    """The model of an export of this saved model. Raises UserError if it is none, or onnxruntime is missing.

    The numbers of an exported regression are in the unit of the data, and logits are divided by the temperature; the
    task is told so.
    """
    require_packages("--onnx", "onnxruntime")
    try:
        known = json.loads((folder / TASK_FILE).read_text(encoding="utf-8"))
        exported = {name: value for name, value in known["state"].items() if value != {}}  # {}: left out by the export
        temperature = exported.pop("temperature", None)
        model = OnnxModel(folder, saved.model.config, spinning=False)  # as OMP_WAIT_POLICY in command.py
    except Exception as error:  # those of onnxruntime have no common base class
        raise UserError(
            f"{folder}: holds no ONNX export: make one with `finetune export RUN DIR --format onnx`"
        ) from error
    state = saved.task.state()
    if any(state.get(name) != value for name, value in exported.items()):
        raise UserError(f"{folder}: is the export of another run: export this one with --format onnx")
    if known.get("data_units"):
        saved.task.load_state({**state, "mean": 0.0, "deviation": 1.0})
    elif temperature is not None:
        saved.task.load_state({**state, "temperature": temperature})
    return model
