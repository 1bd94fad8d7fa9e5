"""The model of a run as it was before its training."""

from dataclasses import replace

import torch

from ..model.device import choose_device
from ..run.folder import RunFolder
from ..run.saved_model import SavedModel
from .seed import set_seed
from .start import FreshStart


def untrained(run: RunFolder, saved: SavedModel) -> SavedModel:
    """`saved`, the model of the run, with the weights that the training began with, those of the pretrained model.

    Whether a run may name that model is for the caller to check. Raises UserError if it cannot be loaded.
    """
    config = run.config()
    with torch.random.fork_rng():
        set_seed(config.train.seed)
        model, _ = FreshStart(config).load_model(saved.task, saved.tokenizer, total_steps=1)
    return replace(saved, model=model.to(choose_device(config.train.device)).eval())
