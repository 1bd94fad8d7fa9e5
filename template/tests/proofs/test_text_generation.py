"""Text generation: every token is scored once, and where a prompt ends."""

import math

import pytest
import torch
from conftest import Project
from torch.nn import functional as F

from finetune.data.features import IGNORE
from finetune.data.rows import Columns, Row, read_rows
from finetune.errors import UserError
from finetune.model.tiny import tiny_tokenizer
from finetune.tasks.generative import Generated
from finetune.tasks.settings import TextGeneration
from finetune.tasks.text_generation import Example, TextGenerationTask

TEXT = "to be or not to be , that is the question , and it is a long one"
PAIRS = [Example("red mug", "A red mug ."), Example("a green and very large lamp", "It is green and large .")]


def fitted(*examples: Example, max_new_tokens: int = 4) -> TextGenerationTask:
    settings = {"type": "text-generation", "generation": {"max_new_tokens": max_new_tokens}}
    task = TextGenerationTask(TextGeneration.model_validate(settings))
    task.fit(examples)
    return task


@pytest.fixture(scope="module")
def tokenizer() -> object:
    return tiny_tokenizer("tiny:gpt2", [TEXT, *(f"{pair.prompt}\n{pair.completion}" for pair in PAIRS)] * 3)


def test_only_the_completion_of_a_prompt_counts(tokenizer) -> None:
    features = fitted(*PAIRS).encode(PAIRS, tokenizer, 64).features
    for pair, feature in zip(PAIRS, features, strict=True):
        ids = feature.inputs["input_ids"]
        assert tokenizer.decode(ids) == f"{pair.prompt}\n{pair.completion}<|endoftext|>"
        scored = [label for label in feature.labels if label != IGNORE]
        assert tokenizer.decode(scored) == f"{pair.completion}<|endoftext|>"
        assert feature.scored_labels == len(scored)
        assert tokenizer.decode(feature.prompt) == f"{pair.prompt}\n"


@pytest.mark.parametrize("max_length", [8, 9, 13, 64])
def test_every_token_of_a_long_text_counts_once(tokenizer, max_length: int) -> None:
    example = Example("", TEXT)
    features = fitted(example).encode([example], tokenizer, max_length).features
    ids = [*tokenizer(TEXT)["input_ids"], tokenizer.eos_token_id]
    predicted = [token for feature in features for token in feature.inputs["input_ids"][1:]]
    assert predicted == ids[1:]
    assert [feature.scored_labels for feature in features] == [feature.length - 1 for feature in features]
    assert max(feature.length for feature in features) <= max_length
    assert [bool(feature.prompt) for feature in features] == [True] + [False] * (len(features) - 1)
    assert TEXT.startswith(tokenizer.decode(features[0].prompt))


def test_long_prompts_are_truncated_at_the_beginning(tokenizer) -> None:
    whole = fitted(*PAIRS).encode(PAIRS, tokenizer, 64).features[1]
    encoded = fitted(*PAIRS).encode(PAIRS, tokenizer, whole.length - 2)
    feature = encoded.features[1]
    assert encoded.truncated == 1
    assert feature.inputs["input_ids"] == whole.inputs["input_ids"][2:]
    assert feature.scored_labels == whole.scored_labels
    very = fitted(*PAIRS).encode(PAIRS, tokenizer, 5).features[1]
    assert very.labels[0] == IGNORE
    assert very.inputs["input_ids"][1:] == very.labels[1:] == [t for t in whole.labels if t != IGNORE][:4]


def test_without_a_completion_the_prompt_is_all_there_is(tokenizer) -> None:
    task = fitted(*PAIRS)
    [feature] = task.encode([task.example(Row("x:1", {"prompt": "red mug"}, {}))], tokenizer, 64).features
    assert tokenizer.decode(feature.prompt) == "red mug\n"
    assert feature.scored_labels == 0


def test_texts_without_prompts_go_on_without_a_separator(tokenizer) -> None:
    task = fitted(Example("", TEXT))
    other = fitted(*PAIRS)
    other.load_state(task.state())
    [feature] = other.encode([Example("to be", None)], tokenizer, 64).features
    assert tokenizer.decode(feature.prompt) == "to be"


def test_a_text_file_is_one_text(project: Project) -> None:
    path = project.write("play.txt", "To be,\n\nor not.\n")
    [row] = read_rows(path, Columns(("prompt", "completion"), text_column="text"))
    assert fitted().example(row) == Example("", "To be,\n\nor not.\n")
    with pytest.raises(UserError, match=r"play\.txt: a \.txt file is one text to continue"):
        read_rows(path, Columns(("text", "label")))


def test_a_prompt_without_a_completion_is_refused_in_training(project: Project) -> None:
    path = project.write("half.jsonl", '{"text": "whole"}\n{"prompt": "half"}\n')
    with pytest.raises(UserError, match=r"half\.jsonl:2: no value in column 'completion'"):
        read_rows(path, Columns(("prompt", "completion"), text_column="text"))


def test_loss_and_decoding_are_those_of_the_shifted_tokens(tokenizer) -> None:
    task = fitted(*PAIRS)
    features = task.encode(PAIRS, tokenizer, 64).features
    labels = task.batch_labels(features, max(feature.length for feature in features))
    logits = torch.randn(*labels.shape, len(tokenizer), dtype=torch.float64)
    by_hand = [
        [F.cross_entropy(logits[row, i - 1], labels[row, i]) for i in range(1, labels.shape[1]) if labels[row, i] >= 0]
        for row in range(2)
    ]
    torch.testing.assert_close(task.loss(logits, labels), sum(map(sum, by_hand)))
    decoded = task.decode(logits, labels)
    assert [count for _, count, _ in decoded] == [feature.scored_labels for feature in features]
    assert [loss for loss, _, _ in decoded] == pytest.approx([float(sum(row)) for row in by_hand])


def test_perplexity_is_over_tokens_not_over_examples() -> None:
    metrics = fitted().score([PAIRS[0]] * 2, [Generated(1.0, 1, 1), Generated(9.0, 4, 2)]).metrics
    assert metrics["perplexity"] == pytest.approx(math.exp(10 / 5))
    assert metrics["token_accuracy"] == pytest.approx(3 / 5)


def test_the_baseline_is_the_frequency_of_tokens(tokenizer) -> None:
    task = fitted(*PAIRS)
    features = task.encode(PAIRS, tokenizer, 64).features
    task.fit_features(features)
    [(name, answers)] = task.baselines(PAIRS, features).items()
    assert name == "frequency of each token"
    counted = [token for feature in features for token in feature.labels if token != IGNORE]
    total = len(counted) + len(tokenizer)
    by_hand = [-math.log((counted.count(token) + 1) / total) for token in counted]
    assert sum(answer.loss for answer in answers) == pytest.approx(sum(by_hand))
    other = fitted(*PAIRS)
    other.load_state(task.state())
    assert other.baselines(PAIRS, features) == {name: answers}


def test_what_fits_exactly_is_not_truncated(tokenizer) -> None:
    whole = fitted(*PAIRS).encode(PAIRS[1:], tokenizer, 64).features[0]
    assert fitted(*PAIRS).encode(PAIRS[1:], tokenizer, whole.length).truncated == 0
    assert fitted(*PAIRS).encode(PAIRS[1:], tokenizer, whole.length - 1).truncated == 1


def test_rows_of_texts_and_of_prompts() -> None:
    assert fitted(*PAIRS).to_rows(Example("", "a text")) == [{"text": "a text"}]
    assert fitted(*PAIRS).to_rows(Example("a", "b")) == [{"prompt": "a", "completion": "b"}]
