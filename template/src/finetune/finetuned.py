"""A finetuned model as a folder that is complete in itself: weights, tokenizer, and what its task has learnt."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers
from pydantic import TypeAdapter

from . import config as settings
from .checkpoint import publish
from .config import Config
from .errors import UserError
from .model import load_pretrained
from .tasks import Task, make_task

TASK_FILE = "finetune.json"
TASKS: TypeAdapter[Any] = TypeAdapter(settings.AnyTask)


@dataclass(slots=True)
class Finetuned:
    """A model, ready to predict."""

    task: Task[Any, Any]
    model: Any
    tokenizer: Any
    max_length: int


def save_finetuned(folder: Path, config: Config, task: Task[Any, Any], model: Any, tokenizer: Any) -> None:
    """Write the model to `folder`, whole or not at all. transformers can load it too."""
    description = {
        "task": config.task.model_dump(),
        "state": task.state(),
        "max_length": config.model.max_length,
        "base_model": config.model.name,
    }

    def write(target: Path) -> None:
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)
        (target / TASK_FILE).write_text(json.dumps(description, indent=1, ensure_ascii=False), encoding="utf-8")

    publish(folder, write)


def load_finetuned(folder: Path) -> Finetuned:
    """Read the model back. Raises UserError if the folder is not a whole finetuned model."""
    try:
        description = json.loads((folder / TASK_FILE).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"{folder}: there is no finetuned model yet: let the training reach its first validation"
        ) from error
    task = make_task(TASKS.validate_python(description["task"]))
    task.load_state(description["state"])
    local = settings.Model(name=str(folder.absolute()))
    model, info = load_pretrained(
        getattr(transformers, task.auto_model), local, use_safetensors=True, output_loading_info=True
    )
    if info["missing_keys"] or info["mismatched_keys"]:
        raise UserError(f"{folder}: the model lacks weights: train the run again")
    return Finetuned(task, model, load_pretrained(transformers.AutoTokenizer, local), description["max_length"])
