"""Methods on decoders and encoder-decoders: as language models, and with classification heads."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from method_checks import ADDED, ADDING, IDENTICAL_AT_FIRST, check_saved_and_merged, learn_a_little, with_method
from torch import Tensor, nn

from finetune.errors import UserError
from finetune.model.layers import head_modules, in_modules

TOKENS = {"vocab_size": 50, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "num_labels": 3}
STACK = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
         "intermediate_size": 32, "max_position_embeddings": 64, "initializer_range": 0.5}  # fmt: skip
GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 64, "initializer_range": 0.5}
# Six heads of 8 numbers are not the 16 of the embedding, as in some sizes of T5.
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 6, "decoder_start_token_id": 0,
      "relative_attention_num_buckets": 8}  # fmt: skip
BART = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 2, "init_std": 0.5,
        "decoder_attention_heads": 4, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 64,
        "decoder_start_token_id": 2, "forced_eos_token_id": None}  # fmt: skip
DECODERS = {
    "gpt2": lambda: transformers.GPT2Config(**TOKENS, **GPT2),
    "llama": lambda: transformers.LlamaConfig(**TOKENS, **STACK, head_dim=8),
    "qwen2": lambda: transformers.Qwen2Config(**TOKENS, **STACK),
}
ENCODER_DECODERS = {
    "t5": lambda: transformers.T5Config(**TOKENS, **T5),
    "bart": lambda: transformers.BartConfig(**TOKENS, **BART),
    "marian": lambda: transformers.MarianConfig(**TOKENS, **BART),
}
ARCHITECTURES = {**DECODERS, **ENCODER_DECODERS}
HEADS = [
    *(("SequenceClassification", name) for name in ("gpt2", "llama", "t5", "bart")),
    *(("TokenClassification", name) for name in ("gpt2", "t5")),
]
# What Qwen2 and Marian share with Llama and BART is not tried again; AdaLoRA touches what LoRA does.
WRITERS = [
    *((name, method) for name in ("gpt2", "llama", "t5", "bart") for method in ADDING),
    *((name, method) for name in ("qwen2", "marian") for method in ("lora", "prefix")),
]
CLASSIFIERS = [(*head, method) for head in HEADS for method in ADDING
               if method != "adalora" and (head[0], method) != ("TokenClassification", "prompt")]  # fmt: skip
NEEDS_IDS = (
    r"prompt replaces input ids by embeddings, but the head of a {} model finds the last token by its id: use lora"
)
NO_KEYS = r"prefix needs past keys and values.*, which .*\ba {} model .*: use lora"
REFUSED = {
    **{("SequenceClassification", name, "prompt"): NEEDS_IDS for name in ("gpt2", "llama", "t5", "bart")},
    **{("SequenceClassification", name, "prefix"): NO_KEYS for name in ("t5", "bart")},
    ("TokenClassification", "t5", "prefix"): NO_KEYS,
}


def make(architecture: str, kind: str) -> Any:
    """A model with random weights, in fp64 where rounding would hide a fault."""
    torch.manual_seed(0)
    auto = getattr(transformers, f"AutoModelFor{kind}")
    return auto.from_config(ARCHITECTURES[architecture]()).double().eval()


def on_ids(model: Any, padding: int = 0) -> Tensor:
    """Logits of two texts, for the text alone; an encoder-decoder that writes has read another text."""
    ids = torch.arange(5, 23).reshape(2, 9)
    ids[:, -1] = 2
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    writes = model.config.is_encoder_decoder and model.can_generate()
    if writes:
        inputs["decoder_input_ids"] = torch.arange(30, 42).reshape(2, 6)
    inputs = {name: nn.functional.pad(tensor, (0, padding)) for name, tensor in inputs.items()}
    result: Tensor = model(**inputs).logits
    if result.ndim == 2:
        return result
    assert result.shape[1] == (6 if writes else 9) + padding, "logits of the text, and of nothing that was added"
    return result[:, : 6 if writes else 9]


def check(architecture: str, kind: str, method: str, folder: Path) -> tuple[Any, Any]:
    """All that must hold for every method; returns the trained model and, where there is one, the merged."""
    base = make(architecture, kind)
    head = head_modules(base) if "Classification" in kind else []
    model = with_method(method, base, head)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    first = on_ids(model)
    assert torch.allclose(first, on_ids(base), rtol=1e-12, atol=1e-12) == (method in IDENTICAL_AT_FIRST)
    learn_a_little(model, on_ids, rate=0.05)
    changed = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    of_the_head = {name for name in before if in_modules(name, head) and "original_module" not in name}
    assert of_the_head <= changed
    norms = "norm" if method == "adapter" else ADDED[method]
    beside_it = changed - of_the_head
    assert any(ADDED[method] in name for name in beside_it)
    assert all(ADDED[method] in name or norms in name or ".ln_" in name for name in beside_it)
    learnt = on_ids(model)
    assert (learnt - first).abs().max() > 1e-6
    torch.testing.assert_close(on_ids(model, padding=4), learnt, rtol=1e-9, atol=1e-9)
    return model, check_saved_and_merged(method, base, head, model, on_ids, folder)


@pytest.mark.parametrize(("architecture", "method"), WRITERS)
def test_language_models(architecture: str, method: str, tmp_path: Path) -> None:
    """Also: what is written is what one forward pass after another says, from texts of any length together."""
    kind = "CausalLM" if architecture in DECODERS else "Seq2SeqLM"
    model, plain = check(architecture, kind, method, tmp_path)
    assert written(model) == step_by_step(model)
    if plain:
        assert written(plain) == written(model)


@pytest.mark.parametrize(("kind", "architecture", "method"), CLASSIFIERS)
def test_heads(kind: str, architecture: str, method: str, tmp_path: Path) -> None:
    if sentence := REFUSED.get((kind, architecture, method)):
        base = make(architecture, kind)
        with pytest.raises(UserError, match=rf"^method\.type: {sentence.format(architecture)}$"):
            with_method(method, base, head_modules(base))
        return
    check(architecture, kind, method, tmp_path)


@pytest.mark.parametrize(
    ("architecture", "method", "count"),
    [
        ("gpt2", "adapter", 2 * 2),  # attention and MLP of two layers
        ("t5", "adapter", 2 * 2 + 2 * 3),  # and what a decoder reads from its encoder
        ("bart", "adapter", 2 + 2 * 3),
        ("gpt2", "ia3", 2 * 2),  # one matrix for queries, keys and values
        ("t5", "ia3", 2 * 3 + 2 * 5),
        ("bart", "ia3", 3 + 2 * 5),
        ("bart", "prompt", 1),
        ("bart", "prefix", 1),
    ],
)
def test_every_attention_is_reached(architecture: str, method: str, count: int) -> None:
    base = make(architecture, "CausalLM" if architecture in DECODERS else "Seq2SeqLM")
    model = with_method(method, base, [])
    mark = "adapter.up.weight" if method == "adapter" else ADDED[method]
    added = [parameter for name, parameter in model.named_parameters() if mark in name]
    assert len(added) == count
    if method == "prompt":
        assert added[0].shape == (20, 16)  # none that no part of the model reads


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_body_without_a_name_of_its_own_is_not_taken_for_a_head(architecture: str) -> None:
    base = make(architecture, "CausalLM" if architecture in DECODERS else "Seq2SeqLM")
    assert set(head_modules(base)) <= {"lm_head"}


TEXTS = [[5, 6, 7, 8, 9], [10, 11]]
NEW = 4


@torch.no_grad()
def written(model: Any) -> list[list[int]]:
    """What `generate` makes of texts of several lengths in one batch, always taking the likeliest token."""
    longest = max(map(len, TEXTS))
    padded = [[0] * (longest - len(text)) for text in TEXTS]
    left = not model.config.is_encoder_decoder
    rows = [[*pad, *text] if left else [*text, *pad] for text, pad in zip(TEXTS, padded, strict=True)]
    ids = torch.tensor(rows)
    # An end that is never written lets all rows go on to the same length.
    result = model.generate(
        input_ids=ids, attention_mask=(ids != 0).long(), max_new_tokens=NEW, do_sample=False, eos_token_id=99
    )
    return [row[-NEW:] for row in result.tolist()]


@torch.no_grad()
def step_by_step(model: Any) -> list[list[int]]:
    """The same, by whole passes over each text by itself, without a cache."""
    return [_continue(model, text) for text in TEXTS]


def _continue(model: Any, text: list[int]) -> list[int]:
    new: list[int] = []
    for _ in range(NEW):
        if model.config.is_encoder_decoder:
            start = model.config.decoder_start_token_id
            inputs = {"input_ids": torch.tensor([text]), "decoder_input_ids": torch.tensor([[start, *new]])}
        else:
            inputs = {"input_ids": torch.tensor([[*text, *new]])}
        new.append(int(model(**inputs, attention_mask=torch.ones_like(inputs["input_ids"])).logits[0, -1].argmax()))
    return new
