"""The processes that train one model together, started by `torchrun`; one process by itself is a world of size 1.

All of them read the same files and know what each of them does, so that little has to be said between them: gradients,
sums for the log, what was found in the validation. The first one writes, and speaks to the user.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import distributed as dist

from ..errors import UserError

T = TypeVar("T")


class OtherRankFailed(Exception):
    """Another process has failed, and says why."""


@dataclass(frozen=True, slots=True)
class World:
    """The processes and the place of this one among them. Each method is called by all of them at the same point."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def deal(self, items: Sequence[T]) -> list[tuple[T, bool]]:
        """`items` dealt out like cards; see `part`."""
        return self.part([items[rank :: self.size] for rank in range(self.size)])

    def part(self, parts: Sequence[Sequence[T]]) -> list[tuple[T, bool]]:
        """This rank's part, each item marked as its own, or not.

        Where another rank has more to do, its items stand in, to be computed and not counted: in each pass through the
        model the ranks meet, so that all must make the same number of them.
        """
        most, own = max(parts, key=len), parts[self.rank]
        return [(item, True) for item in own] + [(item, False) for item in most[len(own) :]]

    @contextmanager
    def together(self) -> Iterator[None]:
        """What fails for one rank in here fails for all; inside, they do not meet."""
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

    def once(self, work: Callable[[], T]) -> T:
        """What `work`, done by the first rank for all, returns to all."""
        result: list[Any] = [None]
        with self.together():
            if self.leads:
                result[0] = work()
        if self.size > 1:
            dist.broadcast_object_list(result)
        found: T = result[0]
        return found

    @contextmanager
    def held(self, context: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
        """Inside of a context that the first rank enters for all."""
        with ExitStack() as stack:
            self.once(lambda: stack.enter_context(context()))
            yield

    def gather(self, mine: T) -> list[T]:
        """What each rank has, in their order."""
        if self.size == 1:
            return [mine]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, mine)
        return found

    def sum(self, *figures: float) -> list[float]:
        """Each figure summed over the ranks."""
        if self.size == 1:
            return [*figures]
        total = torch.tensor(figures, dtype=torch.float64)
        dist.all_reduce(total)
        return [float(figure) for figure in total]

    def any(self, mine: bool) -> bool:
        """Whether it is so for any rank."""
        return self.sum(mine)[0] > 0

    def part_streams(self, seed: int) -> None:
        """Let each rank draw its own random numbers from here on, as for dropout; the first one goes on as before."""
        if self.rank:
            torch.manual_seed(seed + (self.rank << 32))

    def require_devices(self, device: torch.device) -> None:
        """Raises UserError if the processes of this machine cannot each have such a device."""
        here = int(os.environ.get("LOCAL_WORLD_SIZE", self.size))
        if self.size > 1 and device.type == "mps":
            raise UserError("train.device: the processes of torchrun cannot share an Apple GPU: set it to cpu")
        if self.size > 1 and device.type == "cuda" and here > torch.cuda.device_count():
            raise UserError(
                f"torchrun: {here} processes were started for {torch.cuda.device_count()} GPUs: start one for each "
                f"with --nproc-per-node, or set train.device to cpu"
            )


SINGLE_PROCESS = World()


@contextmanager
def process_group() -> Iterator[World]:
    """The processes that torchrun has started, or this one alone, until all of them have come to the end of the block.

    Of errors one process speaks; the others end in silence. GPUs talk through NCCL, all else through gloo.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield SINGLE_PROCESS
        return
    gpus = torch.cuda.device_count()
    if gpus:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % gpus)
    dist.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo")
    world = World(dist.get_rank(), dist.get_world_size())
    try:
        yield world
    except Exception as error:
        if _speaks(world, error):
            raise
        time.sleep(1)  # torchrun stops all when the first one has ended: let the one that speaks come to its end
        raise SystemExit(1) from None
    dist.barrier()
    dist.destroy_process_group()


def _speaks(world: World, error: Exception) -> bool:
    """Whether this process tells of its error: one of the user's is the same on all ranks, any other causes more."""
    if isinstance(error, UserError):
        return world.leads
    if isinstance(error, OtherRankFailed):
        return False
    store = dist.distributed_c10d._get_default_store()
    return int(store.add("finetune/failed", 1)) == 1
