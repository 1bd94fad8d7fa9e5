"""Tiny models built on the spot: no download, and a demo that trains in seconds on a CPU."""

from collections.abc import Iterable
from typing import Any

from .errors import UserError

TINY = ("tiny:bert",)
VOCABULARY = 2000
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def is_tiny(name: str) -> bool:
    """Whether a model name asks for a model built on the spot. Raises UserError for a tiny model that is not known."""
    if name.startswith("tiny:") and name not in TINY:
        raise UserError(f"model.name: '{name}' is unknown: the tiny models are {', '.join(TINY)}")
    return name in TINY


def tiny_tokenizer(texts: Iterable[str]) -> Any:
    """A WordPiece tokenizer, cased, trained on `texts`; the same texts give the same vocabulary."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertTokenizer

    texts = list(texts)
    trainer = BertWordPieceTokenizer(lowercase=False)
    # The trainer numbers the inner characters of words as it meets them in a hash map, and breaks ties by number:
    # naming them first makes the vocabulary a function of the texts.
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


def tiny_config(tokenizer: Any, max_length: int, **options: Any) -> Any:
    """BERT with 2 layers of width 128 (Turc et al. 2019 call this size BERT-Tiny), weights drawn at random."""
    from transformers import BertConfig

    return BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=512,
        max_position_embeddings=max_length,
        initializer_range=0.05,  # with BERT's 0.02, made for a width of 768, so narrow a model is slow to start
        pad_token_id=tokenizer.pad_token_id,
        **options,
    )
