"""The prompt of retrieval-augmented generation: numbered passages, then the question, for a chat model.

`finetune serve --answer` asks with it; data that train a chat model for this are written with it, so that the model
has learnt from what it is asked.
"""

import re
from collections.abc import Sequence

INSTRUCTION = "Answer the question from these passages, and cite the number of each one that you use, such as [1]."


def question_with_passages(question: str, passages: Sequence[str]) -> str:
    """The user's message: the instruction, a line for each passage from [1] on, and the question at the end.

    The question comes last, because a prompt that is too long loses its beginning.
    """
    numbered = "\n".join(f"[{number}] {' '.join(passage.split())}" for number, passage in enumerate(passages, start=1))
    return f"{INSTRUCTION}\n\n{numbered}\n\nQuestion: {question.strip()}"


def cited(answer: str, passages: int) -> list[int]:
    """The numbers of passages that an answer cites, each once, in its order; numbers that no passage has are left out.

    Several may stand in one pair of brackets: [1, 3].
    """
    groups = re.findall(r"\[(\d{1,4}(?:\s*,\s*\d{1,4})*)\]", answer)
    numbers = [int(digits) for group in groups for digits in group.split(",")]
    return [number for number in dict.fromkeys(numbers) if 1 <= number <= passages]
