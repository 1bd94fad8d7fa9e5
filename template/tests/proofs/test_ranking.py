"""Ranking: the documents of a query stay together, wherever they stand in the file and however a step is split."""

import numpy as np
import pytest
import torch
from sklearn import metrics

from finetune.data.features import Feature
from finetune.data.rows import Row
from finetune.dataset import Split, concatenate
from finetune.errors import UserError
from finetune.model.tiny import tiny_tokenizer
from finetune.tasks.ranking import Example, RankingTask
from finetune.tasks.settings import Ranking


def ranking(loss: str = "listwise") -> RankingTask:
    task = RankingTask(Ranking.model_validate({"type": "ranking", "loss": loss}))
    task.fit([Example("q", ["a", "b", "c"], [0.0, 1.0, 2.0])])
    return task


def rows(*triples: tuple[str, str, object]) -> list[Row]:
    return [
        Row(f"x:{i}", {"query": q, "document": d, "label": label}, {}) for i, (q, d, label) in enumerate(triples, 1)
    ]


def test_rows_of_a_query_form_its_list_wherever_they_stand() -> None:
    first, second = ranking().parse(rows(("q", "a", 1), ("r", "b", 0), ("q", "c", 0)))
    assert (first.query, first.documents, first.labels, first.rows) == ("q", ["a", "c"], [1.0, 0.0], [0, 2])
    assert (second.query, second.rows) == ("r", [1])


def test_records_go_back_to_their_rows() -> None:
    task = ranking()
    examples = task.parse(rows(("q", "a", 1), ("r", "b", 0), ("q", "c", 0)))
    assert task.records(examples, [[0.1, 0.9], [0.5]]) == [
        {"score": 0.1, "rank": 2},
        {"score": 0.5, "rank": 1},
        {"score": 0.9, "rank": 1},
    ]


@pytest.mark.parametrize("label", [-1, "good", float("nan")])
def test_bad_relevance_is_refused(label: object) -> None:
    with pytest.raises(UserError, match=r"x:1: the label is .*relevance of 0 or more"):
        ranking().parse(rows(("q", "a", label)))


def test_equal_relevance_is_refused() -> None:
    with pytest.raises(UserError, match="every label is 0"):
        ranking().fit([Example("q", ["a", "b"], [0.0, 0.0])])


def labels(task: RankingTask, *lists: list[float]) -> torch.Tensor:
    features = [Feature(i, {"input_ids": [1]}, [label]) for i, values in enumerate(lists) for label in values]
    return task.batch_labels(features, 1)


def test_concatenated_datasets_keep_their_lists_apart() -> None:
    """A query of both has two lists, whose losses add up: -log softmax of (2, 0) and of (1, 0) at the relevant one."""
    task = ranking()
    features = [Feature(0, {"input_ids": [1]}, [label]) for label in (1.0, 0.0)]
    parts = [Split([object()], features, np.array([0, 2]), np.array([1, 1]), 0, "1 query") for _ in range(2)]
    both = concatenate(*parts)
    assert [[*both.features_of(unit)] for unit in range(len(both))] == [[0, 1], [2, 3]]
    assert [feature.example for feature in both.features] == [0, 0, 1, 1]
    logits = torch.tensor([[2.0], [0.0], [1.0], [0.0]])
    expected = np.log1p(np.exp(-2)) + np.log1p(np.exp(-1))
    assert float(task.loss(logits, task.batch_labels(both.features, 1))) == pytest.approx(expected)


def test_listwise_loss_is_a_cross_entropy_in_each_list() -> None:
    task = ranking("listwise")
    scores = torch.randn(6, 1, dtype=torch.float64)
    loss = task.loss(scores, labels(task, [0, 2, 1], [1, 0], [0]))
    first = torch.nn.functional.cross_entropy(scores[:3, 0], torch.tensor([0, 2 / 3, 1 / 3]).double())
    second = torch.nn.functional.cross_entropy(scores[3:5, 0], torch.tensor([1.0, 0]).double())
    torch.testing.assert_close(loss, first + second, rtol=1e-6, atol=0)


