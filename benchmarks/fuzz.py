"""Fuzzing: damaged and hostile inputs, each of which must be accepted or refused in a sentence.

    python dev.py bench fuzz [TARGET ...] [--cases N] [--seed N] [--seconds S]
                               [--first N] [--processes N]
    python dev.py bench fuzz --replay build/fuzz/FILE

A failure is whatever else a target raises, more than S seconds of processor time, or more memory than 4 GiB. The input
of a failure is saved in build/fuzz/ and can be replayed. The targets are in benchmarks/fuzzing/.
"""

import argparse
import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from pathlib import Path

sys.path.extend(str(Path(__file__).resolve().parents[1] / folder) for folder in ("generator", "hooks", "template/src"))

from fuzzing import chosen, targets
from fuzzing.target import ACCEPTED, REFUSED, Target
from fuzzing.worker import Limits, Result, fuzz, run_case

ROOT = Path(__file__).resolve().parents[1]
FAILURES = ROOT / "build" / "fuzz"
SHOWN = 5
"""Failures of a target that are printed; all are saved."""


def table(chosen_targets: list[Target], seed: int, numbers: range, limits: Limits, processes: int) -> int:
    """Run the cases of these numbers, each target in a process of its own; the number of failures."""
    print(f"{platform.platform()}, Python {platform.python_version()}; seed {seed}, cases from {numbers.start:,} on\n")
    print("| target | cases | accepted | refused | failed | slowest case, s of processor |\n|---|---|---|---|---|---|")
    failed = 0
    with ThreadPoolExecutor(processes) as pool:
        running = [(target, pool.submit(fuzz, target, seed, numbers, limits)) for target in chosen_targets]
        for target, future in running:
            result = future.result()
            counts = [f"{result.outcomes[kind]:,}" for kind in (ACCEPTED, REFUSED, "failed")]
            print(f"| {target.name} | {len(numbers):,} | {' | '.join(counts)} | {result.slowest:.3f} |", flush=True)
            save(target, seed, result)
            failed += len(result.failures)
    return failed


def save(target: Target, seed: int, result: Result) -> None:
    """The inputs of failures; the first ones are also told."""
    FAILURES.mkdir(parents=True, exist_ok=True)
    for place, case in enumerate(result.failures):
        path = FAILURES / f"{target.name.replace('/', '@')}#{seed}-{case.number}"
        path.write_bytes(target.case(seed, case.number))
        if place < SHOWN:
            print(f"{path.relative_to(ROOT)}: {case.outcome}", file=sys.stderr)


def replay(path: Path) -> None:
    """Run a saved input in this process, where a debugger sees it."""
    target = targets()[path.name.partition("#")[0].replace("@", "/")]
    print(f"{target.name}: {run_case(target, path.read_bytes())}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help=f"all by default: {', '.join(targets())}")
    parser.add_argument("--cases", type=int, default=100_000, help="cases of each target")
    parser.add_argument("--first", type=int, default=0, help="number of the first case, to go on where a run ended")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0, help="limit of processor time for a case")
    parser.add_argument("--processes", type=int, default=cpu_count(), help="targets at once")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run one saved input")
    arguments = parser.parse_args()
    if arguments.replay:
        return replay(arguments.replay)
    try:
        selected = chosen(arguments.targets)
    except KeyError as error:
        parser.error(f"there is no target {error}: choose from {', '.join(targets())}")
    numbers = range(arguments.first, arguments.first + arguments.cases)
    if table(selected, arguments.seed, numbers, Limits(arguments.seconds), arguments.processes):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
