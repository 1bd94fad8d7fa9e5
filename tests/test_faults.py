"""The injected faults of `dev.py bench faults`: each fits the code and names a test; the page lists them."""

import re
import sys
from pathlib import Path

import pytest
from ft_template.create.bake import REPOSITORY

sys.path.append(str(REPOSITORY / "benchmarks"))

from faults import FAILED, FAULTS, PASSED, Fault, apply, exit_code

NAMES = [fault.name for fault in FAULTS]


@pytest.mark.parametrize("fault", FAULTS, ids=NAMES)
def test_a_fault_fits_the_code_and_names_a_test(fault: Fault) -> None:
    file, _, test = fault.test.partition("::")
    assert (REPOSITORY / fault.file).read_text(encoding="utf-8").count(fault.old) == 1
    assert re.search(rf"^def {test}\(", (REPOSITORY / file).read_text(encoding="utf-8"), re.MULTILINE)


def test_the_page_lists_all_faults() -> None:
    page = (REPOSITORY / "docs" / "reliability.md").read_text(encoding="utf-8")
    assert "\n".join(fault.row for fault in FAULTS) in page


def test_a_fault_is_found_or_not(tmp_path: Path) -> None:
    (tmp_path / "code_.py").write_text("VALUE = 1\n", encoding="utf-8")
    (tmp_path / "test_code.py").write_text(
        "import code_\n\n\ndef test() -> None:\n    assert code_.VALUE == 1\n", encoding="utf-8"
    )
    fault = Fault("another value", "code_.py", "1", "2", "test_code.py::test")
    assert exit_code(fault.test, tmp_path) == PASSED
    assert apply(fault, tmp_path) == "VALUE = 1\n"
    assert exit_code(fault.test, tmp_path) == FAILED
