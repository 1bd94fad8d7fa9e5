"""Export a run's best model: for transformers, for peft (the adapter alone) or for onnxruntime, with a model card."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError

from ..config.config import Config
from ..config.methods import AnyMethod
from ..dataset import read_split
from ..errors import UserError
from ..files import publish
from ..hub_client import first_line
from ..model.head import output_layer, scaled
from ..model.methods import can_be_merged, has_virtual_tokens, merge
from ..run.folder import RunFolder
from ..run.named_files import require_named_data
from ..run.saved_model import TASK_FILE, SavedModel, load_saved_model, to_data_units
from ..tasks.probabilities import ProbabilityTask
from .adapter import require_peft, write_adapter
from .card import CardOptions, Kind, write_card
from .generation import decoding, ignored_settings, set_generation
from .int8 import quantize, require_validation
from .ollama import write_modelfile
from .onnx import NotConvertedError, require_onnx, write_logits
from .onnx_cache import write_decoder, write_encoder_decoder
from .sentence_transformers import write_modules

Format = Literal["safetensors", "onnx"]
SCRIPT = Path(__file__).parent / "scripts" / "predict.py"
"""Runs an ONNX model without torch and transformers; copied beside it, and no module of the package."""
OVERFLOW = Path(__file__).parent.parent / "data" / "overflow.py"
"""What it imports where long texts are not truncated."""
COUNTED = ("dictionary", "frequencies")
"""Parts of a task's state that only its trivial baselines need."""
NO_CARD_OPTIONS = CardOptions()


@dataclass(frozen=True, slots=True)
class Options:
    """What is exported, and what its model card says that the run does not know."""

    form: Format = "safetensors"
    adapter: bool = False
    """The adapter alone, without the weights of the base model."""
    int8: bool = False
    """Dynamic quantization of the ONNX model to 8 bits."""
    card: CardOptions = NO_CARD_OPTIONS
    trust_remote_code: bool = False

    def check(self, config: Config) -> None:
        """Raises UserError or NotConvertedError for what cannot be exported, before anything is loaded."""
        self.card.check()
        if self.adapter and self.form == "onnx":
            raise UserError("--adapter: an ONNX model holds the base model as well: leave out --format onnx")
        if self.int8 and self.form != "onnx":
            raise UserError("--int8: only an ONNX model is quantized: add --format onnx")
        if self.adapter:
            require_peft(config.method)
        if config.data.features and self.form != "onnx":
            raise UserError(
                f"--format {self.form}: transformers and peft do not read data.features, without which the numbers "
                f"would be wrong: add --format onnx, whose model has them as an input"
            )
        if self.form == "onnx":
            require_onnx()
            if config.task.auto_model == "AutoModelForSeq2SeqLM" and has_virtual_tokens(config.method):
                raise NotConvertedError(
                    f"an encoder-decoder with virtual tokens ({config.method.type}) is not converted"
                )
        if self.int8:
            require_validation(config)


def export(run: RunFolder, folder: Path, options: Options) -> list[str]:
    """Write the best model of a run, its tokenizer, the state of its task and a model card to a new folder.

    Returns what a user of the model has to know. Raises UserError if the folder exists, the options do not fit, the
    method cannot be merged, or the model cannot be converted.
    """
    _require_new(folder, run)
    config = run.config()
    try:
        options.check(config)
        return _export(run, folder, config, options)
    except NotConvertedError as error:
        raise UserError(f"--format onnx: {error}: {_other_format(config.method)}") from error


def _require_new(folder: Path, run: RunFolder) -> None:
    if os.path.lexists(folder):
        raise UserError(f"{folder}: exists already: name a new folder")
    for replaced in (run.best, run.checkpoints):
        if folder.resolve().is_relative_to(replaced.resolve()):
            raise UserError(f"{folder}: lies in {replaced}, which a training replaces: name a folder elsewhere")


def _other_format(method: AnyMethod) -> str:
    """What to do where a model cannot be converted."""
    if can_be_merged(method):
        return "export it as safetensors"
    if has_virtual_tokens(method):
        return "export it with --adapter"
    return f"{method.type} has no other format: train with lora"


def _export(run: RunFolder, folder: Path, config: Config, options: Options) -> list[str]:
    saved = load_saved_model(
        run.model, trust_remote_code=options.trust_remote_code, to_merge=True, without_base=options.adapter
    )
    examples = []
    if options.int8:
        files = require_validation(config)
        require_named_data(run, files, "leave out --int8")
        examples = read_split(config, saved.task, files)
    known, notes = _known(saved), list[str]()

    def write(target: Path) -> None:
        kind: Kind = "adapter" if options.adapter else options.form
        match kind:
            case "adapter":
                in_data_units = write_adapter(target, run.model, Path(options.card.name or folder))
            case "onnx":
                in_data_units = _write_onnx(target, saved, known, notes)
            case _:
                in_data_units = _write_merged(target, saved)
        if options.int8:
            known["int8"] = quantize(target, config, saved, examples, in_data_units=in_data_units)
        if saved.task.standardization():
            known["data_units"] = in_data_units
        known["state"] |= {name: saved.task.state()[name] for name in known["state"].keys() & {"temperature"}}
        saved.tokenizer.save_pretrained(target)
        (target / TASK_FILE).write_text(json.dumps(known, indent=1, ensure_ascii=False), encoding="utf-8")
        write_card(target, folder.name, run, saved, kind, options.card, known.get("int8"))

    try:
        publish(folder, write)
    except (OSError, SafetensorError) as error:  # the library safetensors has errors of its own for a full disk
        raise UserError(f"{folder}: cannot be written ({first_line(error)}): name a folder elsewhere") from error
    return [*notes, *_notes(folder, saved, known, options)]


