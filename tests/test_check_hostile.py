"""`ft-template check` on hostile projects: faults within seconds, never a traceback, nothing of other files shown."""

import json
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from conftest import Bake
from ft_template.check import limited
from ft_template.check.check import check
from ft_template.check.limited import check_limited
from ft_template.check.rules.schema import glob_matches
from ft_template.cli import main
from ft_template.create.bake import REPOSITORY
from ft_template.errors import UserError
from ft_template.parsing import parse_json, parse_toml, parse_yaml
from ft_template.reading import LIMIT, RefusedError, read_bytes, read_text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.append(str(REPOSITORY / "benchmarks"))

from fuzzing import check as fuzzing

CONFIG, SCHEMA = "configs/demo.yaml", "schemas/config.schema.json"

ENDLESS_SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "definitions": {f"a{number}": {"anyOf": [{"$ref": f"#/definitions/a{number + 1}"}] * 2} for number in range(40)}
    | {"a40": False},
    "$ref": "#/definitions/a0",
}
ENDLESS_PATTERN = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "properties": {"x": {"pattern": "^(a+)+$"}},
}


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(random_=st.randoms(use_true_random=False))
def test_hostile_projects_end_in_faults(random_: random.Random) -> None:
    with TemporaryDirectory() as folder:
        fuzzing.check(fuzzing.changes(random_), Path(folder))


# ------------------------------------------------------------------------------------------------------- limited checks


@pytest.mark.parametrize(
    ("schema", "config"),
    [(ENDLESS_SCHEMA, "a: 1\n"), (ENDLESS_PATTERN, f"x: {'a' * 60}b\n")],
    ids=["schema", "pattern"],
)
def test_endless_work_ends_with_the_rule_that_does_it(
    bake_project: Bake, schema: dict[str, object], config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    project = bake_project()
    (project / SCHEMA).write_text(json.dumps(schema), encoding="utf-8")
    (project / CONFIG).write_text(config, encoding="utf-8")
    started = time.monotonic()
    faults = [fault for fault in check_limited(project, seconds=3) if fault.rule == "check.limits"]
    assert time.monotonic() - started < limited.WAITING
    (fault,) = faults
    assert fault.message.startswith("the rule schema.config does not end within 3 s and 2 GiB")
    assert "rules after it are not checked" in fault.message


def test_the_limited_check_finds_what_the_check_finds(bake_project: Bake) -> None:
    project = bake_project()
    (project / CONFIG).write_text("train: {epochs: [many]}\n", encoding="utf-8")
    (project / ".gitignore").unlink()
    assert check_limited(project) == check(project) != []


def test_a_rule_that_fails_is_named_with_its_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(limited, "CODE", "raise SystemExit('MemoryError: no more')")
    (fault,) = check_limited(tmp_path)
    assert "the rule project.pyproject does not end" in fault.message
    assert "(MemoryError: no more)" in fault.message


def test_no_secret_of_the_environment_or_of_a_project_is_shown(
    bake_project: Bake, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_SECRET1")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:SECRET2@127.0.0.1:9")
    project = bake_project()
    (project / ".env").write_text("WANDB_API_KEY=SECRET3\nbroken SECRET4\n", encoding="utf-8")
    (project / ".gitignore").write_text("", encoding="utf-8")  # so that .env would be committed
    for arguments in ([str(project)], [str(project), "--json"]):
        assert main(["check", *arguments]) != 0
        shown = "".join(capfd.readouterr())
        assert "SECRET" not in shown
        assert ".gitignore" in shown


# ------------------------------------------------------------------------------------------------------------ readers


def pipe(path: Path) -> None:
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir()


def link(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def large(path: Path) -> None:
    path.write_bytes(b" " * (LIMIT + 1))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (pipe, "not a regular file"),
        (folder, "not a regular file"),
        (link("/dev/zero"), "leads out of the folder"),
        (link("/etc/passwd"), "leads out of the folder"),
        (link("file"), "leads to itself|cannot be read"),
        (large, f"more than {LIMIT >> 10} KiB"),
        (lambda path: path.write_bytes(b"\xff"), r"not UTF-8 text \(byte 0\)"),
        (lambda path: path.write_bytes("text".encode("utf-16")), "not UTF-8 text"),
    ],
)
def test_only_regular_files_of_the_project_are_read(
    make: Callable[[Path], object], reason: str, tmp_path: Path
) -> None:
    make(tmp_path / "file")
    with pytest.raises(RefusedError, match=reason):
        read_text(tmp_path / "file", tmp_path)


