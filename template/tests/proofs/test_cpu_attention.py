"""Attention of a bf16 training on a CPU is computed in fp32 where that is faster, and nowhere else."""

import copy
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from finetune.model import cpu_attention, packed_attention

SHAPE = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "initializer_range": 0.5}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}
IDS = torch.arange(48).view(4, 12) % 47


@pytest.fixture
def llama() -> Any:
    """Without dropout, with shared keys, and weights that matter."""
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**SHAPE, **HEADS, attn_implementation="sdpa"))


def gradient(model: Any, implementation: Any, dtype: torch.dtype, **inputs: Any) -> Tensor:
    """Of all weights, with an implementation of attention in the place of SDPA."""
    before = AttentionInterface._global_mapping["sdpa"]
    AttentionInterface.register("sdpa", implementation)
    model = copy.deepcopy(model)
    with torch.autocast("cpu", dtype, enabled=dtype is torch.bfloat16):
        model(use_cache=False, **inputs).logits.float().square().mean().backward()
    AttentionInterface.register("sdpa", before)
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def test_it_replaces_sdpa() -> None:
    assert transformers.AttentionInterface()["sdpa"] is cpu_attention.attention


def test_gradients_are_closer_to_those_of_fp32(llama: Any) -> None:
    mask = torch.ones_like(IDS)
    mask[1:, 9:] = 0
    inputs = {"input_ids": IDS, "attention_mask": mask}
    exact = gradient(llama, sdpa_attention_forward, torch.float32, **inputs)
    usual = gradient(llama, sdpa_attention_forward, torch.bfloat16, **inputs)
    found = gradient(llama, cpu_attention.attention, torch.bfloat16, **inputs)
    assert not torch.equal(found, usual)
    assert (found - exact).norm() < (usual - exact).norm() < 0.5 * exact.norm()
    assert torch.equal(gradient(llama, cpu_attention.attention, torch.float32, **inputs), exact)


def test_packed_rows(llama: Any) -> None:
    packed_attention.use_packed_attention(llama)
    bounds = torch.tensor([0, 5, 12, 48], dtype=torch.int32)
    places = torch.cat([torch.arange(length) for length in bounds.diff().tolist()])[None]
    inputs = {"input_ids": IDS.view(1, 48), "position_ids": places, "cu_seq_lens_q": bounds, "max_length_q": 36}
    exact = gradient(llama, sdpa_attention_forward, torch.float32, **inputs)
    found = gradient(llama, sdpa_attention_forward, torch.bfloat16, **inputs)
    assert (found - exact).norm() < 0.5 * exact.norm()


@pytest.mark.parametrize(
    ("states", "longest", "dropout", "expected"),
    [
        (torch.zeros(1, dtype=torch.bfloat16, requires_grad=True), 512, 0.0, True),
        (torch.zeros(1, dtype=torch.bfloat16, requires_grad=True), 513, 0.0, False),
        (torch.zeros(1, dtype=torch.bfloat16, requires_grad=True), 512, 0.1, False),
        (torch.zeros(1, dtype=torch.bfloat16), 512, 0.0, False),
        (torch.zeros(1, requires_grad=True), 512, 0.0, False),
        (torch.zeros(1, dtype=torch.bfloat16, requires_grad=True, device="meta"), 512, 0.0, False),
    ],
    ids=["short", "long", "dropout", "inference", "fp32", "another device"],
)
def test_where(states: Tensor, longest: int, dropout: float, expected: bool) -> None:
    assert cpu_attention.is_faster_in_fp32(states, longest, dropout) is expected
