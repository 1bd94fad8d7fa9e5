"""The processes that train one model together, started by `torchrun`; a single process is a world of size 1.

All ranks read the same files and form the same batches, so that they communicate little: gradients, sums for the log,
predictions of a validation. Rank 0 writes files and prints.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed as dist
from torch.distributed.rendezvous import rendezvous

from ..errors import RankError, UserError

T = TypeVar("T")
TIMEOUT = timedelta(days=1)
"""Timeout of a collective. Ranks wait in one while the main rank scores a large split or writes a checkpoint, which may
take longer than gloo's half hour; where a rank fails, torchrun stops the others at once."""


class OtherRankFailed(Exception):
    """An error of another rank, which reports it."""


@dataclass(frozen=True, slots=True)
class World:
    """Rank and world size. Each method is called by all ranks at the same point of the program."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this rank writes files and prints."""
        return self.rank == 0

    @property
    def local_rank(self) -> int:
        """The number of this rank on its machine, as torchrun gives it."""
        return int(os.environ.get("LOCAL_RANK", self.rank))

    def split(self, items: Sequence[T]) -> list[Sequence[T]]:
        """`items` in one part for each rank, round robin: neighbours of similar length go to different ranks."""
        return [items[rank :: self.size] for rank in range(self.size)]

    def shard(self, parts: Sequence[Sequence[T]]) -> list[tuple[T, bool]]:
        """This rank's part, each item with whether it counts.

        Every forward pass may be collective, so all ranks must make the same number of them. A rank with fewer items
        also gets some of another rank, to compute without counting them.
        """
        longest, own = max(parts, key=len), parts[self.rank]
        return [(item, True) for item in own] + [(item, False) for item in longest[len(own) :]]

    def reduce(self, *values: float) -> list[float]:
        """All-reduce: each value summed over the ranks, in fp64."""
        if self.size == 1:
            return [*values]
        total = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(total)
        return [float(value) for value in total]

    def gather(self, value: T) -> list[T]:
        """All-gather: the value of each rank, in their order."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value)
        return found

    def on_main(self, work: Callable[[], T]) -> T:
        """Run `work` on the main rank and return its result on all ranks; what it raises is raised on all."""
        result: list[Any] = [None]
        with self.raise_together():
            if self.is_main:
                result[0] = work()
        if self.size > 1:
            dist.broadcast_object_list(result)
        found: T = result[0]
        return found

    def on_each_machine(self, work: Callable[[], T]) -> T:
        """Run `work` on one rank of each machine; all ranks return what it gave the main rank.

        What it raises is raised on all. The others wait.
        """
        result: list[T] = []
        with self.raise_together():
            if self.local_rank == 0:
                result.append(work())
        return self.gather(result)[0][0]

    @contextmanager
    def raise_together(self) -> Iterator[None]:
        """Re-raise on every rank if one raised; no collectives inside."""
        error: Exception | None = None
        try:
            yield
        except Exception as found:
            if self.size == 1:
                raise
            error = found
        known = error if error is None or isinstance(error, UserError) else OtherRankFailed(str(error))
        errors = [other for other in self.gather(known) if other]
        if errors:
            raise error or errors[0]

    @contextmanager
    def entered_on_main(self, context: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
        """Hold a context manager, such as a lock, on the main rank for all."""
        with ExitStack() as stack:
            self.on_main(lambda: stack.enter_context(context()))
            yield


SINGLE_PROCESS = World()


@contextmanager
def process_group() -> Iterator[World]:
    """The ranks that torchrun has started, or this process alone, until all of them have left the block.

    One rank reports an error, the others exit silently. Backends: NCCL for tensors on GPUs, gloo for all else. A
    process group that exists already, as in Ray Train, is used; its owner handles errors and ends it.
    """
    exists = dist.is_initialized()
    if not exists and int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield SINGLE_PROCESS
        return
    gpus = torch.cuda.device_count()
    if gpus:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % gpus)
    if exists:
        yield World(dist.get_rank(), dist.get_world_size())
        return
    _join("cpu:gloo,cuda:nccl" if gpus else "gloo")
    world = World(dist.get_rank(), dist.get_world_size())
    try:
        yield world
    except Exception as error:
        if _reports(world, error):
            raise
        time.sleep(1)  # torchrun stops all when the first one has exited: let the one that reports finish
        raise SystemExit(1) from None
    dist.barrier()
    dist.destroy_process_group()


def _join(backend: str) -> None:
    """Make the process group, also after torchrun has restarted its processes.

    torchrun keeps a store for all its restarts, in which the addresses of the ended processes remain. On one node,
    whose processes agree on the number of restarts, each start gets keys of its own; on several nodes, set
    TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 for torchrun.
    """
    one_node = os.environ.get("LOCAL_WORLD_SIZE") == os.environ["WORLD_SIZE"]
    start = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") if one_node else "0"
    store, rank, size = next(rendezvous("env://", timeout=TIMEOUT))
    store = dist.distributed_c10d.PrefixStore(f"start-{start}", store)
    dist.init_process_group(backend, timeout=TIMEOUT, store=store, rank=rank, world_size=size)


def _reports(world: World, error: Exception) -> bool:
    """Whether this rank reports the error: a user error is the same on all ranks; of others, the first to fail does."""
    if isinstance(error, UserError) and not isinstance(error, RankError):
        return world.is_main
    if isinstance(error, OtherRankFailed):
        return False
    store = dist.distributed_c10d._get_default_store()
    return int(store.add("finetune/failed", 1)) == 1
