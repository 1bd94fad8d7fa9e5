"""Contrastive loss with in-batch negatives: of the documents of a step, which one answers a query?"""

import torch
from torch import Tensor
from torch.nn import functional as F

QUERY, DOCUMENT, NEGATIVE = 0, 1, 2
"""Roles of a text. A document answers the query of its example, negatives do not."""


def row_losses(vectors: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """(rows,): cross-entropy of each query's own document among the documents and negatives of all rows (InfoNCE,
    van den Oord et al. 2018; in-batch negatives, Henderson et al. 2017); 0 for other rows, and without a document.

    `vectors`: (rows, width) of norm 1. `labels`: (rows, 4), the example, the role, the number of the example's query
    text and that of the row's own text. Documents that answer an equal query, and equal texts of them, are no
    negatives.
    """
    example, role, query, text = labels.unbind(1)
    documents = (role != QUERY).nonzero()[:, 0]
    positive = (example[:, None] == example[documents]) & (role[documents] == DOCUMENT) & (role == QUERY)[:, None]
    rows = positive.any(1).nonzero()[:, 0]
    losses = vectors.new_zeros(len(vectors))
    if not len(rows):
        return losses
    positive = positive[rows]
    # relevant[i, j]: whether the text of document j is one that answers a query equal to that of row i
    answers = documents[role[documents] == DOCUMENT]
    same_query = (query[rows, None] == query[answers]).float()
    relevant = same_query @ (text[answers, None] == text[documents]).float() > 0
    scores = (vectors[rows] @ vectors[documents].T / temperature).masked_fill(relevant & ~positive, -torch.inf)
    return losses.index_put((rows,), F.cross_entropy(scores, positive.int().argmax(1), reduction="none"))
