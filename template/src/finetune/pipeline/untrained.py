"""The search as it would be without training: with the weights that the training of the bi-encoder began with."""

from collections.abc import Sequence

from ..embedding import embed
from ..model.precision import inference_precision
from ..run.folder import RunFolder
from ..run.saved_model import load_saved_model
from ..tasks.nearest import Retrieved, nearest
from ..train.untrained import untrained


def untrained_search(
    run: RunFolder, queries: Sequence[str], corpus: Sequence[str], known: Sequence[list[int]]
) -> list[Retrieved]:
    """What the encoder before the training finds for each query; `known`: the numbers of the documents that answer."""
    config = run.config()
    saved = untrained(run, load_saved_model(run.model, config.train))
    precision = inference_precision(config.train.precision, saved.precision, saved.model.device)
    budget = config.train.micro_batch_tokens
    documents = embed(saved, corpus, "document", precision=precision, budget=budget)
    vectors = embed(saved, queries, "query", precision=precision, budget=budget)
    return nearest(lambda rows: vectors[rows] @ documents.T, corpus, known)