def test_a_regular_file_is_read_also_through_a_link_inside(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * LIMIT)
    (tmp_path / "link").symlink_to("file")
    assert read_bytes(tmp_path / "link", tmp_path) == b"x" * LIMIT
    for missing in ("other", "file/below", "null\0"):
        with pytest.raises(FileNotFoundError):
            read_bytes(tmp_path / missing, tmp_path)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    pipe(tmp_path / "file")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with pytest.raises(RefusedError):
            read_bytes(tmp_path / "file", tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before


LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_json, "[" * 100_000),
        (parse_json, '{"a": ' + "9" * 5000 + "}"),
        (parse_toml, "a = " + "[" * 100_000),
        (parse_toml, "a = 2001-99-99"),
        (parse_yaml, "[" * 100_000),
        (parse_yaml, "!!bool x"),
        (parse_yaml, "!!timestamp x"),
        (parse_yaml, "!!int ''"),
        (parse_yaml, "2001-99-99"),
        (parse_yaml, "? [a]\n: b"),
        (parse_yaml, "!!python/object/apply:os.system [id]"),
        (parse_yaml, "&a [*a]"),
        (parse_yaml, LAUGHS),
        (parse_yaml, "a: b\n---\nc: d"),
        (parse_yaml, "\0"),
    ],
)
def test_whatever_the_text_a_parser_raises_value_error(parse: Callable[[str], object], text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)


def test_aliases_are_read() -> None:
    assert parse_yaml("a: &a {b: 1e-3}\nc: {<<: *a, d: 2}") == {"a": {"b": 0.001}, "c": {"b": 0.001, "d": 2}}


@pytest.mark.parametrize(
    ("glob", "name", "expected"),
    [
        ("configs/*.yaml", "configs/a.yaml", True),
        ("configs/*.yaml", "configs/a/b.yaml", False),
        ("configs/**.yaml", "configs/a/b.yaml", True),
        ("**/a.yaml", "configs/a.yaml", True),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("", "", True),
        ("*", "a[b", True),
        ("**/" * 30 + "x", "a/" * 100, False),
        ("*" * 300 + "b", "a" * 300, False),
    ],
)
def test_patterns_match_in_time(glob: str, name: str, expected: bool) -> None:
    assert glob_matches(glob, name) is expected


# ------------------------------------------------------------------------------------------------------------- commands


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_the_command_prints_no_control_characters(
    bake_project: Bake, option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    project = bake_project()
    (project / CONFIG).write_text('train: {epochs: "\\e[2J\\u202e"}\n', encoding="utf-8")
    (project / "configs" / "b\x1b[2J\udcff.yaml").write_text("[", encoding="utf-8")
    assert main(["check", str(project), *option]) == 1
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\u202e" not in shown


@pytest.mark.parametrize("ending", [".json", ".yaml", ".toml"])
@pytest.mark.parametrize("make", [pipe, link("/dev/zero"), large, folder])
def test_answers_are_read_from_regular_files(make: Callable[[Path], None], ending: str, tmp_path: Path) -> None:
    from ft_template.answers.read import read_answers

    path = tmp_path / f"answers{ending}"
    make(path)
    with pytest.raises(UserError, match="cannot be used, as it"):
        read_answers(path)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "&a [*a]", "!!bool x", "a = 5\nb", '{"\\ud800": 1}', "\0", "- 1", "1: 2", LAUGHS]
)
@pytest.mark.parametrize("ending", [".json", ".yaml", ".toml"])
def test_odd_answers_are_refused_in_a_sentence(text: str, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"answers{ending}"
    path.write_text(text, encoding="utf-8")
    assert main(["validate", "--answers", str(path)]) in (2, 3)
