"""`--onnx`: an ONNX export of the run computes the logits, by onnxruntime."""

import json
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError
from ..run.saved_model import TASK_FILE, SavedModel

FILE = "model.onnx"


class OnnxModel(torch.nn.Module):
    """A graph with the interface of a transformers model: tensors in, an object with logits out."""

    device = torch.device("cpu")

    def __init__(self, path: Path, config: Any) -> None:
        super().__init__()
        import onnxruntime

        self.config = config
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # as OMP_WAIT_POLICY in command.py
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._names = [one.name for one in self._session.get_inputs()]

    def forward(self, **inputs: Tensor) -> SimpleNamespace:
        """The logits of a padded batch."""
        arrays = {name: inputs[name].numpy() for name in self._names}
        return SimpleNamespace(logits=torch.from_numpy(self._session.run(["logits"], arrays)[0]))


def load_onnx(folder: Path, saved: SavedModel) -> OnnxModel:
    """The model of an export of this saved model. Raises UserError if it is none, or onnxruntime is missing.

    The numbers of an exported regression are in the unit of the data; the task is told so.
    """
    if find_spec("onnxruntime") is None:
        raise UserError("--onnx: needs onnxruntime: pip install -c constraints.txt onnxruntime")
    try:
        known = json.loads((folder / TASK_FILE).read_text(encoding="utf-8"))
        exported = {name: value for name, value in known["state"].items() if value != {}}  # {}: left out by the export
        model = OnnxModel(folder / FILE, saved.model.config)
    except Exception as error:  # those of onnxruntime have no common base class
        raise UserError(
            f"{folder}: holds no ONNX export: make one with `finetune export RUN DIR --format onnx`"
        ) from error
    state = saved.task.state()
    if any(state.get(name) != value for name, value in exported.items()):
        raise UserError(f"{folder}: is the export of another run: export this one with --format onnx")
    if known.get("data_units"):
        saved.task.load_state({**state, "mean": 0.0, "deviation": 1.0})
    return model
