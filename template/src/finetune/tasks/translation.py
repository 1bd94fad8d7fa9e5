"""A text in another language."""

from collections.abc import Sequence
from typing import Literal

from ..data.features import Feature
from .generative import Generated
from .seq2seq import Example, Seq2SeqSettings, Seq2SeqTask


class Translation(Seq2SeqSettings):
    """A text in another language. Columns: source, target."""

    type: Literal["translation"]
    """A text in another language."""
    bleu_tokenizer: Literal["13a", "intl", "zh", "char"] = "13a"
    """How sacreBLEU splits texts into words: 13a for languages with spaces, zh for Chinese, char for characters."""


class TranslationTask(Seq2SeqTask):
    """BLEU (Papineni et al. 2002) and chrF (Popović 2015) over the whole of the data, by sacreBLEU (Post 2018)."""

    settings = Translation
    main_metric = "bleu"

    def __init__(self, config: Translation) -> None:
        super().__init__(config)
        self.bleu_tokenizer = config.bleu_tokenizer

    def compared(self, truths: list[str], written: list[str]) -> dict[str, float]:
        """From 0 to 100."""
        import sacrebleu

        bleu = sacrebleu.corpus_bleu(written, [truths], tokenize=self.bleu_tokenizer)
        return {"bleu": bleu.score, "chrf": sacrebleu.corpus_chrf(written, [truths]).score}

    def baselines(self, examples: Sequence[Example], features: Sequence[Feature]) -> dict[str, list[Generated]]:
        return {"the source as it stands": [Generated(text=example.source) for example in examples]}
