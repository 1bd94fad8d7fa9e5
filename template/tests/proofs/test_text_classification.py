"""Text classification: labels, encoding, metrics as in scikit-learn."""

import random

import pytest
from sklearn import metrics

from finetune.data.rows import Row
from finetune.model.tiny import tiny_tokenizer
from finetune.tasks.settings import TextClassification
from finetune.tasks.text_classification import Example, Prediction, TextClassificationTask


def fitted(*labels: str) -> TextClassificationTask:
    task = TextClassificationTask(TextClassification(type="text-classification"))
    task.fit([Example("some text", None, label) for label in labels])
    return task


def test_labels_are_sorted_words_by_alphabet_numbers_by_value() -> None:
    assert fitted("b", "a", "c", "a").labels == ["a", "b", "c"]
    assert fitted("10", "9", "-1").labels == ["-1", "9", "10"]


def test_labels_may_be_numbers_and_booleans_in_the_file() -> None:
    task = TextClassificationTask(TextClassification(type="text-classification"))
    rows = [Row("x:1", {"text": "a", "label": value}, {}) for value in (0, 1, True)]
    assert [example.label for example in task.parse(rows)] == ["0", "1", "true"]


def test_state_survives_a_round_trip() -> None:
    task, other = fitted("b", "a", "b"), TextClassificationTask(TextClassification(type="text-classification"))
    other.load_state(task.state())
    assert (other.labels, other.majority) == (["a", "b"], "b")


def test_pairs_and_singles_keep_their_places() -> None:
    task = fitted("a", "b")
    examples = [Example("one two", None, "a"), Example("one", "two", "b"), Example("two two two", None, "b")]
    tokenizer = tiny_tokenizer("tiny:bert", ["one two"] * 4)
    features = task.encode(examples, tokenizer, max_length=16).features
    assert [feature.example for feature in features] == [0, 1, 2]
    assert [feature.labels for feature in features] == [[0], [1], [1]]
    for example, feature in zip(examples, features, strict=True):
        expected = tokenizer(example.text, example.text_pair)
        assert feature.inputs["input_ids"] == expected["input_ids"]
        assert feature.inputs["token_type_ids"] == expected["token_type_ids"]


def test_only_long_texts_are_truncated_and_counted() -> None:
    task = fitted("a", "b")
    tokenizer = tiny_tokenizer("tiny:bert", ["one two"] * 4)
    examples = [Example("one", None, "a"), Example("one " * 50, None, "a"), Example("one", "two " * 50, "b")]
    encoded = task.encode(examples, tokenizer, max_length=10)
    assert [feature.length for feature in encoded.features] == [3, 10, 10]
    assert encoded.truncated == 2


def test_metrics_equal_those_of_scikit_learn() -> None:
    draw = random.Random(1)
    labels = ["a", "b", "c"]
    task = fitted(*labels)
    true, predicted = ([draw.choice(labels) for _ in range(200)] for _ in range(2))
    scores = task.score([Example("x", None, t) for t in true], [Prediction(p, [1.0, 0.0, 0.0]) for p in predicted])
    assert scores.metrics["accuracy"] == pytest.approx(metrics.accuracy_score(true, predicted))
    for kind in ("macro", "micro", "weighted"):
        assert scores.metrics[f"f1_{kind}"] == pytest.approx(metrics.f1_score(true, predicted, average=kind))
    assert scores.metrics["mcc"] == pytest.approx(metrics.matthews_corrcoef(true, predicted))
    assert scores.matrices[0].counts == metrics.confusion_matrix(true, predicted).tolist()
    assert [row[0] for row in scores.tables[0].rows] == ["a", "b", "c", "macro avg", "weighted avg"]


def test_baseline_is_the_most_frequent_training_label() -> None:
    task = fitted("a", "b", "b")
    [(name, predictions)] = task.baselines([Example("x", None, "a"), Example("x", None, "b")], []).items()
    assert name == "always 'b'"
    assert [prediction.label for prediction in predictions] == ["b", "b"]
