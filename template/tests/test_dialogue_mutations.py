"""Whatever stands in place of a dialogue is read or refused in one sentence: no traceback."""

import json
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from finetune.data.forms.all_forms import FORMS, form_of
from finetune.data.rows import Row
from finetune.errors import UserError
from finetune.model.tiny import tiny_tokenizer
from finetune.tasks.chat import ChatTask
from finetune.tasks.settings import Chat

WORDS = st.sampled_from(
    [
        "user",
        "assistant",
        "human",
        "gpt",
        "system",
        "tool",
        "function_call",
        "boss",
        "Hi",
        "",
        " ",
        "{}",
        "[]",
        '{"name": "f"}',
        "[1",
        "null",
        "NaN",
        "\ud83d",
        "[[",
        "name",
        "text",
    ]
)
KEYS = st.sampled_from(
    [
        "role",
        "content",
        "from",
        "value",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "type",
        "text",
        "weight",
        "id",
        "human",
        "assistant",
        "parameters",
        "function_call",
        "tool_call_id",
    ]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats(allow_nan=True) | WORDS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)
FUNCTION = st.fixed_dictionaries({"name": st.just("f") | VALUES}, optional={"arguments": VALUES, "parameters": VALUES})
CALL = st.fixed_dictionaries({"function": FUNCTION | VALUES}, optional={"id": VALUES, "type": VALUES}) | VALUES
PART = st.fixed_dictionaries({"type": st.just("text") | VALUES, "text": WORDS | VALUES}) | VALUES
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", "developer"]) | VALUES},
    optional={
        "content": st.text() | st.lists(PART, max_size=3) | VALUES,
        "tool_calls": st.lists(CALL, max_size=3) | VALUES,
        "weight": VALUES,
    },
)
MESSAGES = st.lists(MESSAGE | VALUES, max_size=5) | VALUES
COLUMNS = st.fixed_dictionaries(
    {"messages": MESSAGES | MESSAGES.map(lambda value: json.dumps(value)) | MESSAGES.map(str)},
    optional={"tools": st.lists(CALL, max_size=2) | VALUES, "system": st.text(max_size=3) | VALUES},
)
NAMES = st.sampled_from(
    [
        "conversations",
        "conversation",
        "messages",
        "instruction",
        "input",
        "output",
        "prompt",
        "history",
        "response",
        "system",
        "system_prompt",
        "functions",
        "translation",
        "question",
        "answer",
    ]
)
TASK = ChatTask(Chat.model_validate({"type": "chat", "generation": {"max_new_tokens": 4}}))
TOKENIZER = tiny_tokenizer("tiny:gpt2", ["Hi there , this is a text ."] * 3)


def read_or_refused(read: Callable[[], Any]) -> Any:
    """What is read; None where it is refused, which is to be done in one sentence with the place."""
    try:
        return read()
    except UserError as error:
        sentence = str(error)
    assert sentence.startswith("x.jsonl:7: ")
    assert "\n" not in sentence
    return None


@settings(deadline=None, max_examples=100)
@given(COLUMNS, st.booleans())
def test_any_messages(values: dict[str, Any], labelled: bool) -> None:
    examples = read_or_refused(lambda: TASK.parse([Row("x.jsonl:7", values, values)], labelled=labelled))
    if not examples:
        return
    if labelled:
        rows = [Row("x.jsonl:7", row, row) for row in TASK.to_rows(examples[0])]
        assert TASK.parse(rows) == examples
    assert list(TASK.texts(examples))
    if "\\ud" in json.dumps(examples[0].messages):  # half a character, which the readers refuse
        return
    for feature in TASK.encode(examples, TOKENIZER, 100_000).features:
        assert (feature.scored_labels > 0) == labelled


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(list(FORMS)), st.dictionaries(NAMES, MESSAGES, max_size=5), st.dictionaries(NAMES, MESSAGES))
def test_any_form(task: str, first: dict[str, Any], later: dict[str, Any]) -> None:
    form = form_of(task, first)
    for value in (first, later) if form else ():
        converted = read_or_refused(lambda value=value: form.convert(value, "x.jsonl:7"))
        assert converted is None or set(value) <= set(converted)
