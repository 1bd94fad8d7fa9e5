"""A run's best model as an ordinary one, which needs neither peft nor this package."""

from pathlib import Path

from .checkpoint import publish
from .errors import UserError
from .finetuned import load_finetuned
from .methods import merged
from .run_folder import RunFolder


def export(run: RunFolder, folder: Path) -> None:
    """Write model and tokenizer to the new folder; what a method has added is computed into the weights.

    Raises UserError if the folder exists, or if the method adds what no ordinary model has.
    """
    if folder.exists():
        raise UserError(f"{folder}: exists already: name a new folder")
    finetuned = load_finetuned(run.best, to_merge=True)
    model = merged(finetuned.method, finetuned.model)

    def write(target: Path) -> None:
        model.save_pretrained(target)
        finetuned.tokenizer.save_pretrained(target)

    publish(folder, write)
