"""The engine: a queue of features and the one thread that owns the model.

Batches have no time window: while one is computed, requests queue; the next one takes the oldest feature and those
nearest to it in length that fit the token budget and waste little on padding. Work of many passes, such as an
explanation, has one pass after each batch.
"""

import asyncio
import logging
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from secrets import randbits
from time import perf_counter
from typing import Any, Protocol

from ..data.features import Feature
from ..errors import UserError
from ..generate import Watch
from ..tasks.settings import Generation
from .limits import Problem
from .metrics import Metrics

LOG = logging.getLogger(__name__)
PADDED = 1 / 8
"""Share of a batch that may be padding."""
LOOKAHEAD = 1024
"""Features of the queue, from the oldest on, among which a batch is chosen."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a device computes at once, in tokens, padding included."""

    most: int
    """The budget of a batch; a longer text is computed by itself."""
    enough: int
    """From here on a larger batch computes no more tokens a second."""
    free: int
    """Padding that takes less time than another forward pass."""


class Computes(Protocol):
    """What the engine needs of a model."""

    @property
    def capacity(self) -> Capacity:
        """Of its device."""

    def compute(self, features: Sequence[Feature], generation: Generation | None, watch: Watch, seed: int) -> list[Any]:
        """What the task decodes from each feature; `seed`: of sampling."""


@dataclass(eq=False, slots=True)
class Item:
    """A feature in the queue, or all windows of a text, and how much of its text has been generated."""

    job: "Job"
    index: int
    """Of its first feature."""
    features: tuple[Feature, ...]
    tokens: int
    """What each feature takes of the token budget: its own tokens, and those that may be generated."""
    generated: int = 0
    """Tokens generated so far."""
    ended: bool = False
    """Whether a stop token has ended the text."""


@dataclass(eq=False, slots=True)
class Job:
    """The features of one request."""

    features: Sequence[Feature]
    generation: Generation | None = None
    stop_tokens: Sequence[int] = ()
    seed: int | None = None
    """Of sampling. A job that has one is computed by itself, so that its texts depend on nothing else."""
    on_tokens: Callable[[int, list[int]], None] | None = None
    """Called in the model's thread with the index of a feature and the tokens generated for it so far."""
    items: list[Item] = field(default_factory=list)
    decoded: list[Any] = field(default_factory=list)
    missing: int = 0
    cancelled: bool = False
    """Nobody waits for it any more."""
    queued_at: float = 0.0
    started_at: float = 0.0
    ended_at: float = 0.0
    done: "asyncio.Future[None] | None" = None
    windows: bool = False
    """Whether features of one example are computed together."""

    def __post_init__(self) -> None:
        written = self.generation.max_new_tokens * self.generation.beams if self.generation else 0
        self.decoded = [(None, None) if self.generation else None] * len(self.features)
        for index, feature in enumerate(self.features):
            if self.generation is None:
                if self.windows and self.items and self.items[-1].features[0].example == feature.example:
                    self.items[-1].features += (feature,)
                    self.items[-1].tokens = max(self.items[-1].tokens, feature.tokens)
                else:
                    self.items.append(Item(self, index, (feature,), feature.tokens))
            elif feature.prompt:
                self.items.append(Item(self, index, (feature,), len(feature.prompt) + written))
        self.missing = len(self.items)

    def goes_with(self, other: "Job") -> bool:
        """Whether features of both may be in one batch."""
        return self is other or (self.generation == other.generation and self.seed is None and other.seed is None)


@dataclass(eq=False, slots=True)
class Turns:
    """Work of many passes: it pauses after each, and returns its result."""

    work: Generator[None, None, Any]
    done: "asyncio.Future[Any]"


def choose_batch(queue: Iterable[Item], capacity: Capacity) -> list[Item]:
    """The first item of the queue, and those nearest to it in length, the older ones first.

    The batch ends where it is large enough, or where padding would be more than its share. Texts are generated
    together only with the same settings, and as many as fit: each step reads all weights, for however many texts.
    Nothing starves: whoever is passed over becomes the first.
    """
    first, *others = islice(queue, LOOKAHEAD)
    most, free = min(capacity.most, capacity.enough), capacity.free
    if first.job.generation:
        most = free = capacity.most
    chosen, longest, rows, total = [first], first.tokens, len(first.features), first.tokens * len(first.features)
    for item in sorted(others, key=lambda item: abs(item.tokens - first.tokens)):
        if not item.job.goes_with(first.job):
            continue
        width, tokens = max(longest, item.tokens), total + item.tokens * len(item.features)
        size = width * (rows + len(item.features))
        if size > most or size - tokens > max(free, PADDED * size):
            break
        chosen.append(item)
        longest, rows, total = width, rows + len(item.features), tokens
    return chosen


