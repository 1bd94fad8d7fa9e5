"""The injected faults of `dev.py bench faults`: each fits the code and names a test; the page lists them."""

import re
import sys
from pathlib import Path

import pytest
from ft_template.create.bake import REPOSITORY

sys.path.append(str(REPOSITORY / "benchmarks"))

from faults import FAULTS, HOSTILE, is_found
from injected import Fault


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.promise for fault in FAULTS])
def test_a_fault_fits_the_code_and_names_a_test(fault: Fault) -> None:
    folder, test = fault.place
    file, _, name = test.partition("::")
    assert (REPOSITORY / fault.source).read_text(encoding="utf-8").count(fault.text) == 1
    assert re.search(rf"^def {name}", (REPOSITORY / folder / file).read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("fault", HOSTILE, ids=[fault.promise for fault in HOSTILE])
def test_the_page_lists_it(fault: Fault) -> None:
    assert fault.row in (REPOSITORY / "docs" / "reliability.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("instead", "found"), [("2", True), ("1 + 0", False)])
def test_a_fault_is_found_or_not(instead: str, found: bool, tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "value.py").write_text("VALUE = 1\n", encoding="utf-8")
    test = "import value\n\n\ndef test() -> None:\n    assert value.VALUE == 1\n"
    (tmp_path / "tests" / "test_value.py").write_text(test, encoding="utf-8")
    fault = Fault("the value is 1", "tests/value.py", "1", instead, "tests/test_value.py::test")
    assert is_found(fault, tmp_path) is found
    assert (tmp_path / "tests" / "value.py").read_text(encoding="utf-8") == "VALUE = 1\n"
