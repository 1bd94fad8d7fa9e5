"""Damaged model folders, and chat templates as people and attackers write them.

A case of a folder is one file in a sound folder: its name, a line break, its content.
"""

import copy
import json
import random
import re
from functools import cache, partial
from pathlib import Path
from typing import Any

from .mutations import mutated
from .target import ACCEPTED, REFUSED, Target

FILES = (
    "config.json",
    "tokenizer_config.json",
    "tokenizer.json",
    "generation_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "model.safetensors",
    "model.safetensors.index.json",
)
PIECES = [
    *(piece.encode() for piece in '{}[]",:\\\n\0'),
    *(b"null", b"true", b"-1", b"0", b"1.5", b"1e999", b"NaN", b"9" * 20, b"9" * 400, b'"16"', b"[]", b"{}"),
    *(b"1000000000", b"1000000000000", b"[" * 500, b'{"a":' * 500, b"\xff\xfe", b"\xed\xa0\x80", b'"\\ud800"'),
    *(b'"num_labels": 1000000000, ', b'"num_hidden_layers": 1000000000, ', b'"vocab_size": 1000000000, '),
    *(b'"model_type": "gpt2", ', b'"auto_map": {"AutoModel": "a.B"}, ', b'"tokenizer_class": "X", '),
    *(b'"quantization_config": {"quant_method": "x"}, ', b'"_attn_implementation": "a/b", ', b'"dtype": "x", '),
    *(b'"weight_map": {"a": "../x.safetensors"}, ', b"version https://git-lfs.github.com/spec/v1\n"),
]
VALUES = [None, True, False, -1, 0, 1, 3, 1.5, -1e308, float("nan"), 10**6, 10**9, 10**12, 10**30, "", "16", "x",
          "../x", "gpt2", "/etc/passwd", [], {}, [1], ["x"], {"x": 1}, [[]], {"x": {}}, "é" * 300]  # fmt: skip
"""In the place of a value of a file."""
KEYS = ["num_labels", "id2label", "label2id", "dtype", "torch_dtype", "architectures", "quantization_config", "model",
        "is_decoder", "rope_parameters", "text_config", "layer_types", "problem_type", "tie_word_embeddings", "[PAD]",
        "tokenizer_class", "vocab_file", "chat_template", "model_max_length", "extra_special_tokens", "padding_side",
        "normalizer", "weight_map", "metadata", "num_beams", "max_new_tokens", "pad_token"]  # fmt: skip
"""Keys that a file may get."""
SIZES = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}

