"""Retrieval: the contrastive loss by its definition, the same step however it is cut; ranks and metrics."""

import copy
import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Project, weights_that_matter
from sklearn.metrics import ndcg_score
from test_invariance import gradients

from finetune.config.load import load_config
from finetune.data.rows import Row
from finetune.embedding import vectors_of
from finetune.errors import UserError
from finetune.inference import infer
from finetune.model.forward import forward
from finetune.run.saved_model import SavedModel
from finetune.tasks.contrastive import DOCUMENT, NEGATIVE, QUERY, row_losses
from finetune.tasks.nearest import metrics, nearest
from finetune.tasks.pooling import pooled
from finetune.tasks.retrieval import Example, RetrievalTask
from finetune.tasks.settings import Retrieval
from finetune.train import contrastive
from finetune.train import loop as training

TEMPERATURE = 0.1


def by_definition(texts: list[tuple[int, int, str]], vectors: torch.Tensor) -> list[float]:
    """The loss of each row, text by text: (example, role, text)."""
    query_of = {example: text for example, role, text in texts if role == QUERY}
    losses = [0.0] * len(texts)
    for row, (example, role, query) in enumerate(texts):
        own = [i for i, (other, kind, _) in enumerate(texts) if other == example and kind == DOCUMENT]
        if role != QUERY or not own:
            continue
        answers = {text for other, kind, text in texts if kind == DOCUMENT and query_of[other] == query}
        others = [i for i, (_, kind, text) in enumerate(texts) if kind != QUERY and text not in answers]
        scores = [float(vectors[row] @ vectors[i]) / TEMPERATURE for i in [own[0], *others]]
        losses[row] = -scores[0] + math.log(sum(map(math.exp, scores)))
    return losses


TEXTS = [
    (0, QUERY, "q"), (0, DOCUMENT, "a"), (0, NEGATIVE, "n"),
    (1, QUERY, "r"), (1, DOCUMENT, "b"),
    (2, QUERY, "q"), (2, DOCUMENT, "c"), (2, NEGATIVE, "b"), (2, NEGATIVE, "a"),
    (3, QUERY, "s"), (3, DOCUMENT, "a"),
    (4, QUERY, "t"),
]  # fmt: skip
"""An equal query with another document, an equal document of another query, a negative that answers, no document."""


def labels_of(texts: list[tuple[int, int, str]]) -> torch.Tensor:
    query_of = {example: text for example, role, text in texts if role == QUERY}
    return torch.tensor([[example, role, ord(query_of[example]), ord(text)] for example, role, text in texts])


@pytest.mark.parametrize("order", [[*range(len(TEXTS))], [7, 2, 11, 0, 5, 9, 1, 10, 3, 8, 4, 6]])
def test_the_loss_is_that_of_its_definition(order: list[int]) -> None:
    vectors = torch.nn.functional.normalize(torch.randn(len(TEXTS), 5, dtype=torch.float64), dim=-1)
    found = row_losses(vectors[order], labels_of(TEXTS)[order], TEMPERATURE)
    expected = torch.tensor(by_definition(TEXTS, vectors), dtype=torch.float64)[order]
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert (found > 0).sum() == 4


def test_the_loss_of_texts_without_a_partner_is_0() -> None:
    labels = labels_of([(0, QUERY, "q"), (1, QUERY, "r")])
    assert row_losses(torch.eye(2), labels, 1.0).tolist() == [0, 0]
    assert row_losses(torch.zeros(0, 2), labels[:0], 1.0).shape == (0,)


