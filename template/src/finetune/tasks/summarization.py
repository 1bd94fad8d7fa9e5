"""Summarization: a short text that says what matters in a long one."""

import re
from collections.abc import Sequence
from typing import Any

from ..data.features import Feature
from .generative import Generated
from .seq2seq import Example, Seq2SeqTask

WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|\w+")
"""A word, or a character of a script that puts no spaces between words."""
FIRST_SENTENCE = re.compile(r".*?(?:[.!?](?=\s|$)|[\u3002\uff01\uff1f])|.+", re.DOTALL)


class WordTokenizer:
    """Splits a text for ROUGE, whose own tokenizer drops every letter that is not English."""

    def tokenize(self, text: str) -> list[str]:
        """Words in lower case."""
        return WORD.findall(text.lower())


def rouge(names: list[str]) -> Any:
    """The scorer of rouge-score."""
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(names, tokenizer=WordTokenizer())


class SummarizationTask(Seq2SeqTask):
    """ROUGE (Lin 2004): mean F1 of shared words, shared pairs of words, and the longest common subsequence."""

    error_measure = "1 - ROUGE-L"

    def similarity(self, reference: str, generated: str) -> float:
        """ROUGE-L."""
        return float(rouge(["rougeL"]).score(reference, generated)["rougeL"].fmeasure)

    def text_metrics(self, references: list[str], generated: list[str]) -> dict[str, float]:
        names = ["rougeL", "rouge1", "rouge2"]
        scorer = rouge(names)
        scores = [scorer.score(true, text) for true, text in zip(references, generated, strict=True)]
        return {name: sum(score[name].fmeasure for score in scores) / max(1, len(scores)) for name in names}

    def baselines(self, examples: Sequence[Example], features: Sequence[Feature]) -> dict[str, list[Generated]]:
        return {"the first sentence": [Generated(text=_first_sentence(example.source)) for example in examples]}


def _first_sentence(text: str) -> str:
    found = FIRST_SENTENCE.match(text.strip())
    return found.group() if found else ""
