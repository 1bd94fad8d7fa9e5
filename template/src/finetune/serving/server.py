"""The server's process: its socket, its start, and draining when it is asked to stop."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType
from typing import Any

import uvicorn

from ..errors import UserError
from .app import make_app
from .connection import Connection
from .engine import Engine
from .gate import Gate
from .limits import Limits, Problem
from .metrics import Metrics
from .model import ServedModel, Source
from .search import Corpus, Search, load_model
from .service import Service

DRAINING = Problem(503, "draining", "the server is stopping: send the request to another one", {"retry-after": "1"})


def bind(host: str, port: int) -> socket.socket:
    """A socket at an address. Raises UserError if it is taken, not allowed or unknown."""
    opened: socket.socket | None = None
    try:
        family, kind, protocol, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # With the protocol asyncio recognises TCP, and sends the end of a reply without waiting for an acknowledgement.
        opened = socket.socket(family, kind, protocol)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((host, port))
    except OSError as error:
        if opened:
            opened.close()
        raise UserError(
            f"--host {host} --port {port}: cannot be used ({error.strerror}): choose another port, or 0 for a free one"
        ) from error
    return opened


class Server(uvicorn.Server):
    """Loads the model while probes are answered, and drains: what was accepted ends, what comes anew gets a 503."""

    def __init__(
        self,
        source: Source,
        limits: Limits,
        key: str | None,
        on_ready: Callable[[], None],
        corpus: Corpus | None = None,
    ) -> None:
        metrics = Metrics()
        self.engine = Engine(lambda: self._load(source), metrics)
        self.service = Service(source.config.run.name or "model", source.config, self.engine, limits, metrics)
        self.search = Search(self.service, source, corpus) if corpus else None
        self.engines = [self.engine, *(self.search.engines if self.search else [])]
        self.gate: Gate = make_app(self.service, key, self.search)
        self.stopped_by: int | None = None
        """The signal that has stopped it."""
        self._limits, self._on_ready, self._grace_ends = limits, on_ready, 0.0
        options: dict[str, Any] = {
            "lifespan": "off",
            "log_config": None,
            "access_log": False,
            "server_header": False,
            "ws": "none",
        }
        # The server is drained before it shuts down: what is then left has used up its grace.
        super().__init__(
            uvicorn.Config(self.gate, timeout_graceful_shutdown=1, backlog=4096, http=Connection, **options)
        )

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal. Raises UserError if the model cannot be loaded."""
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # the gate logs errors, without texts of requests
        super().run(sockets)
        if error := self._error():
            raise error

    def _load(self, source: Source) -> ServedModel:
        model = load_model(source, self._limits)
        if self.search:
            self.search.open()
        return model

    def _error(self) -> Exception | None:
        """Why a model could not be loaded, or the corpus not be read."""
        return next((engine.error for engine in self.engines if engine.error), None)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then load the models."""
        await super().startup(sockets)
        for engine in self.engines:
            engine.start()
        self._opening = asyncio.create_task(self._open())

    async def _open(self) -> None:
        for engine in self.engines:
            await engine.loaded.wait()
        if self._error():
            self.should_exit = True
        elif self.gate.closed is not DRAINING:
            self.gate.closed = None
            self._on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain on the first signal, stop at once on the second."""
        if self.stopped_by is not None:
            self.should_exit = self.force_exit = True
            return
        self.stopped_by, self._grace_ends = sig, monotonic() + self._limits.grace
        self.gate.closed = DRAINING

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second: ends when all accepted requests are answered, or their grace is over."""
        if self.gate.closed is DRAINING:
            late = monotonic() > self._grace_ends
            if late:
                self.gate.expire()
            self.should_exit = self.should_exit or late or not self.gate.in_progress
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the connections, then end the threads of the models."""
        await super().shutdown(sockets)
        for engine in self.engines:
            engine.close()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Without raising the signals again at the end: a drained server has ended well."""
        handled = (signal.SIGINT, signal.SIGTERM)
        try:
            before = {sig: signal.signal(sig, self.handle_exit) for sig in handled}
        except ValueError:  # not in the main thread
            before = {}
        try:
            yield
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)
