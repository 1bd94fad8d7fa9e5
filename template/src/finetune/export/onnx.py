"""Export a model to ONNX, which onnxruntime and others run without torch.

The exported model is verified: onnxruntime must compute the same logits as torch, also for batches of other sizes and
lengths than the traced one.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..errors import UserError
from ..hub.client import first_line
from ..tasks.base import Task
from ..tasks.settings import Settings

PACKAGES = ("onnx", "onnxruntime", "onnxscript")
FILE = "model.onnx"
TRACED = (7, 4)
"""Lengths in tokens of the traced texts. All sizes are above 1: torch would treat a size of 1 as constant."""
CHECKED = ((5,), (8, 1, 3))
"""Lengths in tokens of the texts of each batch that the export is verified with."""
TOLERANCE = 1e-4
"""Largest allowed difference of two logits, relative to the largest logit if that is above 1."""


class NotConvertedError(Exception):
    """Why a model cannot be converted; what else to do depends on its method."""


def require_onnx(task: Settings) -> None:
    """Raises UserError if a package is missing, NotConvertedError if the task needs two graphs (encoder-decoder)."""
    if task.auto_model == "AutoModelForSeq2SeqLM":
        raise NotConvertedError(
            "a model that reads one text and writes another is two models with a cache between them, not one ONNX file"
        )
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise UserError(
            f"--format onnx: needs {' and '.join(missing)}: pip install -c constraints.txt {' '.join(PACKAGES)}"
        )


def write_onnx(folder: Path, task: Task[Any, Any], model: Any, tokenizer: Any) -> None:
    """Write `model.onnx` to the folder. Raises NotConvertedError if the conversion fails or its logits differ.

    The inputs are those of the tokenizer, the output is `logits`; batch size and length are dynamic.
    """
    inputs = _texts(model, tokenizer, TRACED)
    logits = _Logits(model.eval(), task, [*inputs]).requires_grad_(False)
    with quiet():
        try:
            program = torch.onnx.export(
                logits,
                (*inputs.values(),),
                dynamo=True,
                dynamic_shapes=(({0: "batch", 1: "length"},) * len(inputs),),
                input_names=[*inputs],
                output_names=["logits"],
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            reason = first_line(error.__cause__ if isinstance(error.__cause__, Exception) else error)
            raise NotConvertedError(f"torch cannot convert this {model.config.model_type} model ({reason})") from error
        assert program
        for node in program.model.graph.all_nodes():
            node.metadata_props.clear()  # it holds the paths of this machine
        program.save(folder / FILE)
    _verify(folder / FILE, logits, [_texts(model, tokenizer, lengths) for lengths in CHECKED])


class _Logits(torch.nn.Module):
    """The model as a function from tensors in a fixed order to the logits."""

    def __init__(self, model: Any, task: Task[Any, Any], names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.task, self.names = model, task, names

    def forward(self, *tensors: Tensor) -> Tensor:
        inputs = dict(zip(self.names, tensors, strict=True))
        logits: Tensor = self.model(**self.task.model_inputs(self.model, inputs, tensors[0])).logits
        return logits


def _texts(model: Any, tokenizer: Any, lengths: Sequence[int]) -> dict[str, Tensor]:
    """Padded inputs of the model: texts of random tokens, each of the given length."""
    random = torch.Generator().manual_seed(0)
    ordinary = torch.tensor([i for i in range(len(tokenizer)) if i not in tokenizer.all_special_ids])
    rows = [ordinary[torch.randint(len(ordinary), (length,), generator=random)] for length in lengths]
    ids = pad_sequence(rows, batch_first=True, padding_value=tokenizer.pad_token_id)
    types = getattr(model.config, "type_vocab_size", 1) or 1
    inputs = {
        "input_ids": ids,
        "attention_mask": pad_sequence([torch.ones_like(row) for row in rows], batch_first=True),
        "token_type_ids": torch.randint(types, ids.shape, generator=random),
    }
    return {name: inputs[name] for name in inputs if name in tokenizer.model_input_names}


def _verify(path: Path, logits: torch.nn.Module, batches: Sequence[Mapping[str, Tensor]]) -> None:
    for inputs, found in zip(batches, _run(path, batches), strict=True):
        expected = logits(*inputs.values())
        if expected.ndim == 3:  # logits of tokens: those of padding are undefined
            read = inputs["attention_mask"].bool()
            expected, found = expected[read], found[read]
        worst, largest = float((found - expected).abs().max()), float(expected.abs().max())
        if not worst <= TOLERANCE * max(1.0, largest):  # also refuses nan
            raise NotConvertedError(f"the logits of the converted model differ by up to {worst:.2g} of {largest:.2g}")


def _run(path: Path, batches: Sequence[Mapping[str, Tensor]]) -> list[Tensor]:
    """The logits of onnxruntime."""
    import onnxruntime

    arrays = [{name: value.numpy() for name, value in inputs.items()} for inputs in batches]
    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return [torch.from_numpy(session.run(["logits"], inputs)[0]) for inputs in arrays]
    except Exception as error:  # its errors have no common base class
        raise NotConvertedError(f"onnxruntime cannot run the converted model ({first_line(error)})") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the converter's logging and warnings."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
