"""The ONNX graphs of an export in place of a model of torch, for inference on the CPU by onnxruntime."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

FILE = "model.onnx"
"""The model; of an encoder-decoder the decoder."""
ENCODER_FILE = "encoder.onnx"
PAST, PRESENT = "past_key_values", "present"
"""Beginnings of the names of keys and values, as inputs and as outputs."""


class OnnxModel(torch.nn.Module):
    """The graphs in a folder, with the interface of a transformers model: tensors in, an object with logits out."""

    device = torch.device("cpu")

    def __init__(self, folder: Path, config: Any, *, spinning: bool = True) -> None:
        """`spinning`: whether the threads of a forward pass wait for each other actively, which needs free cores."""
        super().__init__()
        self.config = config
        self._session = _session(folder / FILE, spinning)
        self._encoder = _session(folder / ENCODER_FILE, spinning) if (folder / ENCODER_FILE).exists() else None
        self._inputs = {one.name: one.shape for one in self._session.get_inputs()}
        self._outputs = [one.name for one in self._session.get_outputs()]

    def forward(self, past: Mapping[str, Any] | None = None, **inputs: Any) -> SimpleNamespace:
        """`logits`, and in `past` what the next call needs to read on; arguments that the graph lacks are left out."""
        arrays = {name: value.numpy() for name, value in inputs.items() if isinstance(value, Tensor)}
        if self._encoder:
            read = {name: arrays[name] for name in ("input_ids", "attention_mask")}
            if past is None:
                names = [one.name for one in self._encoder.get_outputs()]
                past = dict(zip(names, self._encoder.run(names, read), strict=True))
            arrays = {"input_ids": arrays["decoder_input_ids"], "encoder_attention_mask": read["attention_mask"]}
        feed = {**self._empty_cache(len(arrays["input_ids"])), **(past or {}), **arrays}
        found = self._session.run(self._outputs, {name: feed[name] for name in self._inputs})
        outputs = dict(zip(self._outputs, found, strict=True))
        logits = torch.from_numpy(outputs.pop(self._outputs[0]))
        cache = {name.replace(PRESENT, PAST, 1): value for name, value in outputs.items()}
        return SimpleNamespace(logits=logits, past={**(past or {}), **cache})

    def _empty_cache(self, rows: int) -> dict[str, Any]:
        """Keys and values of no tokens: (rows, heads, 0, size of a head)."""
        shapes = {name: shape for name, shape in self._inputs.items() if name.startswith(PAST)}
        return {name: np.zeros((rows, shape[1], 0, shape[3]), np.float32) for name, shape in shapes.items()}


def _session(path: Path, spinning: bool) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
