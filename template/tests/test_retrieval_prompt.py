"""The prompt of a question with its passages, and the passages that an answer cites."""

import pytest

from finetune.retrieval_prompt import INSTRUCTION, cited, question_with_passages


def test_passages_have_a_line_each_and_the_question_comes_last() -> None:
    prompt = question_with_passages(" When do you open?\n", ["We open at nine.", "Closed\n\n on  Sunday."])
    assert prompt == (
        f"{INSTRUCTION}\n\n[1] We open at nine.\n[2] Closed on Sunday.\n\nQuestion: When do you open?"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "numbers"),
    [
        ("At nine [2], not on Sunday [1]. See [2].", [2, 1]),
        ("Both [1, 3].", [1, 3]),
        ("None [0] [4] [x] [] [1-3] 1", []),
        ("[99999999999999999999]", []),
    ],
)
def test_citations(answer: str, numbers: list[int]) -> None:
    assert cited(answer, 3) == numbers
