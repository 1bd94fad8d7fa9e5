"""Numbers as people write them."""

from decimal import Decimal
from typing import Any

import pytest

from finetune.data.numbers import is_number, number_of
from finetune.errors import UserError

NUMBERS: dict[Any, float] = {
    3: 3.0,
    Decimal("3.5"): 3.5,
    "3.5": 3.5,
    " 7 ": 7.0,
    "-1e-3": -0.001,
    ".5": 0.5,
    "3,5": 3.5,
    "0,234": 0.234,
    "1234,567": 1234.567,
    "1,5e3": 1500.0,
    "1.234": 1.234,
    "1.234,5": 1234.5,
    "1,234.5": 1234.5,
    "1,234,567": 1234567.0,
    "1.234.567,8": 1234567.8,
    "1 234,5": 1234.5,
    "1\u202f234,5": 1234.5,
    "1'234.5": 1234.5,
    "\uff13\uff0e\uff15": 3.5,
    "\u22125": -5.0,
}
WRONG = ["--5", "", "5" * 400, "1e999", "inf", "nan", "50%", "1.2.3", "1,234,56", "1_000", "٣", "5²", "one"]


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_in_the_notations_of_many_countries(text: Any) -> None:
    assert number_of(text, "a.csv:3", "the label") == NUMBERS[text]


@pytest.mark.parametrize("value", [*WRONG, True, None, [1], float("nan"), float("inf"), 10**400])
def test_what_is_no_finite_number_is_refused(value: Any) -> None:
    with pytest.raises(UserError, match=r"^a\.csv:3: the label is .*: write a number, such as 3\.5$") as caught:
        number_of(value, "a.csv:3", "the label")
    assert len(str(caught.value)) < 120
    assert not is_number(value)


def test_a_number_that_means_two_things_is_refused() -> None:
    with pytest.raises(UserError, match=r"the label is '1,234', which may be 1234 or 1\.234: write one of these"):
        number_of("1,234", "a.csv:3", "the label")
