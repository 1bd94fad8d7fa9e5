"""Instructions and pairs of question and answer: Alpaca, Dolly, OpenOrca and the like, in each task that generates."""

from collections.abc import Callable
from functools import partial
from typing import Any

from ...errors import UserError
from ..cells import decoded
from .form import Form, Object

QUESTIONS = ("instruction", "prompt", "question", "query", "input", "问题")
ANSWERS = ("output", "response", "completion", "answer", "target", "回答", "答案")
CONTEXTS = ("input", "context")
"""Columns with more to an instruction, which a blank line divides from it."""
SYSTEM = ("system", "system_prompt")


def instruction_forms(
    own: tuple[tuple[str, ...], ...], convert: Callable[[Object, str, str, str], dict[str, Any]]
) -> tuple[Form, ...]:
    """A form for each question and answer by their usual names, and for a question alone, which is to be answered.

    `own` are the sets of columns that the task reads as they are. `convert` makes the task's columns of an object, the
    texts of question and answer, and its place.
    """
    return tuple(
        Form(
            _name(question, answer),
            partial(_matches, own, question, answer),
            partial(_converted, convert, question, answer),
        )
        for answer in (*ANSWERS, "")
        for question in QUESTIONS
        if answer or not any(question in columns for columns in own)
    )


def _name(question: str, answer: str) -> str:
    known = "Alpaca" if question == "instruction" else "questions and answers" if answer else "questions"
    return f"{known} (columns {question}, {answer})" if answer else f"{known} (column {question})"


def _matches(own: tuple[tuple[str, ...], ...], question: str, answer: str, value: Object) -> bool:
    return {question, answer or question} <= value.keys() and not any({*columns} <= value.keys() for columns in own)


def _converted(
    convert: Callable[[Object, str, str, str], dict[str, Any]], question: str, answer: str, value: Object, place: str
) -> dict[str, Any]:
    contexts = CONTEXTS if question == "instruction" else ()
    texts = [_text(value, name, place) for name in (question, *contexts)]
    return {**value, **convert(value, "\n\n".join(filter(None, texts)), _text(value, answer, place), place)}


def to_messages(value: Object, question: str, answer: str, place: str) -> dict[str, Any]:
    """A dialogue for chat, after the earlier turns in `history`; without a reply where the answer is empty."""
    history = value.get("history")  # [["question", "answer"], ...]; another value is none of a dialogue
    turns = decoded(history, f"{place}: history") if str(history).startswith("[[") else []
    asked = {"role": "user", "content": question}
    replies = [{"role": "assistant", "content": answer}] if answer else []
    system = next((value[name] for name in SYSTEM if isinstance(value.get(name), str)), None)
    return {"messages": [*turns, asked, *replies], "system": system}


def to_columns(source: str, target: str, value: Object, question: str, answer: str, place: str) -> dict[str, Any]:
    """The columns of a task that reads one text and generates another. Raises UserError where there are more."""
    dialogue = to_messages(value, question, "", place)
    if dialogue["system"] or len(dialogue["messages"]) > 1:
        raise UserError(f"{place}: has a system prompt or a history, which only task.type=chat reads: set it")
    return {source: question, target: answer}


def _text(value: Object, name: str, place: str) -> str:
    text = value.get(name)
    if text is not None and not isinstance(text, str):
        raise UserError(f"{place}: {name} is {text!r}: write it as a string")
    return (text or "").strip() and str(text)
