"""A model as an ONNX file, which onnxruntime and others run without torch.

torch converts it; the file counts only once onnxruntime has computed the same logits from it as the model itself, from
batches of other sizes and lengths than the one that was traced.
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
"""Tokens of the texts that the model is traced with: more than one of each, for a size of 1 is taken for a constant."""
CHECKED = ((5,), (8, 1, 3))
"""Tokens of the texts of each batch that the file is checked with."""
TOLERANCE = 1e-4
"""Largest difference of two logits, as a share of the largest logit where that is above 1."""


def require_onnx(task: Settings) -> None:
    """Raises UserError if a package is missing, or the task's model is not a single graph."""
    if task.auto_model == "AutoModelForSeq2SeqLM":
        raise UserError(
            "--format onnx: a model that reads one text and writes another is two models with a cache between them, "
            "not one ONNX file: export it as safetensors"
        )
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise UserError(
            f"--format onnx: needs {' and '.join(missing)}: pip install -c constraints.txt {' '.join(PACKAGES)}"
        )


def write_onnx(folder: Path, task: Task[Any, Any], model: Any, tokenizer: Any) -> None:
    """Write `model.onnx` to the folder. Raises UserError if the model cannot be converted, or computes otherwise then.

    Inputs are those that the tokenizer makes, the output is `logits`; number and length of the texts are free.
    """
    inputs = _texts(model, tokenizer, TRACED)
    logits = _Logits(model.eval(), task, [*inputs]).requires_grad_(False)
    with _quiet():
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
            raise UserError(
                f"--format onnx: torch cannot convert this {model.config.model_type} model ({reason}): "
                f"export it as safetensors"
            ) from error
        assert program
        program.save(folder / FILE)
    _check(folder / FILE, logits, [_texts(model, tokenizer, lengths) for lengths in CHECKED])


class _Logits(torch.nn.Module):
    """The model as a function of tensors in a fixed order, with nothing but the logits as its value."""

    def __init__(self, model: Any, task: Task[Any, Any], names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.task, self.names = model, task, names

    def forward(self, *tensors: Tensor) -> Tensor:
        inputs = dict(zip(self.names, tensors, strict=True))
        logits: Tensor = self.model(**self.task.model_inputs(self.model, inputs, tensors[0])).logits
        return logits


def _texts(model: Any, tokenizer: Any, lengths: Sequence[int]) -> dict[str, Tensor]:
    """Inputs of the model for texts of random tokens, padded."""
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


def _check(path: Path, logits: torch.nn.Module, batches: Sequence[Mapping[str, Tensor]]) -> None:
    for inputs, found in zip(batches, _run(path, batches), strict=True):
        expected = logits(*inputs.values())
        if expected.ndim == 3:  # of tokens; what stands at the padding means nothing
            read = inputs["attention_mask"].bool()
            expected, found = expected[read], found[read]
        worst, largest = float((found - expected).abs().max()), float(expected.abs().max())
        if not worst <= TOLERANCE * max(1.0, largest):  # nan is refused too
            raise UserError(
                f"--format onnx: the converted model computes other logits, by up to {worst:.2g} of {largest:.2g}: "
                f"export it as safetensors"
            )


def _run(path: Path, batches: Sequence[Mapping[str, Tensor]]) -> list[Tensor]:
    """The logits that onnxruntime computes."""
    import onnxruntime

    arrays = [{name: value.numpy() for name, value in inputs.items()} for inputs in batches]
    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return [torch.from_numpy(session.run(["logits"], inputs)[0]) for inputs in arrays]
    except Exception as error:  # its errors have no class in common
        raise UserError(
            f"--format onnx: onnxruntime cannot run the converted model ({first_line(error)}): export it as safetensors"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what the converter says of its own steps."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
