"""Label alignment: what of an example is scored, at which position, and how many labels count."""

from typing import Any

import pytest
import torch
from conftest import COMPLETED, DIALOGUES, PHRASES, SENTENCES, TASKS, Project, build

from finetune.config.load import load_config
from finetune.data.features import IGNORE, Feature
from finetune.train import loop as training


def setup_of(task: str, project: Project, *overrides: str) -> training.Setup:
    """What a training works with."""
    return build(load_config(project.config(task, train={"device": "cpu"}), list(overrides)))


def scored_text(tokenizer: Any, feature: Feature) -> str:
    """The tokens that count."""
    text: str = tokenizer.decode([label for label in feature.labels if label != IGNORE])
    return text


@pytest.mark.parametrize("task", TASKS)
def test_the_model_knows_the_labels_in_the_order_of_the_task(task: str, project: Project) -> None:
    names = {
        "text-classification": ["bad", "good"],
        "multi-label-classification": ["billing", "login"],
        "token-classification": ["O", "B-LOC", "I-LOC", "B-ORG", "I-ORG", "B-PER", "I-PER"],
    }
    setup = setup_of(task, project)
    if task in names:
        assert [setup.model.config.id2label[i] for i in range(len(names[task]))] == names[task]


def test_a_label_is_its_place_among_the_labels(project: Project) -> None:
    assert [feature.labels for feature in setup_of("text-classification", project).train.features] == [[1], [0]] * 5
    tagged = setup_of("multi-label-classification", project).train.features
    assert [feature.labels for feature in tagged] == [[1, 0], [1, 1], [0, 1], [0, 0]]


@pytest.mark.parametrize("max_length", [8, 64])
def test_a_word_is_scored_once_at_its_first_token(max_length: int, project: Project) -> None:
    setup = setup_of("token-classification", project, f"model.max_length={max_length}", "task.stride=2")
    found: dict[tuple[int, int], str] = {}
    for feature in setup.train.features:
        positions = [i for i, label in enumerate(feature.labels) if label != IGNORE]
        assert feature.scored_labels == len(positions)
        for position, word in zip(positions, feature.words, strict=True):
            assert (feature.example, word) not in found
            first = setup.tokenizer(SENTENCES[feature.example][0].split()[word], add_special_tokens=False)["input_ids"]
            assert feature.inputs["input_ids"][position] == first[0]
            found[feature.example, word] = setup.model.config.id2label[feature.labels[position]]
    expected = {(e, w): tag for e, (_, tags) in enumerate(SENTENCES) for w, tag in enumerate(tags.split())}
    assert found == expected


def test_of_a_prompt_and_its_completion_the_completion_is_scored(project: Project) -> None:
    setup = setup_of("text-generation", project)
    for (prompt, completion), feature in zip(COMPLETED, setup.train.features, strict=True):
        assert setup.tokenizer.decode(feature.inputs["input_ids"]).startswith(prompt)
        assert scored_text(setup.tokenizer, feature) == f"{completion}<|endoftext|>"
        tokens = feature.inputs["input_ids"]
        assert all(label in (IGNORE, token) for label, token in zip(feature.labels, tokens, strict=True))


def test_of_a_dialogue_the_replies_are_scored(project: Project) -> None:
    setup = setup_of("chat", project, "model.max_length=200")
    for turns, feature in zip(DIALOGUES, setup.train.features, strict=True):
        assert scored_text(setup.tokenizer, feature) == "".join(f" {reply}<|endoftext|>" for reply in turns[1::2])


@pytest.mark.parametrize("task", ["translation", "summarization"])
def test_of_a_target_all_tokens_are_scored(task: str, project: Project) -> None:
    setup = setup_of(task, project)
    for feature in setup.train.features:
        assert feature.labels[-1] == setup.tokenizer.eos_token_id
        assert feature.scored_labels == len(feature.labels)
    if task == "translation":
        assert [scored_text(setup.tokenizer, f) for f in setup.train.features] == [f"{t}</s>" for _, t in PHRASES]


@pytest.mark.parametrize("max_length", [10, 12, 14, 32])
@pytest.mark.parametrize("task", TASKS)
def test_as_many_labels_count_as_the_loss_has_terms(task: str, max_length: int, project: Project) -> None:
    """Also where a reply or a completion is truncated: equal logits cost ln(classes) for each label."""
    setup = setup_of(task, project, f"model.max_length={max_length}")
    if task in ("regression", "ranking", "retrieval", "multi-label-classification"):
        assert all(feature.scored_labels in (0, 1) for feature in setup.train.features)
        return
    for feature in setup.train.features:
        labels = setup.task.batch_labels([feature], feature.length)
        shape = (1, labels.shape[1], 50_000) if labels.ndim == 2 else (1, 2)
        loss = setup.task.loss(torch.zeros(shape), labels)
        assert float(loss) / torch.tensor(shape[-1]).log().item() == pytest.approx(feature.scored_labels, rel=1e-4)
