"""Dialogues and instructions in the forms of OpenAI, ShareGPT, Alpaca and others are read as the task's own columns."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from conftest import Project

from finetune.console import Notice
from finetune.data.forms.dialogues import read_messages, read_tools
from finetune.data.rows import Columns, read_rows
from finetune.errors import UserError
from finetune.tasks import make_task
from finetune.tasks.settings import Chat, Settings, Summarization, TextGeneration, Translation

USER, ASSISTANT = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}
TURN = [USER, ASSISTANT]
SYSTEM = {"role": "system", "content": "Be kind ."}
CALL = {"type": "function", "function": {"name": "weather", "arguments": {"town": 3}}}
CALLING = {"role": "assistant", "content": "", "tool_calls": [CALL]}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]


def called(arguments: Any, **members: Any) -> list[dict[str, Any]]:
    """A call of a tool in a message whose text is null."""
    call = {**members, "type": "function", "function": {"name": "weather", "arguments": arguments}}
    return [USER, {"role": "assistant", "content": None, "tool_calls": [call]}]


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (TURN, TURN),
        (json.dumps(TURN), TURN),
        (str(TURN), TURN),  # as pandas writes a list into a .csv
        ([{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}], TURN),
        ([{"from": "user", "value": "Hi"}, {"from": "chatgpt", "value": "Hello"}], TURN),
        ([{"role": "User", "content": "Hi"}, {"role": "Assistant", "content": "Hello"}], TURN),
        ([{"human": "Hi", "assistant": "Hello"}], TURN),
        ([["Hi", "Hello"]], TURN),
        ([{"question": "Hi", "answer": "Hello"}], TURN),
        ([{"role": "user", "content": [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]}], [USER]),
        ([{**USER, "tool_calls": None, "name": None, "weight": None}], [USER]),  # as parquet fills them in
        ([USER, {**ASSISTANT, "weight": 0}], [USER, {**ASSISTANT, "weight": 0}]),
        ([{**USER, "name": "Ada"}], [{**USER, "name": "Ada"}]),
        ([ASSISTANT, USER, USER, ASSISTANT, ASSISTANT], [ASSISTANT, USER, USER, ASSISTANT, ASSISTANT]),
        ([SYSTEM | {"content": ""}, USER], [SYSTEM | {"content": ""}, USER]),
        (called({"town": 3}), [USER, CALLING]),
        (called('{"town": 3}'), [USER, CALLING]),
        (called("{'town': 3}"), [USER, CALLING]),
        (
            called("", id="c1"),
            [USER, {**CALLING, "tool_calls": [{"id": "c1", **CALL, "function": {"name": "weather", "arguments": {}}}]}],
        ),
        ([USER, {"role": "assistant", "content": None, "function_call": CALL["function"]}], [USER, CALLING]),
        (
            [{"from": "human", "value": "Hi"}, {"from": "function_call", "value": json.dumps(CALL["function"])}],
            [USER, CALLING],
        ),
        ([{"from": "observation", "value": "sunny"}], [{"role": "tool", "content": "sunny"}]),
        (
            [{"role": "tool", "content": "", "tool_call_id": "c1"}],
            [{"role": "tool", "content": "", "tool_call_id": "c1"}],
        ),
        (
            [{"role": "tool", "content": [{"type": "city", "name": "Turin"}]}],
            [{"role": "tool", "content": '[{"type": "city", "name": "Turin"}]'}],
        ),
        (
            [{"role": "function", "name": "weather", "content": {"sky": "blue"}}],
            [{"role": "tool", "name": "weather", "content": '{"sky": "blue"}'}],
        ),
    ],
)
def test_messages_in_every_form_are_those_of_openai(given: Any, read: list[dict[str, Any]]) -> None:
    assert read_messages(given, "x.jsonl:7") == read
    assert read_messages(read, "x.jsonl:7") == read


IMAGE = [{"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": "x"}}]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([], "messages must be a list such as"),
        (None, "messages must be a list such as"),
        ("", "messages must be a list such as"),
        ("Hello", "messages is text that is not JSON (Expecting value): write it as JSON"),
        ("[" * 100_000, "messages is text that is not JSON"),
        ('[{"role": "user", "content": NaN}]', "messages is text that is not JSON"),
        ('[{"role": "user", "content": "\\ud83d"}]', "messages is text that is not JSON"),
        (["Hello"], 'messages[0] is "Hello": write the messages as'),
        ([{}], "messages[0] has no role (found: )"),
        ([{"content": "x"}], "messages[0] has no role (found: content)"),
        ([USER, {"role": "boss", "content": "x"}], 'messages[1]: the role is "boss": write one of system, developer,'),
        ([{"role": ["user"], "content": "x"}], 'messages[0]: the role is ["user"]: write one of'),
        ([{"role": "user"}], "messages[0]: the content is empty: fill it in, or take the row out"),
        ([{"role": "user", "content": None}], "messages[0]: the content is empty"),
        ([USER, {"role": "assistant", "content": " \n"}], "messages[1]: the content is empty"),
        ([{"role": "user", "content": 3}], "messages[0]: the content is 3: write it as a string"),
        ([{"role": "user", "content": {"a": 1}}], 'messages[0]: the content is {"a": 1}: write it as a string'),
        ([{"role": "user", "content": IMAGE}], "messages[0].content[1] has the type image_url, but only text is read"),
        ([{"role": "user", "content": [{"type": "text"}]}], "messages[0].content[0].text is null: write it as a str"),
        ([{**ASSISTANT, "weight": 0.5}], "messages[0].weight is 0.5: write 1, or 0 for a reply that is not trained on"),
        ([{**USER, "tool_calls": [CALL]}], "messages[0].tool_calls must be a list, in a message of the assistant"),
        ([{**ASSISTANT, "tool_calls": {"a": 1}}], "messages[0].tool_calls must be a list, in a message of the assi"),
        ([{**ASSISTANT, "tool_calls": [3]}], "messages[0].tool_calls[0] has no name: write"),
        (called("{town: 3"), "messages[1].tool_calls[0].function.arguments is text that is not JSON"),
        (called("[1, 2]"), "messages[1].tool_calls[0].function.arguments is [1, 2]: write an object"),
        ([{"from": "function_call", "value": "weather"}], "messages[0] is text that is not JSON"),
    ],
)
def test_what_is_no_dialogue_is_one_sentence_with_its_place(given: Any, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        read_messages(given, "x.jsonl:7")
    assert str(error.value).startswith(f"x.jsonl:7: {sentence}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("given", [TOOLS, json.dumps(TOOLS), str(TOOLS), [TOOLS[0]["function"]]])
def test_tools_may_be_json_or_functions_alone(given: Any) -> None:
    assert read_tools(given, "x:1") == TOOLS


@pytest.mark.parametrize("given", [None, [], "", " ", "[]"])
def test_no_tools(given: Any) -> None:
    assert read_tools(given, "x:1") == []


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"a": 1}, "x:1: tools must be a list of JSON schemas"),
        ("weather", "x:1: tools is text that is not JSON"),
        (["weather"], "x:1: tools[0] has no name"),
        ([{"type": "function", "function": {"name": 3}}], "x:1: tools[0] has no name"),
    ],
)
def test_bad_tools_are_refused(given: Any, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        read_tools(given, "x:1")
    assert str(error.value).startswith(sentence)


def read(rows: list[Any], settings: Settings, labelled: bool = True, **renamed: str) -> tuple[list[Any], list[str]]:
    """The examples of a .jsonl file, and the notices that reading it has given."""
    Path("x.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    targets = () if labelled else settings.target_columns
    columns = Columns(
        settings.input_columns + settings.target_columns,
        settings.optional_columns,
        renamed,
        text_column=settings.text_column,
        targets=targets,
        task=settings.type,
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", Notice)
        examples = make_task(settings).parse(read_rows(Path("x.jsonl"), columns), labelled=labelled)
    return examples, [str(warning.message) for warning in caught]


SHAREGPT = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]
CHAT = Chat(type="chat")


@pytest.mark.parametrize(
    ("row", "read_as", "expected"),
    [
        ({"messages": TURN}, None, TURN),
        ({"messages": TURN, "system": "Be kind ."}, None, [SYSTEM, *TURN]),
        ({"messages": [SYSTEM, *TURN], "system": "Be rude ."}, None, [SYSTEM, *TURN]),
        ({"messages": TURN, "system": None, "tools": ""}, None, TURN),
        (
            {"messages": TURN, "system_prompt": "Be kind ."},
            "a dialogue with system_prompt and functions",
            [SYSTEM, *TURN],
        ),
        ({"conversations": SHAREGPT}, "ShareGPT (column conversations)", TURN),
        ({"conversations": SHAREGPT, "system": "Be kind ."}, "ShareGPT (column conversations)", [SYSTEM, *TURN]),
        ({"conversations": json.dumps(SHAREGPT)}, "ShareGPT (column conversations)", TURN),
        ({"conversations": TURN}, "ShareGPT (column conversations)", TURN),
        ({"conversation": [{"human": "Hi", "assistant": "Hello"}]}, "ShareGPT (column conversation)", TURN),
        ({"dialogue": TURN, "id": 3}, "ShareGPT (column dialogue)", TURN),
        ({"instruction": "Hi", "input": "", "output": "Hello"}, "Alpaca (columns instruction, output)", TURN),
        (
            {"instruction": "Hi", "context": None, "response": "Hello", "category": "x"},
            "Alpaca (columns instruction, response)",
            TURN,
        ),
        (
            {"instruction": "A", "input": "B", "output": "Hello", "system": "Be kind .", "history": [["Hi", "Hello"]]},
            "Alpaca (columns instruction, output)",
            [SYSTEM, *TURN, {"role": "user", "content": "A\n\nB"}, ASSISTANT],
        ),
        ({"prompt": "Hi", "completion": "Hello"}, "questions and answers (columns prompt, completion)", TURN),
        (
            {"prompt": "Hi", "response": "Hello", "history": []},
            "questions and answers (columns prompt, response)",
            TURN,
        ),
        (
            {"system_prompt": "Be kind .", "question": "Hi", "response": "Hello"},
            "questions and answers (columns question, response)",
            [SYSTEM, *TURN],
        ),
        (
            {"question": "Hi", "answer": "Hello", "history": "ancient"},
            "questions and answers (columns question, answer)",
            TURN,
        ),
    ],
)
def test_chat_reads_the_forms_of_known_sets(
    row: dict[str, Any], read_as: str | None, expected: list[Any], project: Project
) -> None:
    [dialogue], notices = read([row], CHAT)
    assert dialogue.messages == expected
    assert notices == ([] if read_as is None else [f"x.jsonl: read as {read_as}"])


def test_chat_reads_a_renamed_column_of_any_form(project: Project) -> None:
    for column in ("conversations", "talk"):
        [dialogue], _ = read([{column: SHAREGPT, "id": 1}], CHAT, messages=column)
        assert dialogue.messages == TURN


def test_functions_are_tools(project: Project) -> None:
    [dialogue], _ = read([{"messages": TURN, "functions": [TOOLS[0]["function"]]}], CHAT)
    assert list(dialogue.tools) == TOOLS


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Hi"},
        {"instruction": "Hi", "input": "", "output": ""},
        {"messages": [USER, {"role": "assistant"}]},
        {"conversations": SHAREGPT},
        {"conversation": [{"human": "Hi"}]},
    ],
)
def test_a_reply_to_predict_is_not_looked_at(row: dict[str, Any], project: Project) -> None:
    [dialogue], _ = read([row], CHAT, labelled=False)
    assert dialogue.messages == [USER]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Hi", "output": None},
        {"instruction": "Hi", "output": ""},
        {"messages": [USER]},
        {"messages": [USER, {**ASSISTANT, "weight": 0}]},
    ],
)
def test_a_dialogue_without_a_reply_is_not_trained_on(row: dict[str, Any], project: Project) -> None:
    with pytest.raises(UserError, match=r"^x\.jsonl:2: the assistant has no message to train on: add a reply"):
        read([{**row, "messages": TURN} if "messages" in row else {**row, "output": "Hello"}, row], CHAT)


def test_instructions_are_prompts_of_text_generation(project: Project) -> None:
    settings = TextGeneration(type="text-generation")
    [first, second], notices = read(
        [{"instruction": "A", "input": "B", "output": "C"}, {"instruction": "A", "input": "", "output": "C"}], settings
    )
    assert (first.prompt, first.completion) == ("A\n\nB", "C")
    assert (second.prompt, second.completion) == ("A", "C")
    assert notices == ["x.jsonl: read as Alpaca (columns instruction, output)"]
    [whole], notices = read([{"instruction": "A", "output": "C", "text": "All of it ."}], settings)
    assert (whole.completion, notices) == ("All of it .", [])
    [plain], notices = read([{"prompt": "A", "completion": "C", "response": "D"}], settings)
    assert (plain.prompt, plain.completion, notices) == ("A", "C", [])
    with pytest.raises(UserError, match=r"^x\.jsonl:1: has a system prompt or a history, which only task\.type=chat"):
        read([{"instruction": "A", "output": "C", "history": [["a", "b"]]}], settings)


def test_instructions_are_sources_of_summarization(project: Project) -> None:
    [example], _ = read(
        [{"instruction": "Sum up .", "input": "Long .", "output": "L ."}], Summarization(type="summarization")
    )
    assert (example.source, example.target) == ("Sum up .\n\nLong .", "L .")


def test_translations_by_language(project: Project) -> None:
    settings = Translation(type="translation")
    rows = [{"translation": {"en": "day", "de": "Tag"}}, {"translation": {"de": "Nacht", "en": "night"}}]
    examples, [notice] = read(rows, settings)
    assert [(example.source, example.target) for example in examples] == [("day", "Tag"), ("night", "Nacht")]
    assert notice == (
        "x.jsonl: read as translations from en to de; the other direction is "
        "data.columns={source: translation.de, target: translation.en}"
    )
    examples, _ = read(rows, settings, source="translation.de", target="translation.en")
    assert [(example.source, example.target) for example in examples] == [("Tag", "day"), ("Nacht", "night")]
    [unlabelled], _ = read([{"translation": {"en": "day"}}], settings, labelled=False, source="translation.en")
    assert unlabelled.source == "day"
    three = [{"translation": {"en": "day", "de": "Tag", "fr": "jour"}}]
    with pytest.raises(
        UserError, match=r"^x\.jsonl:1: no value in column 'source' .*translation\.fr.*add columns: \{source: "
    ):
        read(three, settings)


@pytest.mark.parametrize(
    ("name", "content", "form"),
    [
        ("alpaca.csv", 'instruction,input,output\nAdd,1 2,3\n"Say, hi",,hi\n', "Alpaca"),
        ("shared.tsv", f"conversations\n{json.dumps([{'from': 'human', 'value': 'Hi'}, ASSISTANT])}\n", "ShareGPT"),
    ],
)
def test_forms_in_tables(name: str, content: str, form: str, project: Project) -> None:
    """A header that lacks the task's columns is not refused where a form may have it."""
    project.write(name, content)
    with pytest.warns(Notice, match=f"read as {form}"):
        rows = read_rows(Path(name), Columns(Chat.input_columns, Chat.optional_columns, task="chat"))
    examples = make_task(Chat(type="chat")).parse(rows)
    assert [[message["role"] for message in example.messages] for example in examples] == [["user", "assistant"]] * len(
        rows
    )