def test_pointwise_loss_is_a_binary_cross_entropy_of_graded_labels() -> None:
    task = ranking("pointwise")
    scores = torch.randn(3, 1, dtype=torch.float64)
    targets = torch.tensor([0, 1, 0.5], dtype=torch.float64)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(scores[:, 0], targets, reduction="sum")
    torch.testing.assert_close(task.loss(scores, labels(task, [0, 2, 1])), expected)


@pytest.mark.parametrize(("loss", "counts"), [("pointwise", [1, 1, 1, 1]), ("listwise", [1, 0, 0, 0])])
def test_what_is_counted(loss: str, counts: list[int]) -> None:
    """Listwise a list counts once, and not at all where nothing in it is relevant."""
    task = ranking(loss)
    examples = [Example("q", ["a", "b"], [0.0, 1.0]), Example("r", ["a", "b"], [0.0, 0.0])]
    features = task.encode(examples, tiny_tokenizer("tiny:bert", ["q r a b"] * 3), 16).features
    assert [feature.scored_labels for feature in features] == counts
    assert [feature.example for feature in features] == [0, 0, 1, 1]


def test_metrics_equal_those_of_scikit_learn() -> None:
    draw = np.random.default_rng(3)
    examples = [Example("q", ["d"] * 6, draw.integers(0, 3, 6).astype(float).tolist()) for _ in range(30)]
    predictions = [draw.random(6).tolist() for _ in examples]
    scores = ranking().score(examples, predictions).metrics
    kept = [(np.array(e.labels), np.array(p)) for e, p in zip(examples, predictions, strict=True) if any(e.labels)]
    for k in (3, 10):
        assert scores[f"ndcg@{k}"] == pytest.approx(np.mean([metrics.ndcg_score([r], [s], k=k) for r, s in kept]))
    average_precision = [metrics.average_precision_score(r > 0, s) for r, s in kept]
    assert scores["map"] == pytest.approx(np.mean(average_precision))


def test_metrics_by_hand() -> None:
    example = Example("q", ["a", "b", "c", "d"], [0.0, 1.0, 0.0, 1.0])
    scores = ranking().score([example], [[0.9, 0.8, 0.7, 0.6]]).metrics  # the relevant ones come second and fourth
    assert scores["mrr"] == 0.5
    assert (scores["recall@1"], scores["recall@3"]) == (0, 0.5)
    assert scores["map"] == pytest.approx((1 / 2 + 2 / 4) / 2)


def test_queries_are_counted_by_the_rank_of_their_first_relevant_document() -> None:
    """Ranks 1, 2, 2, 4 and 7; a query without a relevant document does not count."""
    ranks = [1, 2, 2, 4, 7]
    examples = [Example("q", ["d"] * 8, [float(place >= rank - 1) for place in range(8)]) for rank in ranks]
    predictions = [[-float(place) for place in range(8)] for _ in ranks]
    none = Example("none", ["d"], [0.0])
    table = ranking().score([*examples, none], [*predictions, [0.0]]).tables[-1]
    assert table.rows == [["1", 1, 0.2], ["2", 2, 0.4], ["3", 0, 0.0], ["4 to 5", 1, 0.2], ["6 to 10", 1, 0.2]]
    assert ranking().score([none], [[0.0]]).tables[-1].rows == []


def test_queries_without_a_relevant_document_are_left_out() -> None:
    examples = [Example("q", ["a"], [1.0]), Example("r", ["a", "b"], [0.0, 0.0])]
    assert ranking().score(examples, [[0.1], [0.1, 0.2]]).metrics["ndcg@10"] == 1.0


def test_baselines_are_the_file_and_the_words() -> None:
    found = ranking().baselines([Example("red tea", ["coffee", "Red tea here"], [0.0, 1.0])], [])
    assert found["the order of the file"] == [[0.0, -1.0]]
    assert found["words shared with the query"] == [[0.0, 1.0]]
