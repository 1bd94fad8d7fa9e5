"""The gate before all routes: API key, state of the server, limits, deadline, and clients that hang up.

It reads the body itself, so that a slow or endless one does not keep others out; then it watches the connection, and
cancels the work of a request whose client has gone or whose deadline has passed.
"""

import asyncio
import hmac
import logging
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

from .limits import Limits, Problem
from .metrics import Metrics
from .problems import problem_response

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOG = logging.getLogger(__name__)
OPEN = ("/health", "/ready", "/ping", "/metrics", "/v2/health/live", "/v2/health/ready", "/ui", "/openapi.json")
"""Paths that need no API key: for probes, Prometheus and people. None of them runs the model."""

DIGITS = 18
"""Most digits of a number in a header: Python refuses to read those of thousands."""


@dataclass(slots=True)
class Trace:
    """What the reply's headers tell of a request."""

    headers: dict[str, str] = field(default_factory=dict)


trace: ContextVar[Trace] = ContextVar("trace")
"""Of the request that is being answered."""


class HungUp(Exception):
    """The client has closed the connection."""


class Gate:
    """An ASGI application around the routes."""

    def __init__(self, app: App, limits: Limits, metrics: Metrics, key: str | None) -> None:
        self.app, self.limits, self.metrics, self.key = app, limits, metrics, key
        self.in_progress = 0
        """Requests that are being answered."""
        self.closed: Problem | None = None
        """Why no request is accepted: while the model loads, or while the server drains."""
        self._working: set[asyncio.Future[None]] = set()
        self._recent = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = perf_counter(), 499  # as nginx counts a client that has gone
        current = Trace()
        trace.set(current)

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                named = {**current.headers, "x-total-time": f"{1000 * (perf_counter() - start):.0f}"}
                message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in named.items())]
            await send(message)

        try:
            await self._admit(scope, receive, answer, start + self.limits.request_timeout)
        except HungUp:
            pass
        except Problem as problem:
            if status == 499:  # otherwise a stream has begun, which ends without its last message
                await problem_response(problem, scope["path"])(scope, receive, answer)
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            LOG.error("%s at %s:%s", type(error).__name__, frames[-1].filename, frames[-1].lineno)
            if status == 499:
                failed = Problem(500, "internal-error", f"the server failed ({type(error).__name__})")
                await problem_response(failed, scope["path"])(scope, receive, answer)
        route = getattr(scope.get("route"), "path", "other")
        self.metrics.requests.labels(route, str(status)).inc()
        self.metrics.request_seconds.labels(route).observe(perf_counter() - start)

    async def _admit(self, scope: Scope, receive: Receive, send: Send, deadline: float) -> None:
        self._require_key(scope)
        if scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        # A place is taken by a request that has come as a whole, so that slow ones keep nobody out. Only then is one
        # refused: a connection that is closed while its client sends is reset, and the client cannot read why.
        body = await self._body(scope, receive, deadline)
        self.require_open()
        if self.in_progress >= self.limits.max_concurrent_requests:
            wait = {"retry-after": str(max(1, round(self._recent)))}
            raise Problem(429, "overloaded", "as many requests as allowed are being answered: try again later", wait)
        self.in_progress += 1
        self.metrics.in_progress.set(self.in_progress)
        begun = perf_counter()
        try:
            await self._work(scope, body, receive, send, deadline)
        finally:
            self.in_progress -= 1
            self.metrics.in_progress.set(self.in_progress)
            self._recent += 0.1 * (perf_counter() - begun - self._recent)

    def expire(self) -> None:
        """End the requests that are left when the grace of a draining server is over; they get its problem."""
        for work in self._working:
            work.cancel()

    def require_open(self) -> None:
        """Raises Problem while the model loads, and while the server drains."""
        if self.closed:
            raise replace(self.closed)  # a new one: an exception that is raised again keeps what it went through

    def _require_key(self, scope: Scope) -> None:
        if self.key is None or scope["path"] in OPEN:
            return
        sent = dict(scope["headers"]).get(b"authorization", b"")
        if not hmac.compare_digest(sent, f"Bearer {self.key}".encode()):
            header = {"www-authenticate": "Bearer"}
            raise Problem(401, "unauthorized", "send the header Authorization: Bearer with the API key", header)

    async def _body(self, scope: Scope, receive: Receive, deadline: float) -> bytes:
        """The body of a request, unless it is too large or too slow."""
        limit = self.limits.payload_limit
        large = Problem(413, "payload-too-large", f"the body is larger than {limit} bytes: send less at a time")
        declared = dict(scope["headers"]).get(b"content-length", b"")
        if (digits := declared.lstrip(b"0")).isdigit() and (len(digits) > DIGITS or int(digits) > limit):
            raise large
        parts, size, more = [], 0, True
        while more:
            try:
                message = await asyncio.wait_for(receive(), deadline - perf_counter())
            except TimeoutError:
                raise Problem(408, "request-timeout", "the body did not arrive in time: send it faster") from None
            if message["type"] == "http.disconnect":
                raise HungUp
            parts.append(message.get("body", b""))
            size, more = size + len(parts[-1]), message.get("more_body", False)
            if size > limit:
                raise large
        return b"".join(parts)

    async def _work(self, scope: Scope, body: bytes, receive: Receive, send: Send, deadline: float) -> None:
        """Answer, as long as the client waits and the deadline has not passed."""
        gone = asyncio.create_task(_until_gone(receive))
        unread = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return unread.pop() if unread else await asyncio.shield(gone)

        work = asyncio.ensure_future(self.app(scope, replay, send))
        self._working.add(work)
        try:
            remaining = deadline - perf_counter()
            done, _ = await asyncio.wait({work, gone}, timeout=remaining, return_when=asyncio.FIRST_COMPLETED)
            if work in done:
                if work.cancelled():
                    self.require_open()
                return work.result()
            if gone in done:
                raise HungUp
            seconds = f"{self.limits.request_timeout:g} s"
            raise Problem(504, "deadline-exceeded", f"the answer took longer than {seconds}: send less at a time")
        finally:
            self._working.discard(work)
            for task in (work, gone):
                task.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)


async def _until_gone(receive: Receive) -> Message:
    while (message := await receive())["type"] != "http.disconnect":
        pass
    return message
