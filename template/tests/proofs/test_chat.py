"""Chat: with any chat template the assistant's replies are scored, and nothing else."""

from typing import Any

import pytest
from conftest import DIALOGUES, messages

from finetune.data.features import IGNORE
from finetune.data.rows import Row
from finetune.errors import UserError
from finetune.model.tiny import tiny_tokenizer
from finetune.tasks.chat import ChatTask
from finetune.tasks.chat_template import PLAIN_TEMPLATE, Dialogue
from finetune.tasks.settings import Chat

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
FORGETFUL = (  # as templates that drop what a model has thought in earlier replies
    "{% for m in messages %}{% if m.role == 'assistant' and not loop.last %}..{% else %}{{ m.role }}> {{ m.content }}"
    "{% endif %}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}assistant>{% endif %}"
)
EXAMPLES = [Dialogue(messages(*turns), f"x.jsonl:{i}") for i, turns in enumerate(DIALOGUES, start=1)]


def new_task(max_new_tokens: int = 4) -> ChatTask:
    return ChatTask(Chat.model_validate({"type": "chat", "generation": {"max_new_tokens": max_new_tokens}}))


def tokenizer_with(template: str | None) -> Any:
    tokenizer = tiny_tokenizer("tiny:gpt2", list(new_task().texts(EXAMPLES)) * 2)
    tokenizer.chat_template = template
    if template == CHATML:
        tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    return tokenizer


def counted(tokenizer: Any, labels: list[int]) -> list[str]:
    """The runs of tokens that count, as texts."""
    runs: list[list[int]] = [[]]
    for label in labels:
        if label == IGNORE:
            runs.append([])
        else:
            runs[-1].append(label)
    return [tokenizer.decode(run) for run in runs if run]


@pytest.mark.parametrize(("template", "end"), [(None, "<|endoftext|>"), (CHATML, "<|im_end|>")])
def test_replies_count_with_their_end_token(template: str | None, end: str) -> None:
    tokenizer, task = tokenizer_with(template), new_task()
    features = task.encode(EXAMPLES, tokenizer, 200).features
    assert len(features) == len(EXAMPLES)
    for example, feature in zip(EXAMPLES, features, strict=True):
        replies = [message["content"] for message in example.messages if message["role"] == "assistant"]
        assert [text.lstrip() for text in counted(tokenizer, feature.labels)] == [f"{reply}{end}" for reply in replies]
        assert feature.scored_labels == sum(label != IGNORE for label in feature.labels)
        before = tokenizer.apply_chat_template(example.messages[:-1], tokenize=False, add_generation_prompt=True)
        assert tokenizer.decode(feature.prompt) == before
    assert tokenizer.convert_tokens_to_ids(end) in task.stop_tokens


def test_a_template_that_rewrites_the_past_gives_each_reply_its_own_text() -> None:
    tokenizer, task = tokenizer_with(FORGETFUL), new_task()
    features = task.encode(EXAMPLES, tokenizer, 200).features
    assert [feature.example for feature in features] == [0, 1, 1, 2, 3]
    replies = [m["content"] for example in EXAMPLES for m in example.messages if m["role"] == "assistant"]
    for reply, feature in zip(replies, features, strict=True):
        [text] = counted(tokenizer, feature.labels)
        assert text == f" {reply}<|endoftext|>"


def test_a_model_without_a_template_gets_a_plain_one_that_is_saved() -> None:
    tokenizer = tokenizer_with(None)
    new_task().encode(EXAMPLES[:1], tokenizer, 200)
    assert tokenizer.chat_template == PLAIN_TEMPLATE


def test_a_dialogue_that_waits_for_a_reply_has_nothing_to_score() -> None:
    tokenizer, task = tokenizer_with(CHATML), new_task()
    example = task.unlabelled_example(Row("x:1", task.row_of("Hello", None), {}))
    [feature] = task.encode([example], tokenizer, 200).features
    assert feature.scored_labels == 0
    assert tokenizer.decode(feature.prompt).endswith("<|im_start|>assistant\n")


def test_long_dialogues_are_truncated_at_the_beginning() -> None:
    tokenizer, task = tokenizer_with(CHATML), new_task()
    whole = task.encode(EXAMPLES, tokenizer, 200).features
    encoded = task.encode(EXAMPLES, tokenizer, 20)
    assert encoded.truncated == sum(feature.length > 20 for feature in whole) > 0
    for feature, long in zip(encoded.features, whole, strict=True):
        assert feature.inputs["input_ids"] == long.inputs["input_ids"][-20:]
        assert feature.labels == long.labels[-20:]
        assert feature.scored_labels == sum(label != IGNORE for label in feature.labels[1:])
        assert feature.prompt == long.prompt[-16:]


