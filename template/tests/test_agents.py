"""AGENTS.md, which assistants that write code read first: short, and true of the project as it is now."""

import re
import xml.etree.ElementTree as ET

import pytest
from conftest import ROOT

from finetune.cli import cli
from finetune.optional import PARTS

PAGE = ROOT / "AGENTS.md"
TEXT = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
WRITTEN = {".venv", ".venv/bin/python", "runs/", "models/"}
"""Paths that are there once something has been installed, trained or downloaded."""
DELETABLE = {verb for part in PARTS.values() for verb in part.verbs}

pytestmark = pytest.mark.skipif(not TEXT, reason="this project has no AGENTS.md")


def test_it_is_short() -> None:
    assert len(TEXT.splitlines()) <= 80


def test_claude_reads_it_too() -> None:
    assert (ROOT / "CLAUDE.md").read_text(encoding="utf-8") == "@AGENTS.md\n"


def test_its_paths_exist() -> None:
    prose = re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL)
    paths = set(re.findall(r"`([\w.-]+/[^` ]*|\.?[\w-]+\.(?:py|md|txt|json))`", prose)) - WRITTEN
    arguments = {word for command in COMMANDS for word in command.split() if re.match(r"(configs|tests)/", word)}
    assert len(paths) > 10
    assert [path for path in sorted(paths | arguments) if not (ROOT / path).exists()] == []


def test_its_verbs_exist() -> None:
    verbs = set(re.findall(r"python -m finetune ([a-z-]+)", TEXT))
    assert len(verbs) > 4
    assert verbs <= cli.commands.keys() | DELETABLE


def test_its_run_configurations_exist() -> None:
    files = (ROOT / ".idea" / "runConfigurations").glob("*.xml")
    names = {configuration.get("name") for file in files for configuration in ET.parse(file).iter("configuration")}
    named = set(re.findall(r"\*\*([^*]+)\*\*", TEXT))
    assert len(named) > 5
    assert not names or named <= names