def set_up(project: Project, *overrides: str) -> Any:
    path = project.config("retrieval", train={"clip_norm": None, "device": "cpu"})
    config = load_config(path, list(overrides))
    training.set_seed(config.train.seed)
    setup = training.build(config)
    setup.model.double()
    return config, setup


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_cut_step_with_dropout_is_the_step_of_its_masks(
    project: Project, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gradient of autograd through all micro-batches at once, which have drawn their masks in the same order."""
    weights_that_matter(monkeypatch, hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.3)
    config, setup = set_up(project, "train.micro_batch_tokens=30", f"method={{type: {method}}}")
    setup.model.train()
    rows = [*range(len(setup.train))]
    expected_setup, batches = copy.deepcopy(setup), []
    make = type(setup.batching).make_batch
    monkeypatch.setattr(type(setup.batching), "make_batch", lambda *a: batches.append(made := make(*a)) or made)
    torch.manual_seed(7)
    found = gradients(config, setup, rows)
    batches = batches[len(batches) // 2 :]
    assert len(batches) > 2
    torch.manual_seed(7)
    model, task = expected_setup.model, expected_setup.task
    vectors = torch.cat([forward(model, task, batch, "fp32") for batch in batches])
    loss = task.row_losses(vectors, torch.cat([batch.labels for batch in batches])).sum() / len(rows)
    loss.backward()
    expected = [p.grad for p in model.parameters() if p.grad is not None]
    for got, want in zip(found, expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)


def test_the_loss_of_a_cut_step_is_that_of_the_whole_step(project: Project) -> None:
    losses = []
    for budget in (1, 30, 10**6):
        config, setup = set_up(project, f"train.micro_batch_tokens={budget}")
        setup.model.eval()
        losses.append(training.optimizer_step(config, setup, [0, 1, 2, 3, 4]).loss)
    assert losses == pytest.approx([losses[-1]] * 3, rel=1e-12)
    assert losses[0] > 0.1


def test_the_loss_of_a_split_is_that_of_all_its_texts(project: Project) -> None:
    _, setup = set_up(project)
    setup.model.eval()
    features = setup.train.features
    how = partial(infer, setup.model, setup.task, setup.tokenizer, features, "evaluation", precision="fp32")
    result = how(budget=30)
    vectors = torch.from_numpy(np.stack(result.decoded))
    expected = setup.task.loss(vectors, setup.task.batch_labels(features, 0)) / len(setup.train)
    assert result.loss == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("how", ["mean", "cls", "last"])
def test_pooling_reads_no_padding(how: str) -> None:
    states = torch.randn(3, 5, 4, dtype=torch.float64)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]])
    for row, length in enumerate((5, 2, 1)):
        own = states[row, :length]
        vector = {"mean": own.mean(0), "cls": own[0], "last": own[-1]}[how]
        torch.testing.assert_close(pooled(states, mask, how)[row], vector / vector.norm())


def test_metrics_of_ranks_are_those_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):
        scores, relevant = generator.normal(size=30), generator.random(30) < 0.15
        if not relevant.any():
            continue
        answers = [int(i) for i in np.flatnonzero(relevant)]
        [found] = nearest(lambda _, scores=scores: scores[None], [str(i) for i in range(30)], [answers])
        values = metrics(found.ranks)
        assert values["ndcg@10"] == pytest.approx(ndcg_score([relevant], [scores], k=10), rel=1e-12)
        order = np.argsort(-scores)
        assert found.documents == [str(i) for i in order[:10]]
        hits = np.flatnonzero(relevant[order]) + 1
        assert found.ranks == hits.tolist()
        assert values["mrr@10"] == (1 / hits[0] if hits[0] <= 10 else 0)
        assert values["recall@5"] == pytest.approx((hits <= 5).sum() / len(hits))


def test_equal_scores_are_worth_nothing() -> None:
    [found] = nearest(lambda _: np.zeros((1, 30)), ["d"] * 30, [[0]])
    assert found.ranks == [30]


def test_the_corpus_is_that_of_the_split_and_equal_queries_share_their_answers() -> None:
    task = RetrievalTask(Retrieval(type="retrieval"))
    examples = [Example("q", "a", ("n",)), Example("r", "b"), Example("q", "c")]
    vectors = {"q": [1, 0], "r": [0, 1], "a": [0.8, 0.6], "b": [0.6, 0.8], "c": [0.9, 0.1], "n": [1, 0]}
    decoded = [np.array(vectors[text], float) for text in ("q", "a", "n", "r", "b", "q", "c")]
    first, second, third = task.predictions(examples, [], decoded)
    assert (first.documents, first.ranks) == (["n", "c", "a", "b"], [2, 3])
    assert (third.ranks, second.ranks) == ([2, 3], [1])
    scores = task.score(examples, [first, second, third])
    assert scores.metrics["recall@1"] == 0.5
    assert scores.metrics["mrr@10"] == 0.75
    sums = task.contributions(examples, [first, second, third])
    assert sums[2].tolist() == [0, 0]
    assert task.headline(sums.sum(0)) == pytest.approx(scores.metrics["ndcg@10"])
    [error] = task.errors(examples[:2], [first, second])
    assert (error.row, error.prediction, error.truth) == (0, "n", "a")


@pytest.mark.parametrize("negatives", [3, ["a", ""], [1], {"a": "b"}])
def test_negatives_are_texts(negatives: object) -> None:
    row = Row("x:1", {"query": "q", "document": "d", "negatives": negatives}, {})
    with pytest.raises(UserError, match=r"x:1: negatives is .*write a list of texts"):
        RetrievalTask(Retrieval(type="retrieval")).example(row)


def test_a_document_may_be_a_list_of_one() -> None:
    task = RetrievalTask(Retrieval(type="retrieval"))
    assert task.example(Row("x:1", {"query": "q", "document": ["d"]}, {})) == Example("q", "d")
    with pytest.raises(UserError, match="x:1: document has 2 texts: write a row for each of them"):
        task.example(Row("x:1", {"query": "q", "document": ["d", "e"]}, {}))


def test_prefixes_stand_before_the_texts_of_their_role(project: Project) -> None:
    _, setup = set_up(project, 'task.prefixes={query: "query: ", document: "passage: "}')
    examples = setup.train.examples[:1]
    encoded = setup.task.encode(examples, setup.tokenizer, 32).features
    written = [setup.tokenizer.decode(feature.inputs["input_ids"][1:-1]) for feature in encoded]
    assert [text.split()[0] for text in written] == ["query", "passage", "passage"]
    saved = SavedModel(setup.task, setup.model.eval(), setup.tokenizer, 32, None, [])
    for role, rows in (("query", encoded[:1]), ("document", encoded[1:])):
        texts = [examples[0].query] if role == "query" else [examples[0].document, *examples[0].negatives]
        again = setup.task.encode_texts(texts, role, setup.tokenizer, 32).features
        assert [f.inputs for f in again] == [f.inputs for f in rows]
        vectors = vectors_of(saved, again, precision="fp32", budget=10)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)


def test_a_single_micro_batch_needs_no_first_pass(project: Project) -> None:
    _, setup = set_up(project)
    assert contrastive.with_loss_functions(setup, [(None, True)]) == [(None, True, setup.task.loss)]
