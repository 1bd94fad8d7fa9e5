"""Summarization: a short text that says what matters in a long one."""

import re
from collections.abc import Sequence

from ..data.features import Feature
from .generative import Generated
from .intervals import Array, ratio
from .seq2seq import Example, Seq2SeqTask

WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|\w+")
"""A word, or a character of a script that puts no spaces between words."""
FIRST_SENTENCE = re.compile(r".*?(?:[.!?](?=\s|$)|[\u3002\uff01\uff1f])|.+", re.DOTALL)


class WordTokenizer:
    """Splits a text for ROUGE, whose own tokenizer drops every letter that is not English."""

    def tokenize(self, text: str) -> list[str]:
        """Words in lower case."""
        return WORD.findall(text.lower())


class SummarizationTask(Seq2SeqTask):
    """ROUGE (Lin 2004): mean F1 of shared words, shared pairs of words, and the longest common subsequence."""

    error_measure = "1 - ROUGE-L"

    def similarity(self, reference: str, generated: str) -> float:
        """ROUGE-L."""
        return _rouge(("rougeL",), [reference], [generated])[0]["rougeL"]

    def text_metrics(self, references: list[str], generated: list[str]) -> dict[str, float]:
        names = self.settings.text_metrics
        scores = _rouge(names, references, generated)
        return {name: sum(score[name] for score in scores) / max(1, len(scores)) for name in names}

    def text_sums(self, references: list[str], generated: list[str]) -> list[list[float]]:
        """The F1 of ROUGE-L, 1."""
        return [[score["rougeL"], 1] for score in _rouge(("rougeL",), references, generated)]

    def headline(self, sums: Array) -> Array:
        """Mean F1 of ROUGE-L."""
        return ratio(sums[..., 0], sums[..., 1])

    def baselines(self, examples: Sequence[Example], features: Sequence[Feature]) -> dict[str, list[Generated]]:
        return {"the first sentence": [Generated(text=_first_sentence(example.source)) for example in examples]}


def _rouge(names: Sequence[str], references: list[str], generated: list[str]) -> list[dict[str, float]]:
    """The F1 of each variant of ROUGE, such as rougeL, for each pair of texts."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer([*names], tokenizer=WordTokenizer())
    scores = [scorer.score(true, text) for true, text in zip(references, generated, strict=True)]
    return [{name: score[name].fmeasure for name in names} for score in scores]


def _first_sentence(text: str) -> str:
    found = FIRST_SENTENCE.match(text.strip())
    return found.group() if found else ""
