"""Packed attention on a CPU: short texts of a bf16 training are computed in fp32, and come back in bf16."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from finetune.model import packed_attention
from finetune.model.packed_attention import SHORT, attention_per_text


@pytest.fixture
def formats(monkeypatch: pytest.MonkeyPatch) -> list[torch.dtype]:
    """The number format that each call of torch's attention computes in."""
    found: list[torch.dtype] = []
    compute: Callable[..., Tensor] = F.scaled_dot_product_attention

    def spy(query: Tensor, *others: Tensor | None, **options: object) -> Tensor:
        found.append(torch.bfloat16 if torch.is_autocast_enabled("cpu") else query.dtype)
        return compute(query, *others, **options)

    monkeypatch.setattr(packed_attention.F, "scaled_dot_product_attention", spy)
    return found


def states(lengths: list[int], dtype: torch.dtype, trains: bool) -> tuple[list[Tensor], Tensor]:
    torch.manual_seed(0)
    tokens = sum(lengths)
    heads = [torch.randn(1, count, tokens, 16, dtype=torch.float64) for count in (4, 2, 2)]
    bounds = F.pad(torch.tensor(lengths).cumsum(0), (1, 0)).int()
    return [state.to(dtype).requires_grad_(trains) for state in heads], bounds


@pytest.mark.parametrize(
    ("lengths", "dtype", "trains", "computed"),
    [
        ([5, SHORT, 1], torch.bfloat16, True, torch.float32),
        ([5, SHORT + 1], torch.bfloat16, True, torch.bfloat16),
        ([5, 9], torch.bfloat16, False, torch.bfloat16),
        ([5, 9], torch.float64, True, torch.float64),
    ],
)
def test_number_format(
    lengths: list[int], dtype: torch.dtype, trains: bool, computed: torch.dtype, formats: list[torch.dtype]
) -> None:
    given, bounds = states(lengths, dtype, trains)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        result = attention_per_text(*given, bounds, (-1, 0), None)
    assert formats == [computed] * len(lengths)
    assert result.dtype == dtype


def test_fp32_is_nearer_to_the_exact_gradient() -> None:
    lengths = [7, 30, 2]
    exact, rounded = (_gradients(*states(lengths, dtype, trains=True)) for dtype in (torch.float64, torch.bfloat16))
    for found, wanted in zip(rounded, exact, strict=True):
        assert found.dtype == torch.bfloat16
        assert (found - wanted).norm() < 0.01 * wanted.norm()


def _gradients(given: list[Tensor], bounds: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(attention_per_text(*given, bounds, (-1, 0), None).square().sum(), given)
