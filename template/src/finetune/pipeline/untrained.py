"""The search as it would be without training: with the weights that the training of the bi-encoder began with."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from ..embedding import embed
from ..model.device import choose_device
from ..model.precision import inference_precision
from ..run.folder import RunFolder
from ..run.saved_model import load_saved_model
from ..tasks.nearest import Retrieved, nearest
from ..train.seed import set_seed
from ..train.start import FreshStart


def untrained_search(
    run: RunFolder, queries: Sequence[str], corpus: Sequence[str], known: Sequence[list[int]]
) -> list[Retrieved]:
    """What the encoder before the training finds for each query; `known`: the numbers of the documents that answer."""
    config = run.config()
    saved = load_saved_model(run.model, config.train)
    device = choose_device(config.train.device)
    with torch.random.fork_rng():
        set_seed(config.train.seed)
        model, _ = FreshStart(config).load_model(saved.task, saved.tokenizer, total_steps=1)
    saved = replace(saved, model=model.to(device).eval())
    precision = inference_precision(config.train.precision, saved.precision, device)
    budget = config.train.micro_batch_tokens
    documents = embed(saved, corpus, "document", precision=precision, budget=budget)
    vectors = embed(saved, queries, "query", precision=precision, budget=budget)
    return nearest(lambda rows: vectors[rows] @ documents.T, corpus, known)
