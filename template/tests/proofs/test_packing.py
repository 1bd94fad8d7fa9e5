"""Packed rows: each text computes what it computes alone, whatever the texts beside it."""

import itertools
import random
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from conftest import Project
from rich.console import Console
from torch.nn import functional as F
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from finetune.config.load import load_config
from finetune.data.features import IGNORE, Feature
from finetune.data.packing import Packing
from finetune.errors import UserError
from finetune.model import packed_attention
from finetune.model.packed_attention import ARCHITECTURES, use_packed_attention
from finetune.run.saved_model import load_saved_model
from finetune.train import loop as training

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 50,
         "max_position_embeddings": 64, "pad_token_id": 0, "initializer_range": 0.5}  # fmt: skip
DECODER = {**SIZES, "num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2}
SHAPES: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("albert", "bert", "electra"), SIZES),
    **{name: {**SIZES, "pad_token_id": 1} for name in ("roberta", "camembert", "xlm-roberta")},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "vocab_size": 50,
                   "initializer_range": 0.5},
    "modernbert": {**SIZES, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2,
                   "local_attention": 6, "global_attn_every_n_layers": 2},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 50, "initializer_range": 0.5,
             "bos_token_id": 1, "eos_token_id": 2},
    "llama": DECODER,
    "mistral": {**DECODER, "sliding_window": 3},
    "qwen2": {**DECODER, "use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1},
    "qwen3": {**DECODER, "head_dim": 8},
}  # fmt: skip
"""Small enough to be quick; windows are shorter than the longest text, keys and values fewer than queries."""
DECODERS = ("gpt2", "llama", "mistral", "qwen2", "qwen3")
CASES = [(shape, "TokenClassification") for shape in SHAPES] + [(shape, "CausalLM") for shape in DECODERS]
LENGTHS = [5, 9, 1, 12, 7]
BOUNDS = torch.tensor([0, *LENGTHS]).cumsum(0)


def model_of(architecture: str, head: str) -> Any:
    """In fp64, with weights so large that a text which looks at another is far off."""
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(architecture, num_labels=3, **SHAPES[architecture])
    auto = getattr(transformers, f"AutoModelFor{head}")
    return auto.from_config(config, dtype=torch.float64, attn_implementation="sdpa").eval()


def texts() -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    return [torch.randint(5, 50, (1, length), generator=draw) for length in LENGTHS]


def no_labels(features: Sequence[Feature], length: int) -> torch.Tensor:
    return torch.zeros(1, length)


def packed(model: Any, ids: list[torch.Tensor]) -> dict[str, Any]:
    """The texts in one row, for a model that from now on reads such."""
    features = [Feature(i, {"input_ids": text[0].tolist()}, [0] * len(text[0])) for i, text in enumerate(ids)]
    packing = Packing(no_labels, use_packed_attention(model), causal=False)
    return packing.make_batch(features, list(range(len(ids)))).inputs


def test_every_architecture_that_is_named_is_proved() -> None:
    assert sorted(ARCHITECTURES) == sorted(SHAPES)


@pytest.mark.parametrize(("architecture", "head"), CASES)
def test_packed_equals_single(architecture: str, head: str) -> None:
    model = model_of(architecture, head)
    alone = torch.cat([model(input_ids=ids).logits for ids in texts()], 1)
    torch.testing.assert_close(model(**packed(model, texts())).logits, alone, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("architecture", "head"), CASES)
def test_packed_no_leak(architecture: str, head: str) -> None:
    """Another first text changes no bit of the others; their gradient by its embeddings is exactly 0."""
    model = model_of(architecture, head)
    embedded: list[torch.Tensor] = []
    model.get_input_embeddings().register_forward_hook(lambda *call: embedded.append(call[-1]))
    logits = model(**packed(model, texts())).logits
    other = [49 - texts()[0], *texts()[1:]]
    changed = model(**packed(model, other)).logits
    assert not torch.equal(changed[:, : LENGTHS[0]], logits[:, : LENGTHS[0]])
    assert torch.equal(changed[:, LENGTHS[0] :], logits[:, LENGTHS[0] :])
    for start, end in itertools.pairwise(BOUNDS):
        [gradient] = torch.autograd.grad(logits[:, start:end].square().sum(), embedded[0], retain_graph=True)
        inside = torch.zeros(gradient.shape[1], dtype=torch.bool)
        inside[start:end] = True
        assert gradient[:, ~inside].count_nonzero() == 0
        assert gradient[:, inside].count_nonzero() > 0


@pytest.mark.parametrize(("architecture", "head"), CASES)
def test_what_is_not_packed_goes_through_unchanged(architecture: str, head: str) -> None:
    """Validation and generation pad their rows."""
    model = model_of(architecture, head)
    rows = [F.pad(ids, (0, 12 - ids.shape[1])) for ids in texts()]
    mask = (torch.arange(12) < torch.tensor(LENGTHS)[:, None]).long()
    usual = model(input_ids=torch.cat(rows), attention_mask=mask).logits
    use_packed_attention(model)
    same = model(input_ids=torch.cat(rows), attention_mask=mask).logits
    for row, length in enumerate(LENGTHS):
        assert torch.equal(same[row, :length], usual[row, :length])


