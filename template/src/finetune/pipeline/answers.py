"""Answers that quote: what the chat model reads, and whether what it writes stands in a passage."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..predict import Predictor
from ..retrieval_prompt import question_with_passages
from ..run.folder import RunFolder


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered to a question."""

    question: str
    passages: list[str]
    text: str
    quoted: str | None
    """The passage that stands in the answer word for word; None if there is none."""


class Answerer:
    """A run of chat that was trained on questions with numbered passages."""

    def __init__(self, run: RunFolder) -> None:
        self._predictor = Predictor(run)

    def answer(self, questions: Sequence[str], passages: Sequence[Sequence[str]]) -> list[Answer]:
        """An answer to each question, from its passages."""
        pairs = [*zip(questions, passages, strict=True)]
        rows = [{"messages": [{"role": "user", "content": question_with_passages(*pair)}]} for pair in pairs]
        texts = [str(record["prediction"]).strip() for record in self._predictor.predict_rows(rows)]
        return [
            Answer(question, [*found], text, next((one for one in found if one in text), None))
            for (question, found), text in zip(pairs, texts, strict=True)
        ]


def answer_figures(answers: Sequence[Answer], known: dict[str, set[str]]) -> dict[str, float]:
    """Shares of the answers: those that quote a passage word for word, and those that quote one which answers."""
    right = [answer for answer in answers if answer.quoted in known.get(answer.question, set())]
    offered = [answer for answer in answers if known.get(answer.question, set()) & {*answer.passages}]
    count = max(1, len(answers))
    return {
        "the right passage was read": len(offered) / count,
        "a passage is quoted word for word": sum(answer.quoted is not None for answer in answers) / count,
        "the right passage is quoted": len(right) / count,
    }
