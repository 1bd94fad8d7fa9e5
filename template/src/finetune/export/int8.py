"""Dynamic quantization of an ONNX model to 8 bits, and what it does to the metric.

Weights are stored as integers of 8 bits; activations are quantized while the model runs, each with the range of its
batch. The integers of the weights have 7 bits (`reduce_range`): with 8, processors without VNNI overflow in silence
(https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
"""

from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..config.config import Config, Files
from ..errors import UserError
from ..evaluate import measure
from ..hub_client import first_line
from ..model.onnx_model import OnnxModel
from ..run.saved_model import SavedModel
from ..tasks.base import Task
from .onnx import quiet

QUANTIZED = "MatMulInteger"
"""The operator that multiplies quantized matrices."""


def require_validation(config: Config) -> Files:
    """The files that the drop is measured on. Raises UserError if there is none, or the metric needs whole texts."""
    if config.task.text_metrics:
        raise UserError(
            f"--int8: {config.task.main_metric} of generated texts is not measured with onnxruntime, so the cost of "
            f"int8 would stay unknown: leave out --int8"
        )
    if config.data.validation is None:
        raise UserError("--int8: the drop of the metric is measured on data.validation, which is not set: set it")
    return config.data.validation


def quantize(
    folder: Path, config: Config, saved: SavedModel, examples: list[Any], *, in_data_units: bool
) -> dict[str, Any]:
    """Quantize `model.onnx` in the folder, in place; the main metric on `examples` before and after.

    `in_data_units`: whether a regression's numbers are not standardized.
    Raises UserError if onnxruntime cannot quantize the model.
    """
    metric = saved.task.main_metric
    saved = replace(saved, task=_measured(saved.task, in_data_units))
    before = _metric(folder, config, saved, examples)
    for source in folder.glob("*.onnx"):
        target = source.with_name(f"int8-{source.name}")
        _quantize(source, target)
        source.with_name(f"{source.name}.data").unlink(missing_ok=True)  # weights of a large model
        target.replace(source)
    after = _metric(folder, config, saved, examples)
    return {"metric": metric, "fp32": before, "int8": after}


def _measured(task: Task[Any, Any], in_data_units: bool) -> Task[Any, Any]:
    """The task, so that it takes the numbers of the graph as they are, and lets it generate no samples."""
    task = copy(task)
    if task.generation:
        task.generation = task.generation.model_copy(update={"samples": 0})
    if in_data_units and task.standardization():
        task.load_state({**task.state(), "mean": 0.0, "deviation": 1.0})
    return task


def _metric(folder: Path, config: Config, saved: SavedModel, examples: list[Any]) -> float:
    """The main metric of the ONNX model in a folder."""
    model = OnnxModel(folder, saved.model.config)
    scores = measure(config, replace(saved, model=model), examples).scores
    return scores.metrics[saved.task.main_metric]


def _quantize(source: Path, target: Path) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    try:
        with quiet():
            quantize_dynamic(source, target, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True)
        operators = {node.op_type for node in onnx.load(target, load_external_data=False).graph.node}
    except Exception as error:  # its errors have no common base class
        raise UserError(
            f"--int8: onnxruntime cannot quantize this model ({first_line(error)}): leave out --int8"
        ) from error
    if QUANTIZED not in operators:
        raise UserError("--int8: onnxruntime found no matrix to quantize in this model: leave out --int8")