def _known(saved: SavedModel) -> dict[str, Any]:
    """What no file of transformers has a place for, such as a threshold or a scale of the logits.

    Left out are the words of the training data, which the trivial baselines count: a model may be given to people who
    may not read the data.
    """
    state = {name: {} if name in COUNTED else value for name, value in saved.task.state().items()}
    return {"task": saved.task.settings.model_dump(), "max_length": saved.max_length, "state": state}


def _write_merged(target: Path, saved: SavedModel) -> bool:
    """The model, with what the method has learnt merged. Returns whether its numbers are in the unit of the data."""
    model = merge(saved.method, saved.model)
    in_data_units = to_data_units(saved, model)
    _fold_temperature(saved, model)
    if saved.task.generation:
        set_generation(saved, model)
    model.save_pretrained(target)
    if saved.task.settings.type == "chat":
        write_modelfile(target, saved)
    if saved.task.settings.type == "retrieval":
        write_modules(target, saved)
    return in_data_units


def _write_onnx(target: Path, saved: SavedModel, known: dict[str, Any], notes: list[str]) -> bool:
    """The ONNX model and a script that runs it. Returns whether its numbers are in the unit of the data."""
    model = saved.model
    if can_be_merged(saved.method):  # a graph can hold the layers of a method that cannot be
        model = merge(saved.method, model)
    in_data_units = to_data_units(saved, model)
    _fold_temperature(saved, model)
    saved.tokenizer.padding_side = "right"  # from which position on a graph without a cache counts
    if saved.task.generation:
        _write_generator(target, saved, model, notes)
        known["decoding"] = decoding(saved, model)
    else:
        write_logits(target, saved.task, model, saved.tokenizer)
    model.config.save_pretrained(target)
    if saved.tokenizer.is_fast:
        shutil.copy(SCRIPT, target)
        if saved.task.overflow != "cut":
            shutil.copy(OVERFLOW, target)
    else:
        notes.append(f"{SCRIPT.name} is left out: the tokenizer of this model is none of the library tokenizers")
    return in_data_units


def _fold_temperature(saved: SavedModel, model: Any) -> None:
    """Divide the output layer by the temperature of the task, which is 1 then: softmax and sigmoid are calibrated.

    A head that does not end in a linear layer stays as it is, and so does the temperature.
    """
    _, layers = output_layer(model, saved.head)
    if isinstance(saved.task, ProbabilityTask) and layers:
        layers[-1].load_state_dict(scaled(layers[-1].state_dict(), 1 / saved.task.temperature, 0.0))
        saved.task.temperature = 1.0


def _write_generator(target: Path, saved: SavedModel, model: Any, notes: list[str]) -> None:
    """The graphs of a model that generates, with a key-value cache where its architecture and method allow it."""
    if model.config.is_encoder_decoder:
        write_encoder_decoder(target, model, saved.tokenizer)
    else:
        try:
            if has_virtual_tokens(saved.method):
                raise NotConvertedError(f"the virtual tokens of {saved.method.type} take its place")
            write_decoder(target, model, saved.tokenizer)
            saved.tokenizer.padding_side = "left"
        except NotConvertedError as error:
            notes.append(f"generation is slow, for the ONNX model has no key-value cache: {error}")
            write_logits(target, saved.task, model, saved.tokenizer)
    if ignored := ignored_settings(saved, model):
        notes.append(f"{SCRIPT.name} decodes greedily: it does not follow {', '.join(ignored)}")


def _notes(folder: Path, saved: SavedModel, known: dict[str, Any], options: Options) -> list[str]:
    notes = []
    if not known.get("data_units", True):
        notes.append(
            f"the head of a {saved.model.config.model_type} model has no bias, so its numbers stay standardized: "
            f"multiply them by the deviation and add the mean in {folder / TASK_FILE}"
        )
    if saved.task.overflow != "cut" and options.form == "safetensors":
        notes.append(
            f"model.overflow is {saved.task.overflow}, which other programs do not have: they read the beginning of a "
            f"text of more than {saved.max_length} tokens, and their answer may differ; predict and serve read it as "
            f"in the training, and so does the script of --format onnx"
        )
    if (temperature := known["state"].get("temperature", 1.0)) != 1.0:
        notes.append(
            f"the probabilities of this export are not calibrated: divide its logits by {temperature}, the temperature "
            f"in {folder / TASK_FILE}"
        )
    if int8 := known.get("int8"):
        notes.append(
            f"{int8['metric']} on the validation data: {int8['int8']:.4f} with int8, {int8['fp32']:.4f} without"
        )
    if options.card.license is None:
        notes.append("the model card names no license: add --license, such as apache-2.0")
    return notes
