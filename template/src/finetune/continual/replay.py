"""Experience replay: every step mixes stored examples of earlier trainings with new ones."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from ..data.rows import Columns, read_rows
from ..files import publish
from ..tasks.base import Task

EXAMPLES, SEEN = "replay.jsonl", "seen.json"
NUMBER = "example"
"""Column that numbers the examples, where an example has several rows."""


@dataclass(frozen=True, slots=True)
class ReplaySampler:
    """Which stored examples a step takes. In the training split they stand behind the `new` ones."""

    new: int
    stored: int
    per_step: int
    """Stored examples of each step."""
    seed: int

    @classmethod
    def of(cls, new: int, stored: int, share: float, batch_size: int, seed: int) -> "ReplaySampler":
        """About `share` of a step is stored examples; at least one, and at least one is new."""
        return cls(new, stored, min(max(1, round(batch_size * share)), batch_size - 1, stored), seed)

    def stored_rows(self, step: int) -> list[int]:
        """The stored examples of a step. A function of the arguments alone: a resumed run needs nothing else."""
        random = np.random.default_rng([self.seed, step, 1])  # 1: apart from the numbers that order an epoch
        return [self.new + int(i) for i in random.choice(self.stored, self.per_step, replace=False)]


@dataclass(frozen=True, slots=True)
class Reservoir:
    """Replay buffer: a uniform random sample of all examples that were trained on so far."""

    examples: list[Any]
    seen: int
    """Number of those."""

    def fill(self, examples: Sequence[Any], budget: int, seed: int) -> "Reservoir":
        """A sample of `budget` examples from what was seen before and from `examples`, each of them equally likely.

        How many of a sample come from either side follows a hypergeometric distribution; a sample of a sample is one.
        """
        random = np.random.default_rng([seed, self.seen, len(examples)])
        seen = self.seen + len(examples)
        earlier = int(random.hypergeometric(self.seen, len(examples), min(budget, seen)))
        kept = random.choice(len(self.examples), min(earlier, len(self.examples)), replace=False)
        taken = random.choice(len(examples), min(budget, seen) - earlier, replace=False)
        return Reservoir([*(self.examples[i] for i in kept), *(examples[i] for i in taken)], seen)

    def write(self, folder: Path, task: Task[Any, Any]) -> None:
        """Write it atomically, as a data file that `finetune` reads."""
        rows = [task.to_rows(example) for example in self.examples]
        if any(len(of_example) > 1 for of_example in rows):  # the lists of two runs may share a query
            rows = [[{**row, NUMBER: number} for row in of_example] for number, of_example in enumerate(rows)]

        def write(target: Path) -> None:
            lines = (f"{json.dumps(row, ensure_ascii=False)}\n" for of_example in rows for row in of_example)
            (target / EXAMPLES).write_text("".join(lines), encoding="utf-8")
            (target / SEEN).write_text(json.dumps(self.seen))

        publish(folder, write)

    @classmethod
    def read(cls, folder: Path, task: Task[Any, Any]) -> "Reservoir":
        """The inverse of `write`."""
        of = task.settings
        columns = Columns(
            of.input_columns + of.target_columns,
            of.optional_columns,
            text_column=of.text_column,
            text_targets=of.text_targets,
            features=task.tabular.names,
        )
        rows = read_rows(folder / EXAMPLES, columns)
        groups = groupby(rows, key=lambda row: row.original.get(NUMBER))
        return cls(
            [example for _, group in groups for example in task.parse([*group])],
            json.loads((folder / SEEN).read_text()),
        )
