"""Baselines of retrieval: BM25 on the corpus of the scored data, and the encoder as it was before the training."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import UserError
from ..predict import infer_examples
from ..run.folder import RunFolder
from ..run.named_files import require_named_model
from ..run.saved_model import SavedModel
from ..tasks.bm25 import corpus_score
from ..tasks.nearest import Retrieved
from ..tasks.retrieval import Example, corpus_of, retrieved
from ..train.untrained import untrained

UNTRAINED = "the encoder before the training"


def by_bm25(examples: Sequence[Example]) -> list[Retrieved]:
    """Documents by BM25, whose statistics are those of the corpus."""
    corpus = corpus_of(examples)
    return retrieved(examples, corpus, corpus_score([example.query for example in examples], corpus))


def by_untrained_encoder(run: RunFolder, saved: SavedModel, examples: Sequence[Example]) -> list[Retrieved]:
    """With the weights that the training began with. Raises UserError if the run must not name the model."""
    require_named_model(run, run.config().model)
    encoded, found = infer_examples(run.config(), untrained(run, saved), examples, "evaluation")
    predictions: list[Retrieved] = saved.task.predictions(examples, encoded.features, found.decoded)
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
