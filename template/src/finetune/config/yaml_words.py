"""What YAML reads otherwise than a user means it: yes and no, escapes in Windows paths, full-width marks, `a:b`."""

import re

import yaml

FULL_WIDTH = {
    **{chr(ord(mark) + 0xFEE0): mark for mark in ":,{}[]#\"'"},
    **dict.fromkeys("\u201c\u201d\u2018\u2019", '"'),  # curly quotes
    "\u3000": " ",
}
"""Punctuation of a Chinese keyboard, and what YAML reads in its place."""
FULL_WIDTH_KEY = re.compile("[a-z_]+\uff1a|[\u201c\u2018\uff02\uff07]")
"""A key with the colon of a Chinese keyboard, or its quotes at the beginning."""
DRIVE = re.compile(r'"[A-Za-z]:\\(?!\\)')
"""The beginning of a Windows path in double quotes."""
WITHOUT_BLANK = re.compile(r"\s*(?:- +)?(?![A-Za-z]:[\\/])([^\s:#'\"\[{]+:)(?!//)(\S.*?)(?=\s+\S+:\S|\s+#|\s*$)")
"""A key and its value with no blank behind the colon; not a Windows path or an address. More may follow."""
PATH_KEYS = ("train", "validation", "test", "dir", "name")
ESCAPED = "in double quotes \\ begins an escape sequence: write the path with / or in single quotes"


class Loader(yaml.SafeLoader):
    """Plain words by the core schema of YAML 1.2, not by YAML 1.1: yes, no, on, off, 2024-01-01 and 1:30 are texts.

    So are 010 and 0x1F, which as numbers would lose how they are written.
    """


Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", "true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    ("null", "~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", "[-+]?(?:0|[1-9][0-9]*)", [*"-+0123456789"]),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?", [*"-+.0123456789"]),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", [*"-+."]),
):
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first)


def misread(node: yaml.ScalarNode, source: str, keys: tuple[str, ...]) -> str:
    """Why the value at `keys` is not what is meant, and the remedy; empty if it is. `source` is the whole YAML text."""
    value = str(node.value)
    if not node.style and FULL_WIDTH_KEY.match(value):
        return full_width([value])
    names = [name for name in keys if not name.isdecimal()]
    has_escape = bool(names) and names[-1] in PATH_KEYS and any(character < " " for character in value)
    return ESCAPED if node.style == '"' and (has_escape or DRIVE.match(source[node.start_mark.index :])) else ""


def remedy(error: Exception, source: str) -> str:
    """What to change in a text that is not YAML; empty if that is not known."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return ""
    if "escape" in str(error.problem):
        return ESCAPED
    if "'\\t'" in str(error.problem):
        return "indent with blanks, not with tabs"
    mark = error.problem_mark or error.context_mark
    return full_width(source.splitlines()[max(0, mark.line - 1) : mark.line + 1]) if mark else ""


def without_blank(text: str) -> str:
    """How to write a key and a value that no blank divides, so that YAML reads one word; empty for other texts."""
    found = WITHOUT_BLANK.match(text)
    return f"YAML needs a blank after the colon: write {found[1]} {found[2]}" if found else ""


def line_without_blank(error: yaml.MarkedYAMLError, source: str) -> int | None:
    """The index of the line with such a key at which a text stops to be YAML."""
    lines = source.splitlines()
    marks = [mark for mark in (error.context_mark, error.problem_mark) if mark]
    near = [line for mark in marks for line in (mark.line, mark.line - 1) if 0 <= line < len(lines)]
    return next((line for line in near if without_blank(lines[line])), None)


def full_width(lines: list[str]) -> str:
    """How to write the first punctuation mark of a Chinese keyboard that YAML does not know; empty if there is none."""
    code = "\n".join(re.sub(r"(^|\s)#.*", "", line) for line in lines)
    found = next((character for character in code if character in FULL_WIDTH), "")
    return found and f"write {FULL_WIDTH[found]} in place of the full-width {found}, or put the text in quotes"
