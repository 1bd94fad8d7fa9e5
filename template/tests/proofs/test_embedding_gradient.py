"""The gradient of an embedding by rows is that of the whole table: the same weights to the bit after several steps.

Most rows are looked up in some steps only: their momentum and weight decay go on as with a gradient of zeros.
"""

import copy
from collections.abc import Callable

import pytest
import torch
from conftest import Project
from torch import Tensor, nn

from finetune.config.load import load_config
from finetune.train import build as building
from finetune.train import loop as training
from finetune.train.embedding_gradient import EmbeddingGradients, rowwise_gradients

Train = Callable[..., tuple[list[Tensor], Tensor]]
ADAMW = ("optim.lr=0.01", "optim.weight_decay=0.1", "train.clip_norm=null")
SGD = ("optim={name: sgd, lr: 0.01, weight_decay: 0.1}", "train.clip_norm=null")


@pytest.fixture
def trained(project: Project, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Weights and optimizer states after six steps, and their gradient norms; by rows, or as autograd does it."""

    def train(task: str, *overrides: str, rowwise: bool, tables: int) -> tuple[list[Tensor], Tensor]:
        config = load_config(project.config(task, train={"device": "cpu"}), list(overrides))
        with monkeypatch.context() as patch:
            if not rowwise:
                patch.setattr(building, "rowwise_gradients", lambda model: EmbeddingGradients())
            training.set_seed(0)
            setup = training.build(config)
        assert len(setup.embeddings.tables) == (tables if rowwise else 0)
        norms = []
        for step in range(6):
            rows = [(step + offset) % len(setup.train) for offset in range(3)]
            norms.append(training.optimizer_step(config, setup, rows).grad_norm)
        states = [value for state in setup.optimizer.state.values() for value in state.values()]
        return [*setup.model.parameters(), *states], torch.tensor(norms)

    return train


@pytest.mark.parametrize("budget", [8192, 12], ids=["one micro-batch", "accumulated"])
@pytest.mark.parametrize("settings", [ADAMW, SGD], ids=["adamw", "sgd"])
@pytest.mark.parametrize(
    ("task", "tables"),
    [("text-classification", 3), ("token-classification", 3), ("text-generation", 1), ("translation", 2)],
)
def test_same_to_the_bit(task: str, tables: int, settings: tuple[str, ...], budget: int, trained: Train) -> None:
    settings = (*settings, f"train.micro_batch_tokens={budget}")
    tensors, norms = trained(task, *settings, rowwise=True, tables=tables)
    expected, expected_norms = trained(task, *settings, rowwise=False, tables=0)
    assert len(tensors) == len(expected)
    assert all(map(torch.equal, tensors, expected))
    torch.testing.assert_close(norms, expected_norms, rtol=1e-6, atol=0)


def test_same_under_clipping(trained: Train) -> None:
    """A norm is a sum, whose rounding depends on how many zeros stand between."""
    settings = ("optim.lr=0.01", "train.clip_norm=0.1")
    (tensors, norms), (expected, expected_norms) = (
        trained("text-classification", *settings, rowwise=rowwise, tables=3) for rowwise in (True, False)
    )
    assert expected_norms.min() > 0.1, "clipped in every step"
    torch.testing.assert_close(norms, expected_norms, rtol=1e-6, atol=0)
    for got, want in zip(tensors, expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-7)


class Tables(nn.Module):
    """One table with a padding row, one that is also the output layer."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.tied = nn.Embedding(9, 4, padding_idx=2), nn.Embedding(7, 4)
        self.output = nn.Linear(4, 7, bias=False)
        self.output.weight = self.tied.weight

    def forward(self, ids: Tensor) -> Tensor:
        logits: Tensor = self.output(self.words(ids) + self.tied(ids % 7))
        return logits.square().sum()


def step(model: nn.Module, embeddings: EmbeddingGradients, penalty: bool) -> dict[str, Tensor]:
    """The gradients that an optimizer sees after two passes."""
    for ids in ([[1, 2, 2, 8], [3, 3, 1, 0]], [[8, 8, 8, 2]]):
        with embeddings.by_rows():
            model(torch.tensor(ids)).backward()
    if penalty:
        sum(p.square().sum() for p in model.parameters()).backward()  # type: ignore[union-attr]
    embeddings.merged([*model.parameters()])
    with embeddings.filled():
        return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}  # type: ignore[union-attr]


@pytest.mark.parametrize("penalty", [False, True], ids=["lookup", "lookup and penalty"])
def test_padding_tied_and_other_uses(penalty: bool) -> None:
    torch.manual_seed(0)
    model = Tables().double()
    expected = step(model, EmbeddingGradients(), penalty)
    model.zero_grad()
    embeddings = rowwise_gradients(model)
    assert [*embeddings.tables] == [model.words.weight], "a tied table has a gradient in every row anyway"
    for _ in range(2):  # the second time, nothing is left of the first
        found = step(model, embeddings, penalty)
        assert all(torch.equal(found[name], gradient) for name, gradient in expected.items())
        model.zero_grad()
    assert model.words.weight.grad is None


def test_cleared_between_two_steps() -> None:
    """As after a forward pass that ran out of memory."""
    model = Tables().double()
    embeddings = rowwise_gradients(model)
    expected = step(model, embeddings, penalty=False)
    model.zero_grad()
    with embeddings.by_rows():
        model(torch.tensor([[5, 5]])).backward()
    embeddings.clear()
    model.zero_grad()
    found = step(model, embeddings, penalty=False)
    assert all(torch.equal(found[name], gradient) for name, gradient in expected.items())


def test_only_where_it_is_asked_for() -> None:
    """A copy of the model that something else trains has the gradients of autograd."""
    model = Tables()
    embeddings = rowwise_gradients(model)
    copied = copy.deepcopy(model)
    copied(torch.tensor([1, 2])).backward()
    assert copied.words.weight.grad is not None
    with embeddings.by_rows(), torch.inference_mode():
        model(torch.tensor([1, 2]))
    assert embeddings.merged([model.words.weight])[0] is model.words.weight
