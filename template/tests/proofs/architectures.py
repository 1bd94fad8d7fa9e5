"""A tiny model of every architecture that transformers has for a head, from its default config with smaller sizes."""

import dataclasses
import re
from typing import Any

import transformers
from transformers import CONFIG_MAPPING

HEADS = {
    "AutoModelForSequenceClassification": "text-classification",
    "AutoModelForTokenClassification": "token-classification",
    "AutoModelForCausalLM": "text-generation",
    "AutoModelForSeq2SeqLM": "translation",
    "AutoModel": "retrieval",
}
"""A task for each class of transformers that loads a model with a head."""
SIZES = {
    r".*vocab_size.*|codebook_size|n_token|encoder_hash_byte_group_vocab": 128,
    r".*(interval|period|pattern|layer_group_size|attn_layer_offset)": 2,
    r"layers?|.*n_layers?|.*num_.*layers|depth|.*_layers|num_.*(blocks|attends)\w*": 2,
    r".*heads?|.*heads_\w*|.*n_groups?|topk_group": 2,
    r".*head_dim|d_kv|d_head|kv_channels|.*_d_head|dim_head|head_size": 16,
    r".*intermediate_\w*size.*|.*ffn\w*|d_ff|n_inner|d_inner|mlp_\w*size": 64,
    r".*hidden_size.*|.*hidden_dim|.*output_dim\w*|.*emb(edding|ed|)_(size|dim)": 32,
    r"d_model|n_embd|d_embed|dim|d_latents": 32,
    r"rotary_dim|rope_dim|.*_rank|num_latents": 8,
    r".*num_\w*experts|n_routed_experts|image_size|patch_size": 4,
    r".*experts_per_tok\w*|moe_k|.*top_?k.*": 2,
}
"""The size of a tiny model for each pattern of names; other numbers keep their defaults."""
LINEAR_AND_FULL = {"layer_types": ["linear_attention", "full_attention"]}
CONV_AND_FULL = {"layer_types": ["conv", "full_attention"]}
LINEAR_AND_HYBRID = {"layers_block_type": ["linear_attention", "hybrid"] * 2, "num_hidden_layers": 4}
INDEXER = {"indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 16, "indexer_budget": 4}
HEAD = {"head_dim": 16}
UNSHARED = {"num_kv_shared_layers": 0}
ROPE = {"rope_type": "default", "rope_theta": 1e4}
OTHER: dict[str, dict[str, Any]] = {
    **dict.fromkeys(["granitemoehybrid", "kimi_linear", "qwen3_next"], LINEAR_AND_FULL),
    **dict.fromkeys(["qwen3_5_text", "qwen3_5_moe_text"], LINEAR_AND_FULL),
    **dict.fromkeys(["lfm2_moe", "lfm3"], CONV_AND_FULL),
    **dict.fromkeys(["zamba", "zamba2"], LINEAR_AND_HYBRID),
    **dict.fromkeys(["hunyuan_v1_dense", "hunyuan_v1_moe", "ministral"], HEAD),
    **dict.fromkeys(["gemma3n_text", "gemma4_text", "gemma4_unified_text"], UNSHARED),
    "bamba": {"attn_layer_indices": [1]},
    "codegen": {"n_head": 4},
    "cohere_compass_text": {"rope_parameters": dict.fromkeys(["full_attention", "sliding_attention"], ROPE)},
    "dbrx": {"attn_config": {"rope_theta": 1e4, "clip_qkv": 8}},
    "deepseek_v2": {"num_experts_per_tok": 2},
    "dots1": {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1},
    "dots3_note_audio_encoder": {"adapter_input_size": 32, "adapter_out_dim": 32},
    "dots3_note_vision_encoder": {"pyramid_num_routed": [-1, -1], "adapter_in_dim": 32, "adapter_out_dim": 32},
    "esm": {"vocab_size": 128},
    "funnel": {"architectures": ["FunnelModel"]},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "hy_v4": {"index_topk": 16},
    "jamba": {"attn_layer_offset": 1},
    "mamba2": {"num_heads": 4},
    "mimo_v2_flash": {"head_dim": 24, "num_attention_heads": 4},
    "nemotron": {"head_dim": 16, "num_key_value_heads": 2},
    "qwen4_exp_text": {**LINEAR_AND_FULL, **INDEXER, "indexer_compress_ratio": 2},
    "recurrent_gemma": {"block_types": ("recurrent", "attention")},
    "xlstm": {"hidden_size": 64, "qk_dim_factor": 1.0},
}
"""Values that make an architecture with small sizes, or with defaults that are not complete, consistent."""
MIX_PADDING = (
    *("canine", "convbert", "fnet", "funnel", "nystromformer", "yoso"),
    *("axk2", "deepseek_v32", "dots3_note", "dots3_note_text", "glm_moe_dsa"),
)
"""Architectures that mix padding into a text by design; the last five only at so small a size."""
PACKAGES = {"gemma3n": "timm"}
"""Packages that an architecture needs besides the dependencies."""


def architectures(auto_model: str) -> list[str]:
    """Model types that this class of transformers can load."""
    return sorted(getattr(transformers, auto_model)._model_mapping._model_mapping)


def config_of_type(kind: str) -> Any:
    """A config without values, which some architectures refuse to fill with their defaults."""
    return object.__new__(CONFIG_MAPPING[kind])


def tiny_config(kind: str, tokenizer: Any) -> Any:
    """The config of a tiny model that has the vocabulary of `tokenizer`."""
    config = _shrunk(CONFIG_MAPPING[kind])
    for part in _parts(config):
        _set_tokens(part, tokenizer)
    return config


def _shrunk(cls: Any) -> Any:
    values = OTHER.get(cls.model_type, {})
    sizes = {
        field.name: _smaller(field.name, field.default)
        for field in dataclasses.fields(cls)
        if type(field.default) is int and field.default > 2
    }
    parts = {}
    if cls.sub_configs:
        inner = ((name, getattr(cls(**values), name, None)) for name in cls.sub_configs)
        parts = {name: _shrunk(type(part)).to_dict() for name, part in inner if part}
    return cls(**{**sizes, **parts, **values})


def _smaller(name: str, default: int) -> int:
    return next((min(size, default) for pattern, size in SIZES.items() if re.fullmatch(pattern, name)), default)


def _parts(config: Any) -> list[Any]:
    parts = [part for name in config.sub_configs if (part := getattr(config, name, None))]
    return [config, *(inner for part in parts for inner in _parts(part))]


def _set_tokens(config: Any, tokenizer: Any) -> None:
    for name, value in vars(config).copy().items():
        if name.endswith(("token_id", "token_index")) and value is not None:
            setattr(config, name, tokenizer.convert_tokens_to_ids("[MASK]"))
    for name in ("pad_token_id", "eos_token_id", "sep_token_id"):
        setattr(config, name, getattr(tokenizer, name))
    config.decoder_start_token_id = tokenizer.pad_token_id
