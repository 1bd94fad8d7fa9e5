"""Whether a pretrained model fits the task and the config; what does not is refused before the training starts."""

from typing import Any

import transformers

from ..config.config import Model
from ..console import counted
from ..errors import UserError
from ..tasks.settings import Seq2SeqSettings, Settings

SUGGESTED = {
    "AutoModel": "choose an encoder such as sentence-transformers/all-MiniLM-L6-v2, or tiny:bert",
    "AutoModelForCausalLM": "choose a decoder such as openai-community/gpt2, or tiny:gpt2",
    "AutoModelForSeq2SeqLM": "choose an encoder-decoder such as google-t5/t5-small, or tiny:t5",
    "AutoModelForSequenceClassification": "choose an encoder such as google-bert/bert-base-cased, or tiny:bert",
    "AutoModelForTokenClassification": "choose an encoder such as google-bert/bert-base-cased, or tiny:bert",
}

UNFIT = {
    **dict.fromkeys(["bros", "layoutlmv2", "layoutlmv3", "lilt"], "reads the place of each word on a page as well"),
    **dict.fromkeys(["musicgen", "musicgen_melody"], "generates sound"),
    **dict.fromkeys(["gemma4_assistant", "gemma4_unified_assistant"], "drafts tokens for a larger model"),
    **dict.fromkeys(["emu3", "mllama"], "transformers cannot load again once it is saved as a model of text alone"),
    "blt": "transformers cannot generate with",
    "markuplm": "reads the place of each word in an HTML page as well",
    "reformer": "is trained on texts of one fixed length",
    "tapas": "reads a table as well",
    "xmod": "needs to be told the language of each text",
}
"""Architectures that transformers has for a task's head, but that cannot be trained on texts alone, and why."""

BIDIRECTIONAL = ("bert-generation", "cpmant", "xlnet")
"""Other architectures with a causal head whose attention sees the tokens to predict."""

READS_PADDING = {
    "AutoModelForSequenceClassification": ("t5gemma", "t5gemma2", "xlnet"),
    "AutoModel": ("cpmant",),
}
"""Architectures that give a text another result where padding follows, by the class that loads them."""
WITHOUT_STATES = ("llama4", "perceiver")
"""Architectures whose class without a head takes no texts, or gives no hidden states."""


def require_architecture(task: Settings, config: Any, name: str) -> None:
    """Raise UserError if the architecture does not fit the task; transformers would load some of these models."""
    if reason := _unfit(task.auto_model, config):
        raise UserError(
            f"model.name: '{name}' is a {config.model_type} model, which {reason}: {SUGGESTED[task.auto_model]}"
        )


def _unfit(auto_model: str, config: Any) -> str | None:
    """Why an architecture does not fit a head, if so."""
    if auto_model in (getattr(config, "auto_map", None) or {}):  # it brings its own code for the head
        return None
    fits = _is_known(config, auto_model)
    if auto_model == "AutoModel":  # transformers has models of images and speech there, too
        of_texts = ("AutoModelForMaskedLM", "AutoModelForCausalLM", "AutoModelForSequenceClassification")
        fits = fits and not config.is_encoder_decoder and any(_is_known(config, name) for name in of_texts)
        fits = fits and config.model_type not in WITHOUT_STATES
    if auto_model == "AutoModelForSeq2SeqLM":  # transformers has models of speech there that have no encoder
        fits = fits and config.is_encoder_decoder
    if auto_model == "AutoModelForCausalLM":
        # transformers has causal heads for encoders too, whose attention would see the tokens to predict.
        fits = fits and not _is_known(config, "AutoModelForMaskedLM") and not _is_known(config, "AutoModelForSeq2SeqLM")
        if fits and config.model_type in BIDIRECTIONAL:
            return "sees the tokens that it has to predict"
    if not fits:
        return "does not fit this task"
    if config.model_type in READS_PADDING.get(auto_model, ()):
        return "gives a text another result where padding follows it"
    return UNFIT.get(config.model_type)


def _is_known(config: Any, auto_model: str) -> bool:
    return type(config) in getattr(transformers, auto_model)._model_mapping


def require_vocabulary(model: Any, tokenizer: Any, name: str) -> None:
    embeddings = _embeddings(model)
    tokens = 1 + max(tokenizer.get_vocab().values(), default=-1)  # ids may have gaps
    if embeddings and tokens > embeddings:
        raise UserError(
            f"model.name: the tokenizer of '{name}' has {tokens:,} tokens, but the model has {embeddings:,} "
            f"embeddings: choose a model whose tokenizer belongs to it"
        )


def _embeddings(model: Any) -> int:
    """Number of tokens that a model has embeddings for; 0 if it has none of its own, as CANINE and Perceiver."""
    try:
        table = model.get_input_embeddings()
    except NotImplementedError:
        return 0
    return len(table.weight) if hasattr(table, "weight") else 0


def require_pretrained_weights(model: Any, info: dict[str, Any], name: str) -> None:
    """Raise UserError if the checkpoint lacks weights other than those of the head and the pooler, or if they have
    another shape than config.json gives them: transformers would take random numbers.
    """
    prefix = "" if model.base_model is model else f"{model.base_model_prefix}."
    for key, found, wanted in sorted(info["mismatched_keys"]):
        if key.startswith(prefix):
            raise UserError(
                f"model.name: {key} of '{name}' has the shape {[*found]}, but its config.json asks for {[*wanted]}: "
                f"copy both files from the same model"
            )
    missing = [key for key in info["missing_keys"] if key.startswith(prefix) and ".pooler." not in f".{key}"]
    if missing:
        raise UserError(
            f"model.name: '{name}' lacks {counted(len(missing), 'weight')} of the model, such as {missing[0]}: "
            f"choose a checkpoint of a {model.config.model_type} model"
        )


def require_max_length(model: Any, settings: Model, added: int) -> None:
    limit = position_limit(model.config)
    if not limit:
        return
    table = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    if (padding := getattr(table, "padding_idx", None)) is not None:
        limit -= padding + 1  # RoBERTa's position ids start after its padding index.
    if settings.max_length + added > limit:
        virtual = f", of which the method takes {added}" if added else ""
        raise UserError(
            f"model.max_length: {settings.max_length} exceeds the maximum of {limit} tokens of '{settings.name}'"
            f"{virtual}: lower it to {limit - added}"
        )


def require_target_length(model: Any, task: Settings, name: str) -> None:
    """Raise UserError if the task's targets, or the texts that it generates, exceed the decoder's maximum length."""
    limit = position_limit(model.config, "decoder")
    if not limit or not isinstance(task, Seq2SeqSettings):
        return
    generated = task.generation.max_new_tokens
    for key, length in {"max_target_length": task.max_target_length, "generation.max_new_tokens": generated}.items():
        if length > limit:
            raise UserError(
                f"task.{key}: {length} exceeds the maximum of {limit} tokens that '{name}' generates: "
                f"lower it to {limit}"
            )


def position_limit(config: Any, side: str = "encoder") -> int:
    """Largest number of positions of the encoder or the decoder; 0 if there is no limit, which some configs give as -1.

    A model with only one of the two has the same limit for both.
    """
    config = getattr(config, side, None) or config.get_text_config()
    names = (f"max_{side}_position_embeddings", "max_position_embeddings", "max_seq_len", "max_target_positions")
    limits = (getattr(config, name, None) for name in names)
    return max(0, next((limit for limit in limits if isinstance(limit, int)), 0))
