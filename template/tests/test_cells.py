"""Lists and objects in cells: one rule for labels, words, messages, tools and arguments."""

import json
from typing import Any

import numpy as np
import pytest
from conftest import Project, build
from hypothesis import given
from hypothesis import strategies as st

from finetune.config.load import load_config
from finetune.data.cells import decoded, list_in_cell
from finetune.errors import UserError

MESSAGES = [{"role": "user", "content": 'it\'s "x"\n[1 2]'}, {"role": "assistant", "content": "a 'b' {c: 1}"}]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ('["a", "b"]', ["a", "b"]), ("['a', 'b']", ["a", "b"]), ("['a' 'b']", ["a", "b"]), ("('a', 'b')", ["a", "b"]),
        ("['a'\n \"it's\"]", ["a", "it's"]), ("{'b', 'a'}", ["b", "a"]), ("[1 2]", [1, 2]), ("[0. 1.]", [0.0, 1.0]),
        ("[[1 2]\n [3 4]]", [[1, 2], [3, 4]]), ("[{'a': 1}\n {'a': True}]", [{"a": 1}, {"a": True}]), (" [] ", []),
        ("[1, None]", [1, None]), ("['\\d']", ["\\d"]), (f"[{'(' * 9}1{')' * 9}]", [1]),
    ],
)  # fmt: skip
def test_a_printed_list_is_one_for_all_columns(cell: str, found: list[Any]) -> None:
    assert decoded(cell, "x:1: messages") == list_in_cell(cell) == found


@pytest.mark.parametrize(
    "cell",
    ["['a''b']", "['a' ... 'b']", "[nan]", "[NaN]", "['a', b]", "['a'", "[1][2]", "[{'a'}]", "['\\ud800']", "[f('a')]",
     "[1 if 1 else 2]", "['a' 'b'] ['c']", "[b'a']", "[-Infinity]", "[" * 9999 + "]" * 9999],
)  # fmt: skip
def test_what_is_no_printed_list_is_none_for_all_columns(cell: str) -> None:
    assert list_in_cell(cell) is None
    with pytest.raises(UserError, match=r"^x:1: messages is text that is not JSON \(.+\): write it as JSON$"):
        decoded(cell, "x:1: messages")


@given(value=VALUES)
def test_whatever_python_prints_is_read_back(value: Any) -> None:
    assert decoded(repr([value]), "x:1") == decoded(json.dumps([value]), "x:1") == [value]


@pytest.mark.parametrize("write", [json.dumps, repr, lambda messages: str(np.array(messages, object))])
def test_messages_in_a_table_as_json_python_and_numpy_write_them(write: Any, project: Project) -> None:
    cell = write(MESSAGES).replace('"', '""')
    project.write("x.csv", f'messages\n"{cell}"\n')
    config = load_config(project.config("chat"), ["data.train=x.csv", "data.validation=null", "data.test=null"])
    [example] = build(config).train.examples
    assert example.messages == MESSAGES