TEMPLATE = (
    b"{% if tools %}{{ tools | tojson }}{% endif %}{% set ns = namespace(n=0) %}{% for message in messages %}"
    b"{% if message['role'] == 'system' and loop.first %}{{ message.content | trim }}{% else %}"
    b"{{ '<|' + message['role'] + '|>' ~ message['content'].strip() }}{% set ns.n = ns.n + 1 %}{% endif %}"
    b"{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
TEMPLATE_PIECES = [
    *(piece.encode() for piece in "{}%#|.()[]'\"~+-*/=<>, \n"),
    *(b"{{ ", b" }}", b"{% ", b" %}", b"{#", b"#}", b"{%- ", b"{% raw %}", b"{% endraw %}", b"{% endfor %}"),
    *(b"{% for a in range(99999) %}", b"{% for a in messages %}", b"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"),
    *(b" ** 9 ** 9", b" * 10 ** 9", b"'a' * 9999999999", b"|center(9999999999)", b"'%9999999999d' % 1", b"|list"),
    *(b".__class__", b"['__class__']", b"|attr('__class__')", b".__init__.__globals__", b"cycler", b"lipsum(999)"),
    *(b"raise_exception('x')", b"strftime_now('%Y')", b"{% include 'x' %}", b"{% import 'x' as y %}", b"{% break %}"),
    *(b"{% set ns.s = ns.s + ns.s %}", b"|map('upper')", b"|join", b"|tojson(indent=9)", b"none", b"\xff", b"\0"),
]
STATEMENTS = [
    *(b"{{ 9 ** 9 ** 9 }}", b"{{ 'a' * 10 ** 10 }}", b"{{ [1] * 10 ** 10 }}", b"{{ 'a'|center(10 ** 10) }}"),
    *(b"{{ messages.__class__.__mro__ }}", b"{{ messages|attr('append') }}", b"{{ messages.append(1) }}"),
    *(b"{{ ''.__class__.__base__.__subclasses__() }}", b"{{ cycler.__init__.__globals__.os.system('x') }}"),
    *(b"{{ '{0.__class__}'.format(messages) }}", b"{{ '%9999999999d' % 1 }}", b"{{ lipsum(n=10 ** 9) }}"),
    *(b"{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", b"{{ range(10 ** 9) }}"),
    *(b"{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}", b"{{ messages|map(attribute='x')|list }}"),
    b"{% set ns = namespace(s='aa') %}{% for a in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}",
    *(b"{{ raise_exception(messages) }}", b"{{ 1 // 0 }}", b"{{ undefined() }}", b"{{ undefined.x.y }}"),
    *(b"{{ messages[99].content }}", b"{{ messages|tojson(indent=9999999999) }}", b"{{ dict(messages) }}"),
    *(b"{% include '/etc/passwd' %}", b"{% extends 'x' %}", b"{{ self.x() }}", b"{{ loop.index }}", b"\0", b"\xff"),
    *(b"{{ 'a'|wordwrap(-1) }}", b"{{ [1]|batch(10 ** 10, 'x')|list }}", b"{{ [3, 'a']|sort }}", b"{{ -messages }}"),
    *(b"{{ strftime_now('%') }}", b"{{ strftime_now(3) }}", b"{{ 'x'|urlize(10 ** 9) }}", b"{{ 'x'|truncate(-5) }}"),
]


@cache
def sound() -> dict[str, bytes]:
    """The files of a sound model folder."""
    import tempfile

    import torch
    import transformers
    from finetune.console import quiet_libraries
    from finetune.model.tiny import tiny_tokenizer

    quiet_libraries()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    tokenizer = tiny_tokenizer("tiny:bert", ["a fine day", "what a lovely song it was"])
    with tempfile.TemporaryDirectory() as folder:
        config = transformers.BertConfig(**SIZES, vocab_size=len(tokenizer))
        transformers.AutoModel.from_config(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        files = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
    weights = {"weight_map": {"embeddings.word_embeddings.weight": "model.safetensors"}}
    return {
        **dict.fromkeys(("special_tokens_map.json", "added_tokens.json"), b"{}"),
        "generation_config.json": b'{"eos_token_id": 1, "max_length": 20, "temperature": 1.0}',
        "model.safetensors.index.json": json.dumps(weights).encode(),
        **files,
    }


def valid(name: str) -> bytes:
    return sound()[name]


def damaged(name: str, random_: random.Random) -> bytes:
    """A file with other bytes, or with other values at one to three places."""
    if name.endswith(".safetensors") or random_.random() < 0.3:
        return mutated(sound()[name], PIECES, random_)
    values = json.loads(sound()[name])
    for _ in range(random_.randint(1, 3)):
        _change(values, random_)
    return json.dumps(values).encode()


def _change(values: dict[str, Any], random_: random.Random) -> None:
    """Give a key of a table, or of one inside it, another value, or remove it."""
    key = random_.choice([*values, *random_.sample(KEYS, 3)])
    inside = values.get(key)
    if isinstance(inside, dict) and inside and random_.random() < 0.8:
        _change(inside, random_)
    elif key in values and random_.random() < 0.2:
        del values[key]
    else:
        values[key] = copy.deepcopy(random_.choice(VALUES))


def load(name: str, content: bytes, folder: Path) -> str:
    """Load tokenizer and model as a training does; a refusal is one line."""
    from finetune.config.config import Model
    from finetune.config.methods import Full
    from finetune.errors import UserError
    from finetune.model.load import load_model, load_tokenizer
    from finetune.tasks import make_task
    from finetune.tasks.settings import TextClassification

    for other, sound_content in sound().items():
        (folder / other).write_bytes(content if other == name else sound_content)
    task = make_task(TextClassification(type="text-classification"))
    task.labels = ["a", "b"]
    model = Model(name=str(folder), max_length=16)
    try:
        tokenizer = load_tokenizer(model, task, [])
        loaded, _, _ = load_model(model, task, tokenizer, Full())
        loaded(**tokenizer(["a fine day"], return_tensors="pt", truncation=True, max_length=16))
    except UserError as error:
        return _one_line(error)
    return ACCEPTED


def valid_template() -> bytes:
    return TEMPLATE


def damaged_template(random_: random.Random) -> bytes:
    """A template with other characters, or with expressions and statements between its own."""
    if random_.random() < 0.5:
        return mutated(TEMPLATE, TEMPLATE_PIECES, random_)
    parts = re.split(rb"(?<=%})|(?<=}})", TEMPLATE)
    for _ in range(random_.randint(1, 3)):
        parts.insert(random_.randint(0, len(parts)), random_.choice(STATEMENTS))
    return b"".join(parts)


def render(content: bytes, folder: Path) -> str:
    """Show a dialogue by a chat template, as every training and prediction does."""
    from finetune.errors import UserError
    from finetune.tasks.chat_template import Dialogue, rendered, stop_tokens

    tokenizer = _tokenizer()
    tokenizer.chat_template = content.decode("utf-8", "surrogateescape")
    dialogue = Dialogue([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}], "x.jsonl:1")
    try:
        stop_tokens(tokenizer)
        rendered(tokenizer, dialogue)
    except UserError as error:
        return _one_line(error)
    return ACCEPTED


@cache
def _tokenizer() -> object:
    from finetune.model.tiny import tiny_tokenizer

    return tiny_tokenizer("tiny:gpt2", ["a fine day", "what a lovely song it was"])


def _one_line(error: Exception) -> str:
    if "\n" in str(error):
        raise AssertionError(f"the sentence has several lines: {error}") from error
    return REFUSED


TARGETS = [
    *(Target(f"model/{name}", partial(valid, name), partial(damaged, name), partial(load, name)) for name in FILES),
    Target("chat-template", valid_template, damaged_template, render),
]
