"""A connection of the server, and how many there may be: slow clients must not keep others out."""

import asyncio
from contextlib import suppress
from typing import Any

from h11 import LocalProtocolError
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""Within which the line and the headers of a request must have come, from its first byte on."""
OPEN_FILES = 65_536


class Connection(H11Protocol):
    """Is closed where the head of a request, the first one in particular, does not come in time.

    uvicorn has a time limit for idle connections only between two requests; the body's is that of the gate.
    """

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called once, before anything has come."""
        super().connection_made(transport)
        self._limit_head()

    def data_received(self, data: bytes) -> None:
        """Called with what has come."""
        super().data_received(data)
        self._limit_head()

    def send_400_response(self, msg: str) -> None:
        """Called for bytes that are no HTTP. What is still to be answered of the requests before them is dropped."""
        if self.cycle:
            self.cycle.disconnected = True
        with suppress(LocalProtocolError):  # in the midst of an answer
            super().send_400_response(msg)
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called once, at the end."""
        super().connection_lost(exc)
        if self._late:
            self._late.cancel()

    def _limit_head(self) -> None:
        cycle: Any = self.cycle
        in_head = cycle is None or cycle.response_complete
        if in_head and self._late is None:
            self._late = self.loop.call_later(HEAD_SECONDS, self.transport.close)
        elif not in_head and self._late:
            self._late.cancel()
            self._late = None


def allow_open_files() -> int | None:
    """Allow this process as many open files, such as connections, as the system lets it; None where it does not say."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return None
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if most == resource.RLIM_INFINITY else min(most, OPEN_FILES)
    if now != resource.RLIM_INFINITY and now < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
            now = wanted
    return None if now == resource.RLIM_INFINITY else now