def test_a_dialogue_without_the_assistant_is_refused_in_training() -> None:
    with pytest.raises(UserError, match=r"^x\.jsonl:7: the assistant has no message to train on: add a reply"):
        new_task().example(Row("x.jsonl:7", {"messages": messages("Hello")}, {}))


def test_a_dialogue_that_the_template_refuses_is_named() -> None:
    tokenizer = tokenizer_with("{{ raise_exception('Roles must alternate') }}")
    with pytest.raises(UserError, match=r"^x\.jsonl:1: the model's chat template does not take .*Roles must alternate"):
        new_task().dialogue_features(0, EXAMPLES[0], tokenizer, 200).__next__()


STARTING = [
    {"role": "assistant", "content": "Hello , how can I help ?"},
    *messages("Where is my parcel 7 ?", "No , closed ."),
]
DEFAULT_SYSTEM = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nYou help .<|im_end|>\n{% endif %}" + CHATML
)  # as templates that add a system message of their own
ALTERNATING = "{% if messages[0].role != 'user' %}{{ raise_exception('Roles must\nalternate') }}{% endif %}" + CHATML


@pytest.mark.parametrize(
    ("template", "before"),
    [
        (None, "Assistant:"),
        (CHATML, "<|im_start|>assistant\n"),
        (DEFAULT_SYSTEM, "You help .<|im_end|>\n<|im_start|>assistant\n"),
    ],
)
@pytest.mark.parametrize("dialogue", [STARTING, STARTING[:1], [{"role": "system", "content": "Hello"}, *STARTING]])
def test_a_dialogue_that_the_assistant_begins(template: str | None, before: str, dialogue: list[Any]) -> None:
    tokenizer, task = tokenizer_with(CHATML), new_task()
    tokenizer.chat_template = template
    example = task.example(Row("x:1", {"messages": dialogue}, {}))
    [feature] = task.encode([example], tokenizer, 200).features
    end = "<|im_end|>" if template else "<|endoftext|>"
    replies = [message["content"] for message in dialogue if message["role"] == "assistant"]
    assert [text.lstrip() for text in counted(tokenizer, feature.labels)] == [f"{reply}{end}" for reply in replies]
    first = next(i for i, label in enumerate(feature.labels) if label != IGNORE)
    if dialogue[0]["role"] == "assistant":
        assert tokenizer.decode(feature.inputs["input_ids"][:first]).endswith(before)
        [opened] = task.encode(
            [task.unlabelled_example(Row("x:1", {"messages": dialogue[:1]}, {}))], tokenizer, 200
        ).features
        assert opened.inputs["input_ids"] == feature.inputs["input_ids"][:first], (
            "a prediction begins where training did"
        )


def test_nothing_is_learnt_from_what_follows_the_last_reply() -> None:
    tokenizer, task = tokenizer_with(CHATML), new_task()
    dialogue = EXAMPLES[1].messages
    examples = [task.example(Row("x:1", {"messages": [*dialogue, *more]}, {})) for more in ([], messages("Thank you"))]
    first, second = task.encode(examples, tokenizer, 200).features
    assert (first.inputs, first.labels) == (second.inputs, second.labels)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (ALTERNATING, "Roles must alternate"),
        (
            CHATML + "{% for m in messages %}{% if m.role == 'system' %}{{ m.content + 1 }}{% endif %}{% endfor %}",
            "can only",
        ),
        ("{{ messages[0].content / 2 if messages[0].role == 'system' }}" + CHATML, "unsupported operand"),
        ("{% if messages[0].role == 'system' %}{{ messages[9].x.y }}{% endif %}" + CHATML, "has no"),
        ("{% if messages[0].role == 'system' %}{{ 1 / 0 }}{% endif %}" + CHATML, "division by zero"),
        ("{% if messages[0].role == 'system' %}{{ ''.__class__.__mro__ }}{% endif %}" + CHATML, "unsafe"),
    ],
)
@pytest.mark.parametrize("labelled", [True, False])
def test_what_a_template_raises_is_one_sentence_with_the_row(template: str, reason: str, labelled: bool) -> None:
    tokenizer, task = tokenizer_with(template), new_task()
    rows = [Row("x.jsonl:7", {"messages": [{"role": "system", "content": "Hello"}, *messages("Hello", "Hello")]}, {})]
    with pytest.raises(
        UserError, match=rf"^x\.jsonl:7: the model's chat template does not take .*{reason}.*change its"
    ) as error:
        task.encode(task.parse(rows, labelled=labelled), tokenizer, 200)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("template", ["{% for %}", "{{ raise_exception('no') }}", "{{ messages | length }}"])
def test_a_template_that_takes_no_dialogue_is_a_fault_of_the_model(template: str) -> None:
    with pytest.raises(
        UserError, match=r"^model\.name: the model's chat template does not take a question and a reply"
    ):
        new_task().encode(EXAMPLES, tokenizer_with(template), 200)
