"""Tiny models with random weights and a tokenizer of their own: no download, trained in seconds on a CPU."""

from collections.abc import Iterable
from typing import Any

from ..errors import UserError

TINY = ("tiny:bert", "tiny:gpt2", "tiny:t5")
VOCABULARY = 2000
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
END = "<|endoftext|>"
DROPOUT = 0.0
"""Of generative models, which train for few epochs: with the usual 0.1, tiny:t5 learns half as fast."""


def is_tiny(name: str) -> bool:
    """Whether a model name is that of a tiny model. Raises UserError for an unknown tiny model."""
    if name.startswith("tiny:") and name not in TINY:
        raise UserError(f"model.name: '{name}' is unknown: the tiny models are {', '.join(TINY)}")
    return name in TINY


def tiny_tokenizer(name: str, texts: Iterable[str], words: bool = False) -> Any:
    """A cased tokenizer trained on `texts`; the same texts give the same vocabulary.

    `words`: its inputs will be lists of words.
    """
    match name:
        case "tiny:bert":
            return _word_pieces(list(texts))
        case "tiny:gpt2":
            return _gpt2_tokenizer(texts, words)
        case _:
            return _t5_tokenizer(texts)


def tiny_config(name: str, tokenizer: Any, max_length: int, **options: Any) -> Any:
    """The config of a model with hidden size 128 and room for `max_length` tokens."""
    match name:
        case "tiny:bert":
            return _bert(tokenizer, max_length, options)
        case "tiny:gpt2":
            return _gpt2(tokenizer, max_length, options)
        case _:
            return _t5(tokenizer, options)


def _bert(tokenizer: Any, max_length: int, options: dict[str, Any]) -> Any:
    """2 layers: Turc et al. 2019 call this size BERT-Tiny."""
    from transformers import BertConfig

    return BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=512,
        max_position_embeddings=max_length,
        initializer_range=0.05,  # BERT's 0.02 is meant for hidden size 768, and slows the start of so small a model
        **options,
    )


def _gpt2(tokenizer: Any, max_length: int, options: dict[str, Any]) -> Any:
    from transformers import GPT2Config

    return GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=max_length,
        n_embd=128,
        n_layer=3,
        n_head=4,
        initializer_range=0.05,
        resid_pdrop=DROPOUT,
        embd_pdrop=DROPOUT,
        attn_pdrop=DROPOUT,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **options,
    )


def _t5(tokenizer: Any, options: dict[str, Any]) -> Any:
    from transformers import T5Config

    start = {"decoder_start_token_id": tokenizer.pad_token_id}
    return T5Config(
        vocab_size=len(tokenizer),
        d_model=128,
        d_kv=32,
        d_ff=512,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=4,
        dropout_rate=DROPOUT,
        eos_token_id=tokenizer.eos_token_id,
        **start,
        **options,
    )


def _word_pieces(texts: list[str]) -> Any:
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertTokenizer

    trainer = BertWordPieceTokenizer(lowercase=False)
    # The trainer numbers characters inside words in the order of a hash map, and breaks ties by number. As special
    # tokens they are numbered first, so that the same texts always give the same vocabulary.
    inner = sorted({character for text in texts for word in _words(trainer, text) for character in word[1:]})
    trainer.train_from_iterator(
        texts,
        vocab_size=VOCABULARY,
        limit_alphabet=VOCABULARY,
        special_tokens=[*SPECIAL, *(f"##{character}" for character in inner)],
        show_progress=False,
    )
    return BertTokenizer(vocab=trainer.get_vocab(), do_lower_case=False)


def _words(tokenizer: Any, text: str) -> list[str]:
    normalized = tokenizer.normalizer.normalize_str(text)
    return [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normalized)]


def _gpt2_tokenizer(texts: Iterable[str], words: bool) -> Any:
    import json

    from transformers import GPT2Tokenizer

    model = json.loads(_byte_pairs(texts, [END]).to_str())["model"]
    merges: Any = [tuple(merge) for merge in model["merges"]]
    return GPT2Tokenizer(vocab=model["vocab"], merges=merges, add_prefix_space=words, pad_token=END)


def _t5_tokenizer(texts: Iterable[str]) -> Any:
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    tokenizer = _byte_pairs(texts, ["<pad>", "</s>"])
    end = ("</s>", tokenizer.token_to_id("</s>"))
    tokenizer.post_processor = TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[end])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>")


def _byte_pairs(texts: Iterable[str], special: list[str]) -> Any:
    """Byte-level BPE, which has no unknown tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
