"""Cases of one target in a process of their own, whose time and memory the system limits.

A limit ends the process even inside a C function. The parent knows which case it was, counts it as a failure and goes
on after it in a new process.
"""

import multiprocessing
import resource
import signal
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from .target import ACCEPTED, Target

WAITING = 6
"""A case may wait this many times longer than it may compute: other processes keep the machine busy."""


@dataclass(frozen=True)
class Limits:
    seconds: float = 10.0
    """Processor time of a case."""
    memory: int = 4 << 30
    """Bytes of the process."""


class Case(NamedTuple):
    """What became of a case."""

    number: int
    outcome: str
    """ACCEPTED, REFUSED, or what failed."""
    failed: bool
    seconds: float
    """Processor time."""


@dataclass
class Result:
    """What became of the cases of a target."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[Case] = field(default_factory=list)
    slowest: float = 0.0

    def add(self, case: Case) -> None:
        self.outcomes["failed" if case.failed else case.outcome] += 1
        self.slowest = max(self.slowest, case.seconds)
        if case.failed:
            self.failures.append(case)


def fuzz(target: Target, seed: int, numbers: range, limits: Limits) -> Result:
    """Run the cases of a target that have these numbers; raises RuntimeError if its valid input is not accepted."""
    result = Result()
    while numbers:
        for case in _in_a_process(target, seed, numbers, limits):
            result.add(case)
            numbers = range(case.number + 1, numbers.stop)
    return result


def run_case(target: Target, content: bytes) -> str:
    """Run one input in an empty folder; what the target raises is passed on."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        return target.run(content, Path(folder))


def _in_a_process(target: Target, seed: int, numbers: range, limits: Limits) -> Iterator[Case]:
    """The cases until the process ends; the last one is a failure if the process died of it."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(target, seed, numbers, limits, theirs), daemon=True)
    process.start()
    theirs.close()
    number = None
    try:
        number = ours.recv()
        while True:
            case: Case = ours.recv()
            number = case.number + 1
            yield case
    except EOFError:
        process.join()
    if number is None:
        raise RuntimeError(f"{target.name}: its valid input is not accepted")
    if number < numbers.stop:
        yield Case(number, _cause_of_death(process.exitcode or 0, limits), True, limits.seconds)


def _cause_of_death(code: int, limits: Limits) -> str:
    if code == -signal.SIGPROF:
        return f"it computes for more than {limits.seconds:g} s"
    if code == -signal.SIGALRM:
        return f"it waits for more than {WAITING * limits.seconds:g} s"
    return f"its process ends with exit code {code}"


def _work(target: Target, seed: int, numbers: range, limits: Limits, parent: Connection) -> None:
    """What the process does: the number of its first case, then each case as it ends."""
    warnings.simplefilter("ignore")
    if run_case(target, target.valid()) != ACCEPTED:
        raise SystemExit(1)
    resource.setrlimit(resource.RLIMIT_DATA, (limits.memory, limits.memory))
    parent.send(numbers.start)
    for number in numbers:
        parent.send(_limited(target, seed, number, limits))


def _limited(target: Target, seed: int, number: int, limits: Limits) -> Case:
    content = target.case(seed, number)
    signal.setitimer(signal.ITIMER_PROF, limits.seconds)  # its signal has no handler: it ends the process
    signal.setitimer(signal.ITIMER_REAL, WAITING * limits.seconds)
    started = time.process_time()
    try:
        outcome, failed = run_case(target, content), False
    except BaseException as error:  # SystemExit and the like would end the process in silence
        outcome, failed = "".join(traceback.format_exception(error, limit=-4)), True
    seconds = time.process_time() - started
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return Case(number, outcome, failed, seconds)