class Engine:
    """Computes jobs in a thread of its own, which also loads the model: nothing else touches it."""

    def __init__(self, load: Callable[[], Computes], metrics: Metrics) -> None:
        self._load, self._metrics = load, metrics
        self._queue: dict[Item, None] = {}
        self._turns: deque[Turns] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.model: Any = None
        """The model, once it is loaded."""
        self.error: Exception | None = None
        """Why it could not be loaded."""
        self.loaded = asyncio.Event()

    def start(self) -> None:
        """Load the model, then compute what is submitted."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def close(self) -> None:
        """End the thread after its current batch."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    @property
    def waiting(self) -> int:
        """Features in the queue."""
        return len(self._queue)

    async def submit(self, job: Job) -> list[Any]:
        """What the task decodes from each feature of the job.

        Raises Problem if the model fails. When the task that waits here is cancelled, what has not been computed is
        dropped, and a text that is being generated ends.
        """
        assert self._loop
        job.queued_at = perf_counter()
        if not job.items:
            return job.decoded
        job.done = self._loop.create_future()
        with self._changed:
            self._queue |= dict.fromkeys(job.items)
            self._changed.notify()
        try:
            await job.done
        except asyncio.CancelledError:
            self._drop(job)
            raise
        return job.decoded

    async def run(self, work: Generator[None, None, Any]) -> Any:
        """The result of work of many passes. Raises Problem if it fails.

        When the task that waits here is cancelled, the work ends after its current pass.
        """
        assert self._loop
        turns = Turns(work, self._loop.create_future())
        with self._changed:
            self._turns.append(turns)
            self._changed.notify()
        return await turns.done

    def _drop(self, job: Job) -> None:
        job.cancelled = True
        with self._changed:
            for item in job.items:
                self._queue.pop(item, None)

    def _run(self) -> None:
        assert self._loop
        try:
            self.model = self._load()
        except Exception as error:
            self.error = error
        self._loop.call_soon_threadsafe(self.loaded.set)
        while self.model and not self._closed:
            batch, turns = self._next()
            if batch:
                self._compute(batch)
            if turns:
                self._advance(turns)

    def _next(self) -> tuple[list[Item], Turns | None]:
        """The next batch, and whose turn comes after it, when there is any of the two or the engine is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._turns or self._closed)
            if self._closed:
                return [], None
            batch = choose_batch(self._queue, self.model.capacity) if self._queue else []
            for item in batch:
                del self._queue[item]
            turns = self._turns.popleft() if self._turns else None
        self._metrics.queue_size.set(len(self._queue))
        return batch, turns

    def _advance(self, turns: Turns) -> None:
        """Do one pass, unless nobody waits for it any more."""
        if turns.done.cancelled():
            turns.work.close()
            return
        result: Any = None
        try:
            next(turns.work)
        except StopIteration as end:
            result = end.value
        except UserError as error:
            result = Problem(422, "invalid-row", str(error))
        except Exception as error:
            result = _failed(error)
        else:
            with self._changed:
                self._turns.append(turns)
            return
        if not self._closed:
            assert self._loop
            self._loop.call_soon_threadsafe(_settle, turns, result)

    def _compute(self, batch: list[Item]) -> None:
        started = perf_counter()
        for item in batch:
            item.job.started_at = item.job.started_at or started
        features = [replace(feature, example=row) for row, item in enumerate(batch) for feature in item.features]
        job = batch[0].job
        seed = job.seed if job.seed is not None else randbits(32)
        try:
            decoded = self.model.compute(features, job.generation, lambda row, ids: self._watch(batch[row], ids), seed)
        except Exception as error:
            if len(batch) > 1:  # it may be the fault of one, or too much for the memory
                for item in batch:
                    self._compute([item])
            else:
                self._drop(job)
                self._deliver(job, _failed(error))
            return
        tokens = [item.tokens for item in batch for _ in item.features]
        self._metrics.observe_batch(tokens, perf_counter() - started)
        values = iter(decoded)
        for item in batch:
            item.job.decoded[item.index : item.index + len(item.features)] = islice(values, len(item.features))
            item.job.missing -= 1
            if not item.job.missing:
                self._deliver(item.job)

    def _watch(self, item: Item, tokens: list[int]) -> bool:
        if item.job.cancelled:
            return True
        if not item.ended:
            item.generated = len(tokens)
            item.ended = tokens[-1] in item.job.stop_tokens
            if item.job.on_tokens:
                item.job.on_tokens(item.index, tokens)
        return False

    def _deliver(self, job: Job, problem: Problem | None = None) -> None:
        assert self._loop
        job.ended_at = perf_counter()
        if not self._closed:
            self._loop.call_soon_threadsafe(_resolve, job, problem)


def _resolve(job: Job, problem: Problem | None) -> None:
    if job.done is None or job.done.done():  # cancelled, or another feature of it has failed
        return
    if problem:
        job.done.set_exception(problem)
    else:
        job.done.set_result(None)


def _settle(turns: Turns, result: Any) -> None:
    if turns.done.done():  # cancelled
        return
    if isinstance(result, Problem):
        turns.done.set_exception(result)
    else:
        turns.done.set_result(result)


def _failed(error: Exception) -> Problem:
    """The log has the places of the code, but not the message, which may contain text of the request."""
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    LOG.error("the model failed: %s at %s", type(error).__name__, " < ".join(reversed(frames)))
    return Problem(500, "model-failed", f"the model could not compute this request ({type(error).__name__})")
