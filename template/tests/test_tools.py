"""Tools, tool calls and the roles of OpenAI in chat templates of the known families: what is scored, what is said."""

import json
import re
import warnings
from typing import Any

import pytest
from conftest import messages

from finetune.console import Notice
from finetune.data.features import IGNORE
from finetune.data.rows import Row
from finetune.errors import UserError
from finetune.model.tiny import tiny_tokenizer
from finetune.tasks.chat import ChatTask
from finetune.tasks.settings import Chat

CHATML = (  # as Qwen's: tools in the system message, calls in tags, results from the user
    "{% if tools %}<|im_start|>system\n{% if messages[0].role == 'system' %}{{ messages[0].content }}\n{% endif %}"
    "<tools>{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}</tools><|im_end|>\n{% endif %}"
    "{% for m in messages %}{% if not (tools and loop.first and m.role == 'system') %}"
    "<|im_start|>{{ 'user' if m.role == 'tool' else m.role }}\n"
    "{% if m.role == 'tool' %}<tool_response>{{ m.content }}</tool_response>{% else %}{{ m.content }}{% endif %}"
    "{% for call in m.tool_calls %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}<|im_end|>\n"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA = (  # as Llama 3: headers, tools with the first message of the user, one call, results from ipython
    "{{ bos_token }}{% for m in messages %}"
    "<|start_header_id|>{{ 'ipython' if m.role == 'tool' else m.role }}<|end_header_id|>\n\n"
    "{% if tools and m.role == 'user' and messages[:loop.index0] | selectattr('role', 'equalto', 'user') "
    "| list | length == 0 %}{{ tools | tojson }}\n\n{% endif %}"
    "{% if 'tool_calls' in m %}{% if m.tool_calls | length != 1 %}{{ raise_exception('single tool-calls only') }}"
    '{% endif %}{"name": "{{ m.tool_calls[0].function.name }}", '
    '"parameters": {{ m.tool_calls[0].function.arguments | tojson }}}'
    "{% elif m.role == 'tool' %}{{ m.content | tojson }}{% else %}{{ m.content | trim }}{% endif %}<|eot_id|>"
    "{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
MISTRAL = (  # tools before the last message of the user only, so that earlier texts change as more follow
    "{{ bos_token }}{% set asked = messages | selectattr('role', 'equalto', 'user') | list | length %}"
    "{% set ns = namespace(users=0) %}{% for m in messages %}"
    "{% if m.role == 'user' %}{% set ns.users = ns.users + 1 %}"
    "{% if tools and ns.users == asked %}[AVAILABLE_TOOLS] {{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif %}"
    "[INST] {{ m.content }}[/INST]"
    "{% elif m.tool_calls is defined %}[TOOL_CALLS] [{% for call in m.tool_calls %}{{ call.function | tojson }}"
    "{% endfor %}]{{ eos_token }}"
    "{% elif m.role == 'assistant' %} {{ m.content }}{{ eos_token }}"
    "{% elif m.role == 'tool' %}[TOOL_RESULTS] {{ m.content }}[/TOOL_RESULTS]"
    "{% else %}{{ raise_exception('Only user, assistant and tool roles') }}{% endif %}{% endfor %}"
)
GEMMA = (  # no system message, the assistant is called model, nothing about tools
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{% if m.role in ('user', 'assistant') %}"
    "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<end_of_turn>\n"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
TEKKEN = (  # Mistral's later ones: identifiers of nine letters, a system message before the last question only
    "{{ bos_token }}{% set system = messages[0].content if messages[0].role == 'system' else none %}"
    "{% for m in (messages[1:] if system else messages) %}{% if m.role == 'user' %}"
    "{% if tools and loop.index0 == 0 %}[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif %}"
    "[INST]{% if loop.last and system %}{{ system }}\n\n{% endif %}{{ m.content }}[/INST]"
    "{% elif m.tool_calls %}[TOOL_CALLS][{% for call in m.tool_calls %}"
    "{% if call.id | default('') | length != 9 %}{{ raise_exception('ids of length 9') }}{% endif %}"
    '{"name": "{{ call.function.name }}", "id": "{{ call.id }}"}{% endfor %}]{{ eos_token }}'
    "{% elif m.role == 'tool' %}{% if m.tool_call_id | default('') | length != 9 %}"
    "{{ raise_exception('ids of length 9') }}{% endif %}"
    '[TOOL_RESULTS]{"content": {{ m.content | tojson }}, "call_id": "{{ m.tool_call_id }}"}[/TOOL_RESULTS]'
    "{% else %}{{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
GEMMA3 = (  # the system message in the first turn of the user; turns must alternate, nothing about tools
    "{{ bos_token }}{% set system = messages[0].content ~ '\n\n' if messages[0].role == 'system' else '' %}"
    "{% for m in (messages[1:] if system else messages) %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{% if loop.first %}{{ system }}{% endif %}"
    "{{ m.content | trim }}<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
QWEN3 = (  # thoughts are shown behind the last question only, an empty one in the last reply where it has none
    "{% set ns = namespace(last=0) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}"
    "{% endif %}{% endfor %}{% for m in messages %}<|im_start|>{{ 'user' if m.role == 'tool' else m.role }}\n"
    "{% set thought = m.content.split('</think>')[0].split('<think>')[-1] if '</think>' in m.content else '' %}"
    "{% if m.role == 'assistant' and loop.index0 > ns.last and (loop.last or thought) %}"
    "<think>\n{{ thought }}\n</think>\n\n{% endif %}{{ m.content.split('</think>')[-1] }}"
    "{% for call in m.tool_calls %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
DATED = "{{ strftime_now('%d %b %Y') }}\n" + LLAMA  # as Llama 3.2's: today's date at the beginning
DEEPSEEK = (  # adds the arguments to a text
    "{% for m in messages %}{{ m.role }}: {{ m.content }}{% for call in m.tool_calls %}"
    "{{ '<call>' + call['function']['name'] + call['function']['arguments'] }}{% endfor %}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
SPECIAL = ["<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "[INST]", "[/INST]",
           "<start_of_turn>", "<end_of_turn>", "<think>", "</think>"]  # fmt: skip
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"town": 3}'}}
ASKED = [
    {"role": "user", "content": "Is it warm ?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "9 degrees"},
    {"role": "assistant", "content": "No , it is cold ."},
]


def new_task() -> ChatTask:
    return ChatTask(Chat.model_validate({"type": "chat", "generation": {"max_new_tokens": 4}}))


def tokenizer_with(template: str | None) -> Any:
    tokenizer = tiny_tokenizer("tiny:gpt2", [json.dumps(ASKED), json.dumps(WEATHER), "Be kind ."] * 3)
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL})
    tokenizer.chat_template = template
    return tokenizer


def encoded(template: str | None, dialogue: list[Any], **columns: Any) -> tuple[list[tuple[str, list[str]]], list[str]]:
    """Of each feature the whole text and the texts that are scored; and what is said."""
    tokenizer, task = tokenizer_with(template), new_task()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", Notice)
        example = task.example(Row("x.jsonl:7", {"messages": dialogue, **columns}, {}))
        features = task.encode([example, example], tokenizer, 400).features
    texts = []
    for feature in features[: len(features) // 2]:
        runs: list[list[int]] = [[]]
        for label in feature.labels:
            if label == IGNORE:
                runs.append([])
            else:
                runs[-1].append(label)
        texts.append((tokenizer.decode(feature.inputs["input_ids"]), [tokenizer.decode(run) for run in runs if run]))
    return texts, [str(warning.message) for warning in caught]


SCORED = {
    CHATML: ['<tool_call>{"name": "weather", "arguments": {"town": 3}}</tool_call><|im_end|>',
             "No , it is cold .<|im_end|>"],
    LLAMA: ['{"name": "weather", "parameters": {"town": 3}}<|eot_id|>', "No , it is cold .<|eot_id|>"],
    MISTRAL: ['[TOOL_CALLS] [{"name": "weather", "arguments": {"town": 3}}]<|endoftext|>',
              " No , it is cold .<|endoftext|>"],
    DEEPSEEK: ['<call>weather{"town": 3}<|endoftext|>', "No , it is cold .<|endoftext|>"],
    None: [' [{"name": "weather", "arguments": {"town": 3}}]<|endoftext|>', " No , it is cold .<|endoftext|>"],
}  # fmt: skip


@pytest.mark.parametrize("template", SCORED)
def test_calls_and_replies_are_scored_and_nothing_else(template: str | None) -> None:
    [(text, scored)], said = encoded(template, ASKED, tools=[WEATHER])
    assert scored == SCORED[template]
    assert ("parameters" in text and '"type": "object"' in text) == (template != DEEPSEEK)
    assert "9 degrees" in text
    assert len(said) == (template == DEEPSEEK)


def test_a_dialogue_whose_earlier_text_changes_is_scored_reply_by_reply() -> None:
    features, said = encoded(MISTRAL, [*ASKED, *messages("Is it wet ?", "Yes .")], tools=[WEATHER])
    assert [scored for _, [scored] in features] == [*SCORED[MISTRAL], " Yes .<|endoftext|>"]
    assert all(text.count("[AVAILABLE_TOOLS]") == 1 for text, _ in features)
    assert not said


def test_what_a_template_does_not_show_is_said_once() -> None:
    [(text, scored)], said = encoded(GEMMA, ASKED[:1] + ASKED[3:], tools=json.dumps([WEATHER]))
    assert scored == ["No , it is cold .<end_of_turn>"]
    assert "<start_of_turn>model\n" in text
    assert said == [
        "x.jsonl:7: the model's chat template does not show tools, so the model does not read them: choose a model "
        "whose template does, or give its tokenizer another template"
    ]
    _, said = encoded(GEMMA, ASKED, tools="[]")
    assert [sentence.split(" does not show ")[1].split(",")[0] for sentence in said] == [
        "tool calls",
        "messages of the role tool",
    ]


@pytest.mark.parametrize("template", [CHATML, LLAMA, None])
def test_developer_is_system_where_the_template_knows_only_that(template: str | None) -> None:
    dialogue = [{"role": "developer", "content": "Be kind ."}, *messages("Hello", "Hi")]
    system = [{"role": "system", "content": "Be kind ."}, *messages("Hello", "Hi")]
    assert (
        encoded(template, dialogue)
        == encoded(template, system)
        == encoded(template, messages("Hello", "Hi"), system="Be kind .")
    )
    [(text, _)], said = encoded("{# developer #}" + CHATML, dialogue)
    assert text.startswith("<|im_start|>developer\nBe kind .<|im_end|>")
    assert not said


def test_a_role_that_the_template_refuses_is_one_sentence() -> None:
    with pytest.raises(
        UserError, match=r"^x\.jsonl:7: the model's chat template .* \(System role not supported\): change .*put that"
    ):
        encoded(GEMMA, messages("Hello", "Hi"), system="Be kind .")
    with pytest.raises(UserError, match=r"change its messages, for it takes them without the system message: put that"):
        encoded(
            GEMMA, [{"role": "developer", "content": "Be kind ."}, *messages("Hello", "Hi", "Is it wet ?", "Yes .")]
        )
    two = [ASKED[0], {**ASKED[1], "tool_calls": [CALL, CALL]}, *ASKED[2:]]
    with pytest.raises(
        UserError,
        match=r"^x\.jsonl:7: the model's chat template .* \(single tool-calls only\): change its messages, for it "
        "takes them without their tool calls",
    ):
        encoded(LLAMA, [{"role": "system", "content": "Be kind ."}, *two], tools=[WEATHER])
    assert encoded(CHATML, two, tools=[WEATHER])[0][0][1][0].count("<tool_call>") == 2


@pytest.mark.parametrize("template", [CHATML, LLAMA, MISTRAL, GEMMA, None])
def test_replies_of_weight_0_are_read_and_not_scored(template: str | None) -> None:
    dialogue = messages("Hello", "Hi", "Is it warm ?", "No .", "Thank you", "Bye")
    weighted = [{**message, "weight": 0} if message["content"] in ("Hi", "Bye") else message for message in dialogue]
    [(text, scored)], said = encoded(template, weighted)
    [(whole, all_scored)], _ = encoded(template, dialogue)
    assert scored == all_scored[1:2]
    assert "Hi" in text
    assert whole.startswith(text.rstrip())
    assert "Thank" not in text
    assert not said


def test_a_prediction_reads_the_tools() -> None:
    tokenizer, task = tokenizer_with(CHATML), new_task()
    row = Row("x:1", {"messages": ASKED, "tools": [WEATHER]}, {})
    [trained] = task.encode([task.example(row)], tokenizer, 400).features
    [asked] = task.encode([task.unlabelled_example(row)], tokenizer, 400).features
    assert asked.inputs["input_ids"] == trained.prompt == asked.prompt
    assert '"parameters"' in tokenizer.decode(asked.prompt)


def test_rows_of_examples_are_read_again() -> None:
    task = new_task()
    example = task.example(Row("x:1", {"messages": ASKED, "tools": [WEATHER], "system": "Be kind ."}, {}))
    [values] = task.to_rows(example)
    assert task.example(Row("x:1", json.loads(json.dumps(values)), {})) == example


def test_one_text_makes_a_dialogue_and_a_second_is_refused() -> None:
    assert new_task().row_of("Hi", None) == {"messages": [{"role": "user", "content": "Hi"}]}
    with pytest.raises(UserError, match="leave out --text-pair"):
        new_task().row_of("Hi", "there")


@pytest.mark.parametrize(
    ("template", "start", "end"),
    [
        (CHATML, "<|im_start|>system\nBe kind .", "<|im_end|>"),
        (QWEN3, "<|im_start|>system\nBe kind .", "<|im_end|>"),
        (LLAMA, "<|start_header_id|>system<|end_header_id|>\n\nBe kind .", "<|eot_id|>"),
        (GEMMA3, "<start_of_turn>user\nBe kind .\n\nHello", "<end_of_turn>"),
    ],
)
def test_a_system_message_is_read_and_not_scored(template: str, start: str, end: str) -> None:
    dialogue = messages("Hello", "Hi", "Is it warm ?", "No .")
    features, said = encoded(template, dialogue, system="Be kind .")
    thought = "<think>\n\n</think>\n\n" if template == QWEN3 else ""
    assert [one for _, scored in features for one in scored] == [f"{thought}{text}{end}" for text in ("Hi", "No .")]
    assert all(start in text for text, _ in features)
    assert not said


def test_thoughts_of_earlier_turns_are_not_read_where_the_template_drops_them() -> None:
    """Each reply is scored with its own thought, behind replies without theirs: as the model is asked later."""
    dialogue = messages("Hello", "<think>one</think>Hi", "Is it warm ?", "<think>two</think>No .")
    features, said = encoded(QWEN3, dialogue)
    assert [scored for _, scored in features] == [
        ["<think>\none\n</think>\n\nHi<|im_end|>"],
        ["<think>\ntwo\n</think>\n\nNo .<|im_end|>"],
    ]
    assert ["one" in text for text, _ in features] == [True, False]
    assert not said
    features, _ = encoded(QWEN3, ASKED, tools=[WEATHER])
    empty = "<think>\n\n</think>\n\n"
    call = '<tool_call>{"name": "weather", "arguments": {"town": 3}}</tool_call>'
    assert [scored for _, scored in features] == [[f"{empty}{call}<|im_end|>"], [f"{empty}No , it is cold .<|im_end|>"]]


def test_calls_get_the_short_identifiers_that_mistral_demands() -> None:
    """The same for a call and its result; those of nine letters stay; calls without one are answered in order."""
    for given, kept in (("call_abc123456789", False), ("a1B2c3D4e", True), (None, False)):
        call = {name: value for name, value in {**CALL, "id": given}.items() if value}
        dialogue = [ASKED[0], {**ASKED[1], "tool_calls": [call]}, {**ASKED[2], "tool_call_id": given}, ASKED[3]]
        [(text, scored)], said = encoded(TEKKEN, dialogue, tools=[WEATHER])
        [made] = re.findall(r'"id": "(\w{9})"', text)
        assert re.findall(r'"call_id": "(\w+)"', text) == [made]
        assert (made == given) == kept
        called = f'[TOOL_CALLS][{{"name": "weather", "id": "{made}"}}]<|endoftext|>'
        assert scored == [called, "No , it is cold .<|endoftext|>"]
        assert not said
    two = [{**ASKED[1], "tool_calls": [{**CALL, "id": "x"}, {**CALL, "id": "y"}]}]
    results = [{**ASKED[2], "tool_call_id": one} for one in ("y", "x")]
    [(text, _)], _ = encoded(TEKKEN, [ASKED[0], *two, *results, ASKED[3]])
    assert re.findall(r'"call_id": "(\w+)"', text) == re.findall(r'"id": "(\w+)"', text)[::-1]


@pytest.mark.parametrize(
    ("template", "system", "words"),
    [
        (
            GEMMA3,
            None,
            "takes them without their tool calls and results, or choose a model whose template takes these$",
        ),
        (TEKKEN, "Be kind .", "follow its prompt: put the text of the system message before the first message of the "),
    ],
)
def test_what_a_family_cannot_show_is_said_with_the_remedy(template: str, system: str | None, words: str) -> None:
    with pytest.raises(UserError, match=rf"^x\.jsonl:7: .*{words}"):
        encoded(template, ASKED, tools=[WEATHER], system=system)


def test_a_template_that_writes_the_date_makes_the_same_text_on_another_day() -> None:
    [(text, _)], _ = encoded(DATED, messages("Hello", "Hi"))
    assert text.startswith("26 Jul 2024\n")
