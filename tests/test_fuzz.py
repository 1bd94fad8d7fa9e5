"""The frame of `dev.py bench fuzz`: what counts as a failure, and that a failure can be replayed."""

import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ft_template.create.bake import REPOSITORY

sys.path.append(str(REPOSITORY / "benchmarks"))

import fuzz as command
from fuzzing import chosen, targets
from fuzzing.target import ACCEPTED, REFUSED, Target
from fuzzing.worker import Limits, fuzz, run_case

SEED = 0
LIMITS = Limits(seconds=0.2, memory=1 << 30)


def valid() -> bytes:
    return b"valid"


def odd() -> bytes:
    return b"1"


def make(random_: random.Random) -> bytes:
    return str(random_.randrange(10)).encode()


def run(content: bytes, folder: Path) -> str:
    (folder / "input").write_bytes(content)
    return REFUSED if content in (b"1", b"3", b"5", b"7", b"9") else ACCEPTED


def raises(content: bytes, folder: Path) -> str:
    assert content != b"4", "four"
    return ACCEPTED


def leaves(content: bytes, folder: Path) -> str:
    return sys.exit(0) if content == b"4" else ACCEPTED


def dies(content: bytes, folder: Path) -> str:
    return os._exit(0) if content == b"4" else ACCEPTED


def computes(content: bytes, folder: Path) -> str:
    return str(sum(range(10**12))) if content == b"4" else ACCEPTED


def waits(content: bytes, folder: Path) -> str:
    time.sleep(60 if content == b"4" else 0)
    return ACCEPTED


def grows(content: bytes, folder: Path) -> str:
    return str(len(bytearray(2 << 30))) if content == b"4" else ACCEPTED


def target(function: Callable[[bytes, Path], str]) -> Target:
    return Target("one/two", valid, make, function)


def test_inputs_are_accepted_or_refused() -> None:
    result = fuzz(target(run), seed=1, numbers=range(20), limits=LIMITS)
    odd = sum(int(target(run).case(1, number)) % 2 for number in range(20))
    assert result.outcomes == {ACCEPTED: 20 - odd, REFUSED: odd}
    assert not result.failures


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (raises, "AssertionError: four"),
        (leaves, "SystemExit"),
        (dies, "its process ends with exit code 0"),
        (computes, "it computes for more than 0.2 s"),
        (waits, "it waits for more than 1.2 s"),
        (grows, "MemoryError"),
    ],
)
def test_what_breaks_a_promise_is_a_failure_and_the_rest_goes_on(
    function: Callable[[bytes, Path], str], said: str
) -> None:
    fours = [number for number in range(8) if target(function).case(SEED, number) == b"4"]
    assert fours, "the seed has the case that fails"
    result = fuzz(target(function), seed=SEED, numbers=range(8), limits=LIMITS)
    assert [case.number for case in result.failures] == fours
    assert all(said in case.outcome for case in result.failures)
    assert result.outcomes == {ACCEPTED: 8 - len(fours), "failed": len(fours)}


def test_a_target_that_refuses_its_valid_input_is_an_error() -> None:
    refusing = Target("one/two", odd, make, run)
    with pytest.raises(RuntimeError, match="one/two: its valid input is not accepted"):
        fuzz(refusing, seed=1, numbers=range(1), limits=LIMITS)


def test_failures_are_saved_and_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "ROOT", tmp_path)
    monkeypatch.setattr(command, "FAILURES", tmp_path / "fuzz")
    failing = target(raises)
    command.save(failing, SEED, fuzz(failing, seed=SEED, numbers=range(8), limits=LIMITS))
    saved = sorted((tmp_path / "fuzz").iterdir())
    assert saved
    assert all(path.read_bytes() == b"4" for path in saved)
    assert "AssertionError: four" in capsys.readouterr().err
    monkeypatch.setattr(command, "targets", lambda: {failing.name: failing})
    with pytest.raises(AssertionError, match="four"):
        command.replay(saved[0])


def test_groups_of_targets_are_chosen_by_their_name() -> None:
    assert [one.name for one in chosen(["data/csv"])] == ["data/csv"]
    assert {one.name for one in chosen(["data"])} == {name for name in targets() if name.startswith("data/")}
    with pytest.raises(KeyError, match="dat"):
        chosen(["dat"])


SHARES = {"check": 10, "run/report": 20, "run/predict": 20, "answers/yaml": 20}
"""Cases of the targets that take tens of milliseconds each."""


@pytest.mark.parametrize("name", list(targets()))
def test_no_target_fails(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some 2,000 cases of all targets together, in this process; 100,000 each by `dev.py bench fuzz`."""
    for module in ("torch", "fastapi"):
        if name.startswith(("serve", "run", "predict", "command")):
            pytest.importorskip(module)
    fuzzed = targets()[name]
    for number in range(SHARES.get(name, 50)):
        try:
            assert run_case(fuzzed, fuzzed.case(SEED, number)) in (ACCEPTED, REFUSED)
        except Exception as error:
            raise AssertionError(f"{name}, seed {SEED}, case {number}") from error
