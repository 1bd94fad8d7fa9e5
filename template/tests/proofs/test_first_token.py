"""The last layer for the first token alone: logits and gradients are those of a layer that computes all tokens."""

import copy
from typing import Any

import pytest
import torch
import transformers
from method_checks import ADDING, DISTILBERT, SIZES, with_method

from finetune.model.first_token import compute_first_token_only
from finetune.model.layers import find_layers, head_modules, unwrap_model

CONFIGS = {
    "bert": lambda: transformers.BertConfig(**SIZES),
    "camembert": lambda: transformers.CamembertConfig(**SIZES),
    "distilbert": lambda: transformers.DistilBertConfig(**DISTILBERT),
    "electra": lambda: transformers.ElectraConfig(**SIZES, embedding_size=32),
    "roberta": lambda: transformers.RobertaConfig(**SIZES),
    "xlm-roberta": lambda: transformers.XLMRobertaConfig(**SIZES),
}
METHODS = ["full", "head", *ADDING]
CELLS = [(kind, method) for kind in CONFIGS for method in METHODS if (kind, method) != ("distilbert", "prefix")]
LENGTHS = torch.tensor([9, 3, 1, 6])


def ordinary(kind: str, auto: str = "AutoModelForSequenceClassification", **options: Any) -> Any:
    """A model with random weights, in fp64."""
    torch.manual_seed(0)
    config = CONFIGS[kind]()
    config.update(options)
    model = getattr(transformers, auto).from_config(config, dtype=torch.float64).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.5)
    return model


def results(model: Any) -> list[torch.Tensor]:
    """Logits of padded texts, and the gradients of all that is trained."""
    model.zero_grad()
    ids = torch.arange(5, 41).reshape(4, 9)
    mask = (torch.arange(9) < LENGTHS[:, None]).long()
    logits = model(input_ids=ids * mask, attention_mask=mask).logits
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 1])).backward()
    return [logits.detach(), *(p.grad for p in model.parameters() if p.requires_grad and p.grad is not None)]


def output_shapes(model: Any) -> list[torch.Size]:
    """Of the last layer, in forward passes from here on."""
    shapes: list[torch.Size] = []
    last = [*find_layers(unwrap_model(model)).values()][-1]
    last.register_forward_hook(lambda _, __, output: shapes.append(output.shape))
    return shapes


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(("kind", "method"), CELLS)
def test_first_token_equals_all_tokens(kind: str, method: str, attention: str) -> None:
    """For every method; with a prefix, or another attention than SDPA, all tokens are computed."""
    plain = ordinary(kind)
    plain.set_attn_implementation(attention)
    model = with_method(method, plain, head_modules(plain))
    with torch.no_grad():  # what a method adds begins without effect
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3 if parameter.requires_grad else 0.0)
    expected = results(copy.deepcopy(model))
    compute_first_token_only(model)
    shapes = output_shapes(model)
    found = results(model)
    assert shapes[0][1] == 1 or method == "prefix" or attention == "eager"
    assert len(found) == len(expected) > 2
    for got, want in zip(found, expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)
    assert all(bool(gradient.any()) for gradient in found if gradient.ndim > 1)


@pytest.mark.parametrize("kind", CONFIGS)
def test_names_and_weights_stay(kind: str) -> None:
    model = ordinary(kind)
    before = model.state_dict()
    compute_first_token_only(model)
    assert model.state_dict().keys() == before.keys()
    assert type(copy.deepcopy(model)) is type(model)


@pytest.mark.parametrize(
    "model",
    [
        ordinary("bert", "AutoModelForTokenClassification"),
        ordinary("bert", output_hidden_states=True),
        ordinary("roberta", is_decoder=True),
    ],
    ids=["tokens", "hidden states", "decoder"],
)
def test_all_tokens_where_they_are_read(model: Any) -> None:
    compute_first_token_only(model)
    assert not any("FirstToken" in type(module).__name__ for module in model.modules())
