"""Export a model to ONNX, which onnxruntime and others run without torch.

The exported model is verified: onnxruntime must compute the same logits as torch, also for batches of other sizes and
lengths than the traced one.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..hub_client import first_line
from ..model.onnx_model import FILE, OnnxModel
from ..packages import require_packages
from ..tasks.base import Task

PACKAGES = ("onnx", "onnxruntime", "onnxscript")
TRACED = (7, 4)
"""Lengths in tokens of the traced texts. All sizes are above 1: torch would treat a size of 1 as constant."""
CHECKED = ((5,), (8, 1, 3))
"""Lengths in tokens of the texts of each batch that the export is verified with."""
TOLERANCE = 1e-4
"""Largest allowed difference of two logits, relative to the largest logit if that is above 1."""

Compute = Callable[[Any, dict[str, Tensor]], Sequence[Tensor]]
"""Outputs of a model for inputs by name."""


class NotConvertedError(Exception):
    """Why a model cannot be converted; what else to do depends on its method."""


def require_onnx() -> None:
    """Raise UserError if a package is missing."""
    require_packages("--format onnx", *PACKAGES)


def write_logits(folder: Path, task: Task[Any, Any], model: Any, tokenizer: Any) -> None:
    """Write `model.onnx`, one pass over whole texts, to the folder.

    The inputs are those of the tokenizer, the output is `logits`, or `sentence_embedding` of a bi-encoder; batch size
    and length are dynamic. Raises NotConvertedError if the conversion fails or the logits differ.
    """

    def logits(model: Any, inputs: dict[str, Tensor]) -> Sequence[Tensor]:
        return [task.logits(model(**task.model_inputs(model, inputs, inputs["input_ids"])), inputs)]

    output = "sentence_embedding" if task.settings.compares_examples else "logits"
    inputs = texts(model, tokenizer, TRACED)
    lengths = dict.fromkeys(inputs, "length")
    convert(folder / FILE, model, logits, {**inputs, **features(task, len(TRACED))}, lengths, [output])
    exported = load_exported(folder, model.config)
    for checked in CHECKED:
        inputs = {**texts(model, tokenizer, checked), **features(task, len(checked))}
        (expected,) = logits(model, inputs)
        read = inputs["attention_mask"].bool() if expected.ndim == 3 else ...  # logits of padding are undefined
        require_equal(run(exported, **inputs).logits[read], expected[read])


def convert(
    path: Path,
    model: Any,
    compute: Compute,
    inputs: Mapping[str, Tensor],
    lengths: Mapping[str, str],
    outputs: Sequence[str],
) -> None:
    """Write the graph of `compute` to a file.

    Dynamic are the first axis of each input, the batch, and that of its length, which `lengths` names: the second one
    of token ids and masks, the third one of keys and values. Other inputs have none. Raises NotConvertedError if torch
    cannot convert it.
    """
    graph = _Graph(model.eval(), compute, [*inputs]).requires_grad_(False)
    axes = tuple(
        {0: "batch", **({value.ndim // 2: lengths[name]} if name in lengths else {})} for name, value in inputs.items()
    )
    with quiet():
        try:
            program = torch.onnx.export(
                graph,
                (*inputs.values(),),
                dynamo=True,
                dynamic_shapes=(axes,),
                input_names=[*inputs],
                output_names=outputs,
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            reason = first_line(error.__cause__ if isinstance(error.__cause__, Exception) else error)
            raise NotConvertedError(f"torch cannot convert this {model.config.model_type} model ({reason})") from error
        assert program
        for node in program.model.graph.all_nodes():
            node.metadata_props.clear()  # it holds the paths of this machine
        program.save(path)


class _Graph(torch.nn.Module):
    """A model as a function from tensors in a fixed order to its outputs."""

    def __init__(self, model: Any, compute: Compute, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.compute, self.names = model, compute, names

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return (*self.compute(self.model, dict(zip(self.names, tensors, strict=True))),)


def texts(model: Any, tokenizer: Any, lengths: Sequence[int], side: str = "right") -> dict[str, Tensor]:
    """Padded inputs of the model: texts of random tokens, each of the given length."""
    random = torch.Generator().manual_seed(0)
    ordinary = torch.tensor([i for i in range(len(tokenizer)) if i not in tokenizer.all_special_ids])
    rows = [ordinary[torch.randint(len(ordinary), (length,), generator=random)] for length in lengths]
    ids = pad_sequence(rows, batch_first=True, padding_value=tokenizer.pad_token_id, padding_side=side)
    types = getattr(model.config, "type_vocab_size", 1) or 1
    inputs = {
        "input_ids": ids,
        "attention_mask": pad_sequence([torch.ones_like(row) for row in rows], batch_first=True, padding_side=side),
        "token_type_ids": torch.randint(types, ids.shape, generator=random),
    }
    return {name: inputs[name] for name in inputs if name in tokenizer.model_input_names}


def features(task: Task[Any, Any], rows: int) -> dict[str, Tensor]:
    """Random tabular features, some of them missing or unknown; nothing where the task has none."""
    columns, draw = task.tabular.columns.values(), np.random.default_rng(0)
    if not columns:
        return {}
    choices = [[0.5, -1.5, np.nan] if one["type"] == "number" else range(-1, len(one["values"])) for one in columns]
    drawn = np.stack([draw.choice([*choice], rows) for choice in choices], 1)
    return {"features": torch.from_numpy(drawn).float()}


def load_exported(folder: Path, config: Any) -> OnnxModel:
    """The model of the folder. Raises NotConvertedError if onnxruntime cannot load it."""
    exported: OnnxModel = _by_onnxruntime(lambda: OnnxModel(folder, config))
    return exported


def run(exported: OnnxModel, **inputs: Any) -> Any:
    """Logits and cache of an exported model. Raises NotConvertedError if onnxruntime cannot run it."""
    return _by_onnxruntime(lambda: exported(**inputs))


def _by_onnxruntime(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:  # its errors have no common base class
        raise NotConvertedError(f"onnxruntime cannot run the converted model ({first_line(error)})") from error


def require_equal(found: Tensor, expected: Tensor) -> None:
    """Raise NotConvertedError where logits differ by more than rounding."""
    worst, largest = float((found - expected).abs().max()), float(expected.abs().max())
    if not worst <= TOLERANCE * max(1.0, largest):  # also refuses nan
        raise NotConvertedError(f"the logits of the converted model differ by up to {worst:.2g} of {largest:.2g}")


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
