"""What every convention is answered with: rows in, records out, under the limits of the server."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from time import perf_counter, time
from typing import Any

from ..config.config import Config
from ..data.columns import Columns, rows_from_objects
from ..data.features import Encoded
from ..data.rows import Row
from ..dataset import columns_of
from ..errors import UserError
from ..parsing import DEEPEST, require_depth
from ..tasks.base import Task
from ..tasks.settings import Generation
from .engine import Engine, Job
from .gate import trace
from .limits import Limits, Problem
from .metrics import Metrics
from .model import Record, ServedModel

AT_ONCE = 8_000
"""Characters that are tokenized in the event loop, in about a millisecond; more would keep other requests waiting."""
EMPTY = Problem(400, "empty", "there is no input: send at least one")

Text = tuple[str, str | None]
"""A text, or a pair."""


@dataclass(slots=True)
class Encoding:
    """The rows of a request, encoded."""

    examples: list[Any]
    encoded: Encoded
    characters: int


@dataclass(slots=True)
class Written:
    """A generated text and its size."""

    text: str
    prompt_tokens: int
    tokens: int
    ended: bool
    """Whether the model ended it; otherwise it has the greatest length."""


class Service:
    """One model behind all routes."""

    def __init__(self, name: str, config: Config, engine: Engine, limits: Limits, metrics: Metrics) -> None:
        self.name, self.config, self.engine, self.limits, self.metrics = name, config, engine, limits, metrics
        self.created = int(time())
        self._encoder = ThreadPoolExecutor(1, "encoder")
        self._encoding = 0

    @property
    def model(self) -> ServedModel:
        """The loaded model."""
        model: ServedModel = self.engine.model
        return model

    @property
    def task(self) -> Task[Any, Any]:
        """The task of the model."""
        return self.model.task

    def columns(self, *, labelled: bool) -> Columns:
        """What to read of an object with the columns of the run's data files."""
        columns = columns_of(self.task, self.config.data, labelled=labelled)
        renamed = (columns.renamed or {}).items()
        # An object has no order of columns, which a number would be a position in.
        return replace(columns, renamed={name: source for name, source in renamed if isinstance(source, str)})

    def rows(self, objects: Sequence[Any], *, labelled: bool = False) -> list[Row]:
        """Objects with the columns of the run's data files, by default without the labels. Raises Problem."""
        try:
            return rows_from_objects(objects, self.columns(labelled=labelled))
        except UserError as error:
            raise invalid_row(error) from error

    def rows_of_texts(self, texts: Sequence[Text], place: str = "inputs") -> list[Row]:
        """Texts or pairs of texts. Raises Problem where the task reads the other of the two."""
        if not texts:
            raise replace(EMPTY)
        if columns := self.task.tabular.names:
            detail = f"the model reads the columns {', '.join(columns)} beside the text: send rows to /v1/predict"
            raise Problem(422, "invalid-row", f"{place}: {detail}")
        rows = []
        for number, (text, pair) in enumerate(texts):
            try:
                values = self.task.row_of(text, pair)
            except UserError as error:
                settings = self.task.settings
                names = (settings.input_columns + settings.optional_columns)[:2]
                reads = f"pairs of {' and '.join(names)}" if pair is None else "single texts"
                raise Problem(422, "invalid-row", f"{place}[{number}]: the model reads {reads}: send those") from error
            rows.append(Row(f"{place}[{number}]", values, values))
        return rows

    async def predict(
        self,
        rows: Sequence[Row],
        *,
        truncate: bool | None = None,
        generation: Generation | None = None,
        seed: int | None = None,
        min_confidence: float | None = None,
    ) -> list[Record]:
        """A record for each row, the same as `finetune predict` writes. Raises Problem."""
        encoding = await self.encode(rows, truncate, self.model.encode)
        windows = self.task.overflow == "windows"
        generation = generation or self.task.generation
        job = Job(encoding.encoded.features, generation, self.task.stop_tokens, seed, windows=windows)
        decoded = await self.submit(job)
        records: list[Record]
        records, withheld = await self._in_turn(
            lambda: self.model.records(encoding.examples, encoding.encoded, decoded, min_confidence),
            encoding.characters,
        )
        self.metrics.withheld.inc(withheld)
        self._count(records)
        return records

    async def explain(
        self, rows: Sequence[Row], methods: Sequence[str], label: str | None, word: int | None
    ) -> list[Any]:
        """The words of each row with their contributions, as `finetune explain` writes them. Raises Problem."""
        characters = self._require_rows(rows)
        assert self.model.explainers
        encoding, computing = self.model.explainers
        try:
            choice = encoding.choice(label, word)
            readings = await self._in_turn(lambda: [encoding.read(row) for row in rows], characters)
        except UserError as error:
            raise invalid_row(error) from error
        if not self.limits.auto_truncate and (truncated := sum(reading.truncated for _, reading in readings)):
            raise self._too_long(truncated)
        return [
            await self.engine.run(computing.explain(example, reading, methods, choice)) for example, reading in readings
        ]

    async def write(
        self, row: Row, generation: Generation, *, stop: Sequence[str] = (), seed: int | None = None
    ) -> AsyncIterator[str | Written]:
        """The text that the model generates, piece by piece; what it is as a whole comes last.

        It ends before the first of the strings in `stop`. Raises Problem.
        """
        encoding = await self.encode([row], None, self.model.encode)
        news: asyncio.Queue[list[int] | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def on_tokens(_: int, tokens: list[int]) -> None:
            loop.call_soon_threadsafe(news.put_nowait, tokens)

        job = Job(encoding.encoded.features, generation, self.task.stop_tokens, seed, on_tokens)
        work = asyncio.ensure_future(self.submit(job))
        work.add_done_callback(lambda _: news.put_nowait(None))
        sent, text = "", None
        try:
            while text is None and (tokens := await news.get()) is not None:
                if not (self.model.streams and generation.beams == 1):
                    continue
                known = self.model.tokenizer.decode(tokens, skip_special_tokens=True).strip()
                cut = _cut(known, stop)
                if cut is not None:
                    text = cut
                    break
                safe = known[: len(known) - _held_back(known, stop)]
                if safe.startswith(sent) and len(safe) > len(sent):
                    yield safe[len(sent) :]
                    sent = safe
            ended = text is not None
            if text is None:
                whole = str((await work)[0][1] or "")
                cut = _cut(whole, stop)
                ended, text = cut is not None, whole if cut is None else cut
        finally:
            work.cancel()
        if len(text) > len(sent):
            yield text[len(sent) :]
        prompt = sum(len(feature.prompt) for feature in encoding.encoded.features)
        count = sum(item.generated for item in job.items)
        if not count:  # beam search does not tell
            count = len(self.model.tokenizer(text, add_special_tokens=False)["input_ids"])
        ended = ended or any(item.ended for item in job.items) or count < generation.max_new_tokens
        yield Written(text, prompt, count, ended)

    async def written(
        self, row: Row, generation: Generation, *, stop: Sequence[str] = (), seed: int | None = None
    ) -> Written:
        """The text that the model generates, as a whole. Raises Problem."""
        *_, whole = [piece async for piece in self.write(row, generation, stop=stop, seed=seed)]
        assert isinstance(whole, Written)
        return whole

    async def fits(self, row: Row) -> bool:
        """Whether the model reads all of a row. Raises Problem for one that it cannot read."""
        characters = self._require_rows([row])
        try:
            _, encoded = await self._in_turn(lambda: self.model.encode([row]), characters)
        except UserError as error:
            raise invalid_row(error) from error
        return not encoded.truncated

    def _require_rows(self, rows: Sequence[Row]) -> int:
        """The characters of all rows. Raises Problem where there are none, or too many."""
        if not rows:
            raise replace(EMPTY)
        if len(rows) > self.limits.max_client_batch_size:
            most = self.limits.max_client_batch_size
            raise Problem(413, "too-many-inputs", f"{len(rows)} inputs are more than {most}: send several requests")
        return sum(map(_size, rows))

    def _too_long(self, truncated: int) -> Problem:
        longest = self.model.max_length
        return Problem(422, "input-too-long", f"{truncated} of the inputs are longer than {longest} tokens")

    async def encode(
        self, rows: Sequence[Row], truncate: bool | None, work: Callable[[Sequence[Row]], tuple[list[Any], Encoded]]
    ) -> Encoding:
        """The rows as `work` reads them. Raises Problem for rows that are too many, too long or unreadable."""
        characters = self._require_rows(rows)
        start = perf_counter()
        try:
            examples, encoded = await self._in_turn(lambda: work(rows), characters)
        except UserError as error:
            raise invalid_row(error) from error
        seconds = perf_counter() - start
        self.metrics.tokenization_seconds.observe(seconds)
        for feature in encoded.features:
            self.metrics.input_tokens.observe(feature.length)
        if self.task.overflow == "windows":
            self._require_room(encoded)
        headers, truncated = trace.get().headers, encoded.truncated
        headers["x-tokenization-time"] = f"{1000 * seconds:.0f}"
        headers["x-truncated-inputs"] = str(truncated)
        headers["x-compute-tokens"] = str(sum(feature.length for feature in encoded.features))
        if truncated and not (self.limits.auto_truncate if truncate is None else truncate):
            raise self._too_long(truncated)
        self.metrics.truncated.inc(truncated)
        return Encoding(examples, encoded, characters)

    def _require_room(self, encoded: Encoded) -> None:
        """All windows of a text are in one forward pass. Raises Problem for a text with too many."""
        tokens = Counter[int]()
        for feature in encoded.features:
            tokens[feature.example] += feature.length
        most, limit = max(tokens.values()), self.limits.max_batch_tokens
        if len(encoded.features) > len(tokens) and most > limit:
            detail = f"an input has windows of {most} tokens in all, more than {limit}: shorten it"
            raise Problem(413, "input-too-long", detail)

    async def submit(self, job: Job) -> list[Any]:
        """What the task decodes from each feature of a job. Raises Problem if the model fails."""
        decoded = await self.engine.submit(job)
        queue, inference = job.started_at - job.queued_at, job.ended_at - job.started_at
        self.metrics.queue_seconds.observe(queue)
        self.metrics.inference_seconds.observe(inference)
        trace.get().headers.update(
            {"x-queue-time": f"{1000 * queue:.0f}", "x-inference-time": f"{1000 * inference:.0f}"}
        )
        return decoded

    async def _in_turn(self, work: Callable[[], Any], characters: int) -> Any:
        """Do at once what is short; what is long is done in a thread.

        Never both at a time: a tokenizer must not be used by two threads.
        """
        if characters <= AT_ONCE and not self._encoding:
            return work()
        loop, future = asyncio.get_running_loop(), self._encoder.submit(work)
        self._encoding += 1
        # Counted down when the thread has ended, which nobody may be waiting for any more.
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._encoded))
        return await asyncio.wrap_future(future)

    def _encoded(self) -> None:
        self._encoding -= 1

    def _count(self, records: Sequence[Record]) -> None:
        """Labels by name, to see a drift."""
        if not hasattr(self.task, "labels"):
            return
        for record in records:
            found = record["prediction"]
            labels = [] if found is None else found if isinstance(found, list) else [found]
            for label in labels:
                self.metrics.predictions.labels(label["label"] if isinstance(label, dict) else label).inc()


