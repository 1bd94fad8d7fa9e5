"""Tiny models: the shapes that demos and tests rely on, and positions of soft prompts."""

from typing import Any

import pytest
import torch

from finetune.model.soft_prompts import _positions_by_mask
from finetune.model.tiny import TINY, tiny_config, tiny_tokenizer

TEXTS = ["a fine day", "what a lovely song it was", "bright and warm"]


@pytest.mark.parametrize("name", TINY)
def test_a_tiny_model_has_the_vocabulary_and_the_length_that_are_asked_for(name: str) -> None:
    tokenizer = tiny_tokenizer(name, TEXTS)
    config = tiny_config(name, tokenizer, 48)
    assert config.vocab_size == len(tokenizer)
    positions: dict[str, Any] = {"tiny:bert": "max_position_embeddings", "tiny:gpt2": "n_positions"}
    if name in positions:  # T5 has relative positions
        assert getattr(config, positions[name]) == 48


def test_positions_of_a_padded_text_count_its_tokens() -> None:
    """The mask covers the soft prompt as well; position ids are those of the given tokens."""
    mask = torch.tensor(
        [[1, 1, 0, 1, 1], [1, 1, 1, 1, 1]]
    )  # two virtual tokens, then three tokens, one of them padding
    ids = torch.zeros(2, 3, dtype=torch.long)
    _, inputs = _positions_by_mask(None, (), {"attention_mask": mask, "input_ids": ids})
    assert inputs["position_ids"].tolist() == [[1, 2, 3], [2, 3, 4]]


def test_given_positions_and_unmasked_inputs_stay_as_they_are() -> None:
    given = torch.tensor([[5, 6, 7]])
    ids = torch.zeros(1, 3, dtype=torch.long)
    _, inputs = _positions_by_mask(
        None, (), {"attention_mask": torch.ones(1, 3), "input_ids": ids, "position_ids": given}
    )
    assert inputs["position_ids"] is given
    _, inputs = _positions_by_mask(None, (), {"input_ids": ids})
    assert "position_ids" not in inputs


@pytest.mark.parametrize("name", TINY)
def test_special_tokens_of_a_tiny_tokenizer_are_in_its_vocabulary(name: str) -> None:
    tokenizer = tiny_tokenizer(name, TEXTS)
    vocabulary = tokenizer.backend_tokenizer.get_vocab(with_added_tokens=False)
    named = [tokenizer.pad_token, tokenizer.eos_token] if name != "tiny:bert" else [tokenizer.pad_token]
    assert all(token in vocabulary for token in named)
    assert len(tokenizer) == len(vocabulary)
