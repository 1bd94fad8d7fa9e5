"""Machine translation: a text in another language."""

from collections.abc import Sequence

from ..data.features import Feature
from .generative import Generated
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

    def baselines(self, examples: Sequence[Example], features: Sequence[Feature]) -> dict[str, list[Generated]]:
        return {"the source as it stands": [Generated(text=example.source) for example in examples]}
