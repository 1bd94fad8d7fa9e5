"""Machine translation: a text in another language."""

from collections.abc import Sequence

import numpy as np

from ..data.features import Feature
from .generative import Generated
from .intervals import Array
from .seq2seq import Example, Seq2SeqTask
from .settings import Translation


class TranslationTask(Seq2SeqTask):
    """BLEU (Papineni et al. 2002) and chrF (Popović 2015) over the whole dataset, by sacreBLEU (Post 2018)."""

    settings: Translation
    error_measure = "1 - chrF"

    def similarity(self, reference: str, generated: str) -> float:
        """ChrF of a sentence."""
        import sacrebleu

        return float(sacrebleu.sentence_chrf(generated, [reference]).score) / 100

    def text_metrics(self, references: list[str], generated: list[str]) -> dict[str, float]:
        """From 0 to 100."""
        import sacrebleu

        bleu = sacrebleu.corpus_bleu(generated, [references], tokenize=self.settings.bleu_tokenizer)
        return {"bleu": bleu.score, "chrf": sacrebleu.corpus_chrf(generated, [references]).score}

    def text_sums(self, references: list[str], generated: list[str]) -> list[list[float]]:
        """The sufficient statistics of BLEU: matching n-grams and n-grams of n = 1 to 4, and both lengths."""
        from sacrebleu import BLEU

        bleu = BLEU(tokenize=self.settings.bleu_tokenizer, effective_order=True)
        scores = [bleu.sentence_score(text, [true]) for true, text in zip(references, generated, strict=True)]
        return [[*score.counts, *score.totals, score.sys_len, score.ref_len] for score in scores]

    def headline(self, sums: Array) -> Array:
        """BLEU of the corpus."""
        from sacrebleu import BLEU

        def bleu(row: Array) -> float:
            *counts, system, reference = map(round, row.tolist())
            return float(BLEU.compute_bleu(counts[:4], counts[4:], system, reference, smooth_method="exp").score)

        return np.apply_along_axis(bleu, -1, sums)

    def baselines(self, examples: Sequence[Example], features: Sequence[Feature]) -> dict[str, list[Generated]]:
        return {"the source as it stands": [Generated(text=example.source) for example in examples]}
