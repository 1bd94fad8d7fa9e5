"""Chat templates come with models: one that never ends, or fails in its own way, is refused in a sentence."""

import sys
import threading
import time
import weakref
from typing import Any

import pytest

from finetune import time_limit as time_limits
from finetune.errors import UserError
from finetune.tasks import chat_template
from finetune.tasks.chat_template import Dialogue, rendered, stop_tokens
from finetune.time_limit import time_limit

DIALOGUE = Dialogue([{"role": "user", "content": "hi"}], "x.jsonl:3")
LOOPS = (
    "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}"
)
MACRO = "{% macro f(n) %}{{ f(n + 1) }}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}"
TEMPLATES = {
    "endless loops": (LOOPS, "it takes more than 0.3 s"),
    "endless texts": (LOOPS.replace("{% endfor %}", "x{% endfor %}", 1), "it takes more than 0.3 s"),
    "recursion": (MACRO, "recursion depth"),
    "a large range": ("{% for a in range(10 ** 9) %}{% endfor %}", "Range too big"),
    "a large number": ("{{ 9 ** 9 ** 9 }}", "is too large"),
    "a large number, in steps": ("{% set a = 99 ** 99 %}{{ a ** 99 }}", "too large"),
    "a long text": ("{{ 'a' * 10 ** 10 }}", "it makes a text or list of 10,000,000,000 elements"),
    "a long list": ("{{ 10 ** 10 * [1] }}", "it makes a text or list of 10,000,000,000 elements"),
    "doubled texts": ("{% set n = namespace(a='aa') %}{% for i in range(99) %}{% set n.a = n.a + n.a %}{% endfor %}",
                      "it makes a text or list of"),
    "a wide text": ("{{ 'a'|center(10 ** 10) }}", "a number in it is too large"),
    "a wide method": ("{{ 'a'.ljust(10 ** 10) }}", "a number in it is too large"),
    "a wide format": ("{{ '%9999999999d' % 1 }}", "a number in it is too large"),
    "a wide format of arguments": ("{{ '%*d' % (10 ** 10, 1) }}", "a number in it is too large"),
    "a wide format of braces": ("{{ '{:9999999999}'.format(1) }}", "a number in it is too large"),
    "a wide format filter": ("{{ '%9999999999d'|format(1) }}", "a number in it is too large"),
    "wide batches": ("{{ [1]|batch(10 ** 10, 'x')|list }}", "a number in it is too large"),
    "no number": ("{{ 1 / 0 }}", "division by zero"),
    "an attribute of Python": ("{{ messages.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
    "its own error": ("{{ raise_exception('no dialogues') }}", "no dialogues"),
    "no template": ("{% for %}", "Expected"),
}  # fmt: skip


class Tokenizer:
    """A tokenizer with a chat template of its own."""

    def __init__(self, template: str) -> None:
        self.template = template

    def get_chat_template(self, **options: Any) -> str:
        return self.template

    def apply_chat_template(self, messages: list[Any], **options: Any) -> str:
        from transformers.utils.chat_template_utils import render_jinja_template

        return str(render_jinja_template([messages], chat_template=self.template)[0][0])


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_hostile_template_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_template, "SECONDS", 0.3)
    template, told = TEMPLATES[name]
    started = time.process_time()
    with pytest.raises(UserError) as caught:
        rendered(Tokenizer(template), DIALOGUE)
    assert str(caught.value).startswith("x.jsonl:3: the model's chat template does not take this dialogue (")
    assert told in str(caught.value)
    with pytest.raises(
        UserError, match=r"^model\.name: the model's chat template does not take a question and a reply"
    ):
        stop_tokens(Tokenizer(template))
    assert time.process_time() - started < 5


def test_what_templates_compute_is_as_in_the_library() -> None:
    template = (
        "{{ 2 ** 3 }} {{ 'ab' * 2 }} {{ 7 % 4 }} {{ '%03d' % 5 }} {{ 'x'|center(3) }}{{ [1] + [2] }}{{ 3 * 1.5 }}"
    )
    assert rendered(Tokenizer(template), DIALOGUE) == "8 abab 3 005  x [1, 2]4.5"


def test_a_limit_ends_with_its_block() -> None:
    with time_limit(0.01):
        pass
    deadline = time.monotonic() + 0.6
    while time.monotonic() < deadline:  # nothing is raised here
        pass


def test_a_limit_holds_where_its_exception_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_limits, "PERIOD", 0.01)
    monkeypatch.setattr(time_limits, "AGAIN", 0.02)
    caught, deadline = 0, time.monotonic() + 10
    with time_limit(0.01):
        while caught < 2 and time.monotonic() < deadline:
            try:
                while time.monotonic() < deadline:
                    pass
            except TimeoutError:
                caught += 1
    assert caught == 2


def test_a_limit_that_ends_in_a_callback_prints_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be raised, it is raised again behind it."""
    printed: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", printed.append)
    monkeypatch.setattr(time_limits, "_watching", [])
    deadline, targets = time.monotonic() + 10, [set[int]()]

    def spin(_: Any = None) -> None:
        while time.monotonic() < deadline:
            pass

    callback = weakref.ref(targets[0], spin)
    with pytest.raises(TimeoutError), time_limit(0.01):
        spin(targets.clear())  # the callback, and then the function itself
    assert callback() is None
    assert time.monotonic() < deadline
    assert printed == []


def test_limits_hold_for_each_thread_by_itself() -> None:
    stopped: list[str] = []

    def compute(name: str, seconds: float) -> None:
        deadline = time.monotonic() + 1.5
        try:
            with time_limit(seconds):
                while time.monotonic() < deadline:
                    pass
        except TimeoutError:
            stopped.append(name)

    threads = [threading.Thread(target=compute, args=case) for case in (("short", 0.2), ("long", 60.0))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stopped == ["short"]
