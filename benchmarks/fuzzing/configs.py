"""Configs, overrides of the command line, .env files and patterns of data.where, as people and attackers write them."""

import random
from functools import partial
from pathlib import Path

from .mutations import mutated
from .target import ACCEPTED, REFUSED, Target

CONFIG = b"""\
task: {type: text-classification, class_weights: {a: 2, b: 1.5}}
model: {name: tiny:bert, max_length: 64, overflow: windows}
method:
  type: lora
  r: 8
data:
  train: [a.csv, "data/*.jsonl"]
  validation: 'b.csv'
  columns: {label: 3}
  labels: [negative, positive]
  where: {domain: "^news$"}
  template: "{title} [SEP] {brand}"
train: {epochs: 3, batch_size: 16, eval_every: epoch, precision: auto}
optim:
  lr: 2.0e-5  # peak
  schedule: linear
run: {name: x, dir: runs}
"""
PIECES = [
    *(piece.encode() for piece in "[]{}:,#&*!|>'\"%@`?-~\t\n\r\\\0\x85\u2028\ufeff："),
    *(b": ", b"- ", b"&a ", b"*a", b"<<: ", b"? ", b"---\n", b"...\n", b"%YAML 1.1\n", b"  ", b"|2\n", b">-\n"),
    *(b"!!bool ", b"!!int ", b"!!float ", b"!!timestamp ", b"!!binary ", b"!!set ", b"!!python/none ", b"!x "),
    *(b"true", b"null", b".nan", b"-.inf", b"1e999", b"9" * 400, b"9" * 5000, b"0x1F", b"2024-02-30", b"1:30", b"no"),
    *(b'"\\ud800"', b'"\\x00"', b'"\\U00110000"', b"\xed\xa0\x80", b"\xff\xfe", b"C:\\new", b"[" * 400, b"{a: " * 400),
    *(b"&a [*a]", b"x: &b [*a,*a,*a,*a]\n", b"  a.b: 1\n", b"stages: [{name: a}]\n", b"continual: {type: ewc}\n"),
]  # fmt: skip
"""What YAML, or our reading of it, gives a meaning to."""
OVERRIDE = b"train.epochs=5"
KEYS = ["task", "task.type", "task.class_weights", "task.class_weights.a", "model", "model.name", "method", "method.r",
        "data", "data.train", "data.train.0", "data.columns", "data.where", "data.where.a", "data.labels", "data.path",
        "data.template", "data.separator", "data.features", "train", "train.epochs", "train.eval_every",
        "train.compile", "train.seed", "optim.lr", "run.name", "run.dir", "continual", "stages", "stages.0.name",
        "continue_from", "x", "a..b", ""]  # fmt: skip
ENV = b"# tokens\nHF_TOKEN=abc\nexport A='b c'\nB=\"x\\n${A}\"\n"
ENV_PIECES = [
    *(bytes([byte]) for byte in b"='\"#$\\\n\r\t \0{}"),
    b"export ",
    b"${A}",
    b"${C:-x}",
    b"\xff",
    b"\xff\xfe",
    b"=x\n",
]
PATTERN = rb"^(?!news$)([a-z]+|\d{2,4})\s?(?P<x>a)(?P=x)$"
PATTERN_PIECES = [
    *(bytes([byte]) for byte in b"ab1 ()[]{}|*+?.^$\\,-<>=!:&~#"),
    *(b"(?:", b"(?=", b"(?<=", b"(?i)", b"(?P<x>", b"(?P=x)", b"(?(1)", b"\\1", b"\\p{L}", b"(a|aa)+", b"{1000}"),
    *(b"(x+x+)+", b"(?R)", b"[[:alpha:]]", b"\\N{BULLET}", b"(" * 300, b"9" * 30, b"{e<=3}", "é".encode()),
]  # fmt: skip


def read_config(content: bytes, folder: Path) -> str:
    """Read a config; what a run would keep of it is read again."""
    path = folder / "x.yaml"
    path.write_bytes(content)
    return _loaded(path)


def read_override(content: bytes, folder: Path) -> str:
    path = folder / "x.yaml"
    path.write_bytes(CONFIG)
    return _loaded(path, content.decode("utf-8", "surrogateescape"))


def _loaded(path: Path, *overrides: str) -> str:
    from finetune.config.load import load_config
    from finetune.errors import UserError

    try:
        config = load_config(path, list(overrides))
    except UserError as error:
        if not str(error).startswith((str(path), "argument '")):
            raise AssertionError(f"the sentence does not begin with a place: {error}") from error
        return REFUSED
    assert type(config).model_validate_json(config.model_dump_json()) == config
    return ACCEPTED


def read_env(content: bytes, folder: Path) -> str:
    import os

    from finetune.env_file import load_env_file
    from finetune.errors import UserError

    path, before = folder / ".env", dict(os.environ)
    path.write_bytes(content)
    try:
        load_env_file(path)
    except UserError as error:
        if not str(error).startswith(str(path)):
            raise AssertionError(f"the sentence does not begin with the file: {error}") from error
        return REFUSED
    finally:
        os.environ.clear()
        os.environ.update(before)
    return ACCEPTED


def search(content: bytes, folder: Path) -> str:
    """A pattern is refused, or searched for in a few texts within its limit of time."""
    from finetune.data.patterns import matches, require_pattern
    from finetune.errors import UserError

    try:
        pattern = content.decode("utf-8", "replace")
        require_pattern(pattern)
        for text in ("news", "aaaa ab12", "a" * 60 + "!", "x" * 60, "", "\u4f60\n" * 9):
            matches(pattern, text, str(folder), "data.where.a")
    except (ValueError, UserError):
        return REFUSED
    return ACCEPTED


def override(random_: random.Random) -> bytes:
    key = random_.choice(KEYS).encode()
    value = b"".join(random_.choice(PIECES) for _ in range(random_.randint(0, 3)))
    return mutated(key + b"=" + value, PIECES, random_) if random_.random() < 0.3 else key + b"=" + value


TARGETS = [
    Target("config/file", partial(bytes, CONFIG), partial(mutated, CONFIG, PIECES), read_config),
    Target("config/override", partial(bytes, OVERRIDE), override, read_override),
    Target("config/env", partial(bytes, ENV), partial(mutated, ENV, ENV_PIECES), read_env),
    Target("config/pattern", partial(bytes, PATTERN), partial(mutated, PATTERN, PATTERN_PIECES), search),
]