def invalid_row(error: UserError) -> Problem:
    """A row that the task cannot read; the sentence begins with its place, rows[3]."""
    return Problem(422, "invalid-row", str(error))


def _size(row: Row) -> int:
    """The characters of a row, in bytes. Raises Problem for lists and objects in too many levels."""
    try:
        require_depth(row.original)
    except RecursionError:
        what = f"{row.place}: has lists and objects in more than {DEEPEST} levels: send plain values"
        raise Problem(422, "invalid-row", what) from None
    return _characters(row.original, row.place)


def _characters(value: Any, place: str) -> int:
    """Of a value. Raises Problem for half of a surrogate pair, which JSON may hold, but no tokenizer reads."""
    if isinstance(value, str):
        try:
            return len(value.encode())
        except UnicodeEncodeError:
            raise Problem(422, "invalid-text", f"{place}: has half of a surrogate pair: send valid Unicode") from None
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return sum(_characters(part, place) for part in parts)


def _cut(text: str, stop: Sequence[str]) -> str | None:
    """What stands before the first stop string; None if there is none."""
    found = [text.index(string) for string in stop if string in text]
    return text[: min(found)] if found else None


def _held_back(text: str, stop: Sequence[str]) -> int:
    """Characters at the end that may still change: half a character, or the beginning of a stop string."""
    unfinished = len(text) - len(text.rstrip("\ufffd"))
    starts = [
        length
        for string in stop
        for length in range(1, min(len(string), len(text) + 1))
        if text.endswith(string[:length])
    ]
    return max([unfinished, *starts])
