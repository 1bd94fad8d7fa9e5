"""Attention with dropout on a CPU: logits and gradients of SDPA, with the same random numbers."""

from typing import Any

import pytest
import torch
import transformers
from method_checks import DISTILBERT, SIZES
from torch import Tensor

from finetune.model.cpu_attention import CPU_ATTENTION, use_cpu_attention

ENDS = {"bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
CONFIGS = {
    "bert": lambda: transformers.BertConfig(**SIZES),
    "distilbert": lambda: transformers.DistilBertConfig(**DISTILBERT),
    "modernbert": lambda: transformers.ModernBertConfig(**SIZES, **ENDS, attention_dropout=0.1, local_attention=4),
    "roberta": lambda: transformers.RobertaConfig(**SIZES),
}
LENGTHS = {"padded": torch.tensor([9, 3, 1, 6]), "of equal length": torch.tensor([9] * 4)}


def results(model: Any, lengths: Tensor) -> list[Tensor]:
    """Logits of padded texts with dropout from one seed, and all gradients."""
    model.zero_grad()
    ids = torch.arange(5, 41).reshape(4, 9)
    mask = (torch.arange(9) < lengths[:, None]).long()
    torch.manual_seed(1)
    logits = model(input_ids=ids * mask, attention_mask=mask).logits[mask.bool()]
    torch.nn.functional.cross_entropy(logits, torch.arange(len(logits)) % 3).backward()
    return [logits.detach(), *(p.grad for p in model.parameters() if p.grad is not None)]


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS.keys())
@pytest.mark.parametrize("kind", CONFIGS)
def test_sdpa_with_dropout(kind: str, lengths: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = transformers.AutoModelForTokenClassification.from_config(CONFIGS[kind](), dtype=torch.float64).train()
    expected = results(model, lengths)
    use_cpu_attention(model)
    assert model.config._attn_implementation == CPU_ATTENTION
    calls: list[bool] = []
    product = torch.baddbmm
    monkeypatch.setattr(torch, "baddbmm", lambda x, *rest, **o: calls.append(True) or product(x, *rest, **o))
    found = results(model, lengths)
    assert len(calls) == 2, "in both layers"
    assert len(found) == len(expected)
    for got, want in zip(found, expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)


def test_evaluation_is_sdpa_to_the_bit() -> None:
    torch.manual_seed(0)
    model = transformers.AutoModelForTokenClassification.from_config(CONFIGS["bert"]()).eval()
    expected = results(model, LENGTHS["padded"])
    use_cpu_attention(model)
    assert all(map(torch.equal, results(model, LENGTHS["padded"]), expected))


def test_causal_attention_stays() -> None:
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(n_embd=32, n_layer=1, n_head=2, vocab_size=50))
    use_cpu_attention(model)
    assert model.config._attn_implementation == "sdpa"
