"""Token classification: every word is scored exactly once; metrics as in seqeval and scikit-learn."""

import random
from collections import Counter

import numpy as np
import pytest
from conftest import SENTENCES
from seqeval.metrics import f1_score
from sklearn.metrics import precision_recall_fscore_support

from finetune.data.features import IGNORE
from finetune.model.tiny import tiny_tokenizer
from finetune.tasks.ner_tags import to_iob2
from finetune.tasks.settings import TokenClassification
from finetune.tasks.token_classification import Example, Prediction, TokenClassificationTask

EXAMPLES = [Example(words.split(), tags.split()) for words, tags in SENTENCES]


def fitted(examples: list[Example] = EXAMPLES, stride: int = 4) -> TokenClassificationTask:
    task = TokenClassificationTask(TokenClassification(type="token-classification", stride=stride))
    task.fit(examples)
    return task


@pytest.mark.parametrize(
    ("tags", "iob2"),
    [
        ("I-PER I-PER O", "B-PER I-PER O"),  # IOB1
        ("I-PER B-PER I-PER", "B-PER B-PER I-PER"),  # IOB1: two entities that touch
        ("I-PER I-LOC", "B-PER B-LOC"),
        ("B-PER I-PER O", "B-PER I-PER O"),  # IOB2
        ("S-PER B-LOC I-LOC E-LOC", "B-PER B-LOC I-LOC I-LOC"),  # IOBES
        ("U-PER B-LOC L-LOC O", "B-PER B-LOC I-LOC O"),  # BILOU
    ],
)
def test_all_schemes_become_iob2(tags: str, iob2: str) -> None:
    assert to_iob2(tags.split(), "x:1") == iob2.split()


def test_a_type_brings_both_its_tags() -> None:
    assert fitted([Example(["a"], ["B-X"])]).labels == ["O", "B-X", "I-X"]


def random_sentences(count: int, longest: int) -> list[Example]:
    """Words of one to many sub-words, and some that the tokenizer drops."""
    draw = random.Random(3)
    words = ["a", "Zürich", "antidisestablishmentarianism", "x-y-z", "don't", "你好", "\u200b", "2,500.00"]
    tags = ["O", "O", "B-LOC", "B-PER"]
    sentences = []
    for _ in range(count):
        size = draw.randint(1, longest)
        sentences.append(Example([draw.choice(words) for _ in range(size)], [draw.choice(tags) for _ in range(size)]))
    return sentences


@pytest.mark.parametrize("max_length", [8, 16, 31, 512])
@pytest.mark.parametrize("stride", [0, 4, 32])
def test_label_alignment(max_length: int, stride: int) -> None:
    examples = random_sentences(20, longest=40)
    task = fitted(examples, stride)
    texts = ["a b c d e f g h i j k l m n o p q r s t u v w x y z A B", *"Zürich don't"] * 3
    tokenizer = tiny_tokenizer("tiny:bert", texts)
    seen: Counter[tuple[int, int]] = Counter()
    for feature in task.encode(examples, tokenizer, max_length).features:
        assert feature.length <= max_length
        positions = [i for i, label in enumerate(feature.labels) if label != IGNORE]
        assert len(positions) == len(feature.words)
        for position, word in zip(positions, feature.words, strict=True):
            seen[feature.example, word] += 1
            token = examples[feature.example].tokens[word]
            first = tokenizer(token, add_special_tokens=False)["input_ids"][0]
            assert feature.inputs["input_ids"][position] == first
            assert task.labels[feature.labels[position]] == (examples[feature.example].tags or [])[word]
    visible = {
        (number, word)
        for number, example in enumerate(examples)
        for word, token in enumerate(example.tokens)
        if tokenizer(token, add_special_tokens=False)["input_ids"]
    }
    assert set(seen) == visible
    assert set(seen.values()) == {1}


def test_windows_answer_where_they_see_most() -> None:
    example = Example(list("abcdefghijkl"), ["O"] * 11 + ["B-X"])
    task = fitted([example], stride=4)
    tokenizer = tiny_tokenizer("tiny:bert", [" ".join("abcdefghijkl")] * 3)
    first, second = task.encode([example], tokenizer, max_length=10).features
    assert first.words == [0, 1, 2, 3, 4, 5]
    assert second.words == [6, 7, 8, 9, 10, 11]


def test_predictions_come_back_to_their_words() -> None:
    examples = random_sentences(30, longest=40)
    task = fitted(examples)
    tokenizer = tiny_tokenizer("tiny:bert", ["a b c Zürich don't"] * 3)
    features = task.encode(examples, tokenizer, max_length=16).features
    tags = np.eye(len(task.labels))
    right = [tags[[label for label in feature.labels if label != IGNORE]] for feature in features]
    for example, prediction in zip(examples, task.predictions(examples, features, right), strict=True):
        for token, true, predicted in zip(example.tokens, example.tags or [], prediction.tags, strict=True):
            visible = bool(tokenizer(token, add_special_tokens=False)["input_ids"])
            assert predicted == (true if visible else "O")


def random_tags(draw: random.Random, length: int) -> list[str]:
    return to_iob2([draw.choice(["O", "B-A", "I-A", "B-B", "I-B"]) for _ in range(length)], "x")


def test_metrics_equal_those_of_seqeval_and_scikit_learn() -> None:
    draw = random.Random(2)
    lengths = [draw.randint(1, 12) for _ in range(80)]
    true, predicted = ([random_tags(draw, length) for length in lengths] for _ in range(2))
    examples = [Example(["w"] * len(tags), tags) for tags in true]
    scores = fitted(examples).score(examples, [Prediction(tags, [1.0] * len(tags)) for tags in predicted])
    assert scores.metrics["f1"] == pytest.approx(f1_score(true, predicted))
    assert scores.metrics["f1_macro"] == pytest.approx(f1_score(true, predicted, average="macro"))
    flat_true, flat_predicted = ([tag for tags in side for tag in tags] for side in (true, predicted))
    weighted = precision_recall_fscore_support(flat_true, flat_predicted, average="weighted")[2]
    assert scores.metrics["token_f1_weighted"] == pytest.approx(weighted)
    assert scores.matrices[0].labels == ["A", "B", "O"]
    assert sum(map(sum, scores.matrices[0].counts)) == len(flat_true)
    right = sum(t.split("-")[-1] == p.split("-")[-1] for t, p in zip(flat_true, flat_predicted, strict=True))
    assert sum(scores.matrices[0].counts[i][i] for i in range(3)) == right
    assert [row[0] for row in scores.tables[1].rows] == [
        *("B-A", "I-A", "B-B", "I-B", "O"),
        *("micro avg", "macro avg", "weighted avg"),
    ]


def test_a_model_that_says_only_o_scores_nothing_on_entities() -> None:
    task = fitted()
    scores = task.score(EXAMPLES, task.baselines(EXAMPLES, [])["always O"])
    assert scores.metrics["f1"] == 0
    assert scores.metrics["token_f1_weighted"] > 0.5


def test_score_without_any_entity_is_zero_and_does_not_fail() -> None:
    scores = fitted().score([Example(["a"], ["O"])], [Prediction(["O"], [1.0])])
    assert scores.metrics["f1"] == 0


def test_the_baseline_is_the_most_frequent_tag_of_each_word() -> None:
    task = fitted()
    predictions = task.baselines(EXAMPLES, [])["each word's most frequent tag"]
    assert predictions[2].tags == ["B-ORG", "O", "B-PER", "O"]
