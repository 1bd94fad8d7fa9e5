"""Generation: batches, padding and the cache of keys and values change no token."""

from typing import Any

import pytest
import torch
from conftest import TINY, WRITING, Project, weights_that_matter

from finetune.config.config import Config
from finetune.config.load import load_config
from finetune.generate import generate
from finetune.tasks.settings import Generation
from finetune.train import loop as training


@pytest.fixture(params=["text-generation", "translation"])
def setup(request: pytest.FixtureRequest, project: Project, monkeypatch: pytest.MonkeyPatch) -> training.Setup:
    weights_that_matter(monkeypatch)
    return set_up(load_config(project.config(request.param, train={"device": "cpu"})))


def set_up(config: Config) -> training.Setup:
    training.set_seed(7)
    setup = training.build(config)
    with torch.no_grad():  # an untrained T5 would only repeat the padding that it starts from
        setup.model.get_input_embeddings().weight[setup.tokenizer.pad_token_id] = 0
    setup.model.double().eval()
    return setup


def by_hand(setup: training.Setup, prompt: list[int], steps: int) -> str:
    """The likeliest token after a whole pass over all before it, again and again."""
    written: list[int] = []
    model: Any = setup.model
    for _ in range(steps):
        if model.config.is_encoder_decoder:
            start = [model.config.decoder_start_token_id, *written]
            inputs = {"input_ids": torch.tensor([prompt]), "decoder_input_ids": torch.tensor([start])}
        else:
            inputs = {"input_ids": torch.tensor([prompt + written])}
        with torch.no_grad():
            token = int(model(**inputs, use_cache=False).logits[0, -1].argmax())
        if token in setup.task.stop_tokens:
            break
        written.append(token)
    text: str = setup.tokenizer.decode(written, skip_special_tokens=True)
    return text.strip()


def test_greedy_decoding_is_the_likeliest_token_each_time(setup: training.Setup) -> None:
    prompts = [feature.prompt for feature in setup.train.features]
    assert len({len(prompt) for prompt in prompts}) > 1
    expected = [by_hand(setup, prompt, 6) for prompt in prompts]
    assert any(expected)
    settings = Generation(max_new_tokens=6)
    for budget in (1, 40, 10**6):
        options = {"budget": budget, "precision": "fp32"}
        assert generate(setup.model, setup.tokenizer, prompts, settings, setup.task.stop_tokens, **options) == expected


def test_a_decoder_may_be_deeper_than_its_encoder(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    weights_that_matter(monkeypatch, num_decoder_layers=3)
    setup = set_up(load_config(project.config("translation", train={"device": "cpu"})))
    assert setup.model.config.num_layers == 2
    test_greedy_decoding_is_the_likeliest_token_each_time(setup)
    test_beams_find_what_is_at_least_as_likely(setup)


def test_sampling_leaves_the_random_numbers_of_the_training_alone(setup: training.Setup) -> None:
    prompts = [feature.prompt for feature in setup.train.features]
    texts = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        settings = Generation(max_new_tokens=6, temperature=5.0)
        options = {"budget": 50, "precision": "fp32"}
        texts.append(generate(setup.model, setup.tokenizer, prompts, settings, setup.task.stop_tokens, **options))
        assert torch.equal(torch.get_rng_state(), before)
    assert texts[0] == texts[1]


def test_beams_find_what_is_at_least_as_likely(setup: training.Setup) -> None:
    prompts = [feature.prompt for feature in setup.train.features][:2]
    options = {"budget": 10**6, "precision": "fp32"}
    for beams in (1, 4):
        settings = Generation(max_new_tokens=3, beams=beams)
        assert len(generate(setup.model, setup.tokenizer, prompts, settings, setup.task.stop_tokens, **options)) == 2


def test_every_task_that_writes_has_a_tiny_model() -> None:
    assert {TINY[task] for task in WRITING} == {"tiny:gpt2", "tiny:t5"}
