"""Missing values: what counts as an empty cell."""

from typing import Any

import pytest

from finetune.data.missing import is_missing, is_null


@pytest.mark.parametrize("value", [None, float("nan")])
def test_null_is_no_value(value: Any) -> None:
    assert is_null(value)
    assert is_missing(value)


@pytest.mark.parametrize("value", ["", "  ", "\u3000", "nan", " NaN ", []])
def test_an_empty_cell_is_missing_but_a_value(value: Any) -> None:
    assert is_missing(value)
    assert not is_null(value)


@pytest.mark.parametrize("value", [0, 0.0, False, "no", "0", "N", "banana", [""], {}, float("inf")])
def test_other_values_are_there(value: Any) -> None:
    assert not is_missing(value)
    assert not is_null(value)