def kernel(
    query: Any, key: Any, value: Any, bounds: Any, _: Any, longest: int, __: int, *, scale: Any, window_size: Any
) -> torch.Tensor:
    """What torch says of `varlen_attn`, as the plain formula over all texts at once."""
    assert longest == bounds.diff().max()
    assert query.shape == key.shape == value.shape
    place = torch.arange(len(query))
    text = torch.bucketize(place, bounds[1:], right=True)
    ahead = place - place[:, None]
    left, right = (reach if reach >= 0 else len(query) for reach in window_size)
    seen = (text == text[:, None]) & (ahead >= -left) & (ahead <= right)
    scores = torch.einsum("qhd,khd->hqk", query, key) * scale
    return torch.einsum("hqk,khd->qhd", scores.masked_fill(~seen, -torch.inf).softmax(-1), value)


@pytest.mark.parametrize(("architecture", "head"), CASES)
def test_the_kernel_of_the_gpu_is_asked_for_the_same(
    architecture: str, head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(architecture, head)
    inputs = packed(model, texts())
    expected = model(**inputs).logits
    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", kernel)
    monkeypatch.setattr(packed_attention, "has_kernel", lambda _: True)
    torch.testing.assert_close(model(**inputs).logits, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="the kernel runs on a GPU")
@pytest.mark.parametrize("architecture", ["bert", "modernbert", "gpt2", "qwen2"])
def test_the_kernel_computes_what_is_asked(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(architecture, "TokenClassification").to("cuda", torch.bfloat16)
    inputs = packed(model, texts())
    inputs = {name: value.cuda() if isinstance(value, torch.Tensor) else value for name, value in inputs.items()}
    at_once = model(**inputs).logits
    monkeypatch.setattr(packed_attention, "has_kernel", lambda _: False)
    text_by_text = model(**inputs).logits
    assert (at_once - text_by_text).norm() < 0.03 * text_by_text.norm()


@pytest.mark.parametrize("budget", [1, 64, 1000, 10**9])
def test_batches_hold_every_row_within_the_budget(budget: int) -> None:
    draw = random.Random(0)
    features = [Feature(i, {"input_ids": [1] * draw.randint(3, 60)}, [0]) for i in range(200)]
    packing = Packing(no_labels, 0, causal=False)
    batches = [
        packing.make_batch(features, group) for group in packing.make_micro_batches(features, range(20, 180), budget)
    ]
    assert sorted(row for batch in batches for row in batch.rows) == list(range(20, 180))
    for batch in batches:
        assert batch.size == batch.inputs["input_ids"].numel() == sum(features[row].length for row in batch.rows)
        assert batch.size <= budget or len(batch.rows) == 1
    assert features[batches[0].rows[0]].length == max(feature.length for feature in features[20:180])


@pytest.mark.parametrize("causal", [True, False])
def test_no_text_predicts_the_first_token_of_the_next(causal: bool) -> None:
    features = [Feature(i, {"input_ids": [1, 2, 3]}, [7, 8, 9]) for i in range(2)]
    first = IGNORE if causal else 7
    packing = Packing(lambda features, _: torch.tensor([f.labels for f in features]), 0, causal)
    assert packing.make_batch(features, [0, 1]).labels.tolist() == [[first, 8, 9, first, 8, 9]]


def test_what_cannot_be_packed_is_refused(project: Project, refused: Callable[..., str]) -> None:
    texts = project.config("text-classification", train={"packing": True})
    assert refused("train", texts).endswith(
        "train.packing is true, but text-classification has no label for each token of a text: set it to false"
    )
    words = project.config("token-classification", train={"packing": True})
    assert "method.type is prefix, which adds trainable tokens" in refused("train", words, "method.type=prefix")
    assert "model.attention is eager" in refused("train", words, "model.attention=eager")
    deberta = transformers.DebertaV2Config(**{**SIZES, "num_attention_heads": 2})
    with pytest.raises(UserError, match=r"^train\.packing: packing is not supported for a deberta-v2 model"):
        use_packed_attention(transformers.AutoModelForTokenClassification.from_config(deberta))


@pytest.mark.parametrize(("task", "method"), [("token-classification", "lora"), ("text-generation", "full")])
def test_a_packed_training_leaves_an_ordinary_model(task: str, method: str, project: Project) -> None:
    """Validations in between pad their rows."""
    path = project.config(task, method={"type": method}, train={"packing": True, "log_every": 1, "max_steps": 2})
    shown = StringIO()
    assert training.train(load_config(path), console=Console(file=shown, width=200))
    assert "packing: texts share rows" in shown.getvalue()
    records = project.metrics("config")
    assert [record["kind"] for record in records].count("validation") > 0
    assert {record["padding"] for record in records if record["kind"] == "train"} == {0}
    assert packed_attention.PACKED_ATTENTION not in Path("runs/config/best/config.json").read_text()
    assert load_saved_model(Path("runs/config/best")).model.config._attn_implementation == "sdpa"


def test_padded_rows_keep_their_attention_dropout() -> None:
    module = SimpleNamespace(is_causal=False, training=True)
    query, key, value = (torch.randn(1, 2, 5, 4, generator=torch.Generator().manual_seed(i)) for i in range(3))
    results = []
    for attention in (packed_attention.packed_attention, sdpa_attention_forward):
        torch.manual_seed(0)
        results.append(attention(module, query, key, value, None, dropout=0.5)[0])
    assert torch.equal(*results)
    assert not torch.equal(results[0], sdpa_attention_forward(module, query, key, value, None)[0])
