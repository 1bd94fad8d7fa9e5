"""Baselines of retrieval: BM25 on the corpus of the scored data, and the encoder as it was before the training."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..errors import UserError
from ..inference import infer
from ..model.device import choose_device
from ..model.precision import inference_precision
from ..run.folder import RunFolder
from ..run.named_files import require_named_model
from ..run.saved_model import SavedModel
from ..tasks.bm25 import corpus_score
from ..tasks.nearest import Retrieved
from ..tasks.retrieval import Example, corpus_of, retrieved
from ..train.seed import set_seed
from ..train.start import FreshStart

UNTRAINED = "the encoder before the training"


def by_bm25(examples: Sequence[Example]) -> list[Retrieved]:
    """Documents by BM25, whose statistics are those of the corpus."""
    corpus = corpus_of(examples)
    return retrieved(examples, corpus, corpus_score([example.query for example in examples], corpus))


def by_untrained_encoder(run: RunFolder, saved: SavedModel, examples: Sequence[Example]) -> list[Retrieved]:
    """With the weights that the training began with. Raises UserError if the run must not name the model."""
    config = run.config()
    require_named_model(run, config.model)
    task: Any = saved.task
    device = choose_device(config.train.device)
    with torch.random.fork_rng():
        set_seed(config.train.seed)
        model, _ = FreshStart(config).load_model(task, saved.tokenizer, total_steps=1)
    encoded = task.encode(examples, saved.tokenizer, saved.max_length)
    precision = inference_precision(config.train.precision, saved.precision, device)
    budget = config.train.micro_batch_tokens
    found = infer(
        model.to(device).eval(), task, saved.tokenizer, encoded.features, "evaluation", budget=budget,
        precision=precision,
    )  # fmt: skip
    predictions: list[Retrieved] = task.predictions(examples, encoded.features, found.decoded)
    return predictions


def compared(
    run: RunFolder, saved: SavedModel, examples: Sequence[Example], entry: Callable[..., dict[str, Any]]
) -> dict[str, Any]:
    """The entries of both in an evaluation, and a note where the encoder before the training cannot be loaded."""
    started = time.monotonic()
    baselines, notes = [entry(saved.task, "BM25", examples, by_bm25(examples))], []
    try:
        baselines.append(entry(saved.task, UNTRAINED, examples, by_untrained_encoder(run, saved, examples)))
    except UserError as error:
        notes.append(f"The encoder before the training was not scored: {error}.")
    return {
        "fitted": f"BM25: {len(corpus_of(examples)):,} documents",
        "seconds": round(time.monotonic() - started, 3),
        "baseline": [{**one, "learnt": True} for one in baselines],
        "notes": notes,
    }
