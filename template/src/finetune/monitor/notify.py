"""What an alarm sets off: a command, a webhook. In the background, so that reading never waits for them."""

import json
import os
import shlex
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.client import HTTPException
from queue import SimpleQueue
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit, urlunsplit

from ..console import counted
from ..errors import UserError
from ..urls import origin
from .alarms import Event

COMMAND_SECONDS = 60.0
WEBHOOK_SECONDS = 10.0
RETRIES = (1.0, 4.0, 15.0)
"""Seconds before each further attempt of a webhook."""


class DeliveryError(Exception):
    """An alarm was not delivered. The message is the reason."""


class Action(Protocol):
    """What is done with an alarm."""

    name: str
    """Its option."""
    retries: Sequence[float]
    """Seconds before each further attempt."""

    def deliver(self, event: Event) -> None:
        """Do it once. Raises DeliveryError."""


class Command:
    """A program with arguments, which gets the alarm as JSON on its standard input; no shell reads the line."""

    name = "--on-alarm"
    retries: Sequence[float] = ()

    def __init__(self, line: str, seconds: float = COMMAND_SECONDS) -> None:
        """Raises UserError for a line without a program, or with an open quote."""
        try:
            self._arguments = shlex.split(line)
        except ValueError as error:
            raise UserError(f"--on-alarm: '{line}' is no command ({error}): close its quotes") from error
        if not self._arguments:
            raise UserError("--on-alarm: the command is empty: name a program")
        self._seconds = seconds

    def deliver(self, event: Event) -> None:
        try:
            process = subprocess.Popen(
                self._arguments, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DeliveryError(f"{self._arguments[0]} cannot be started ({reason})") from error
        try:
            process.communicate(json.dumps(event, ensure_ascii=False).encode(), timeout=self._seconds)
        except subprocess.TimeoutExpired as error:
            _kill(process)
            raise DeliveryError(f"{self._arguments[0]} was stopped after {self._seconds:g} s") from error
        if process.returncode:
            raise DeliveryError(f"{self._arguments[0]} failed with exit code {process.returncode}")


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """End a process and, where there are groups of processes, what it has started."""
    with suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """An address that the user has not named gets nothing."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Webhook:
    """An address to which the alarm is posted as JSON; its key `text` is what chat programs show."""

    name = "--webhook"
    retries: Sequence[float] = RETRIES

    def __init__(self, url: str, seconds: float = WEBHOOK_SECONDS, retries: Sequence[float] = RETRIES) -> None:
        """Raises UserError for what is no http or https URL."""
        try:
            parts = urlsplit(url)
            valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            valid = False
        if not valid or any(character.isspace() for character in url):
            raise UserError("--webhook: this is no address: write https://HOST/PATH")
        user, _, host = parts.netloc.rpartition("@")
        # What is shown has no path and no query, which often hold a secret, nor a user with a password.
        self._shown = origin(url)
        self._url = urlunsplit((parts.scheme, host, parts.path, parts.query, ""))
        self._headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "finetune-monitor"}
        if user:
            self._headers["Authorization"] = f"Basic {b64encode(unquote(user).encode()).decode()}"
        self._seconds, self.retries = seconds, retries
        self._opener = urllib.request.build_opener(_NoRedirect)

    def deliver(self, event: Event) -> None:
        request = urllib.request.Request(self._url, json.dumps(event).encode(), self._headers)
        try:
            self._opener.open(request, timeout=self._seconds).close()
        except urllib.error.HTTPError as error:
            error.close()
            raise DeliveryError(f"{self._shown} answered with status {error.code}") from error
        except (OSError, HTTPException, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise DeliveryError(f"{self._shown} cannot be reached ({_plain(reason)})") from error


def _plain(reason: object) -> str:
    """A reason without the address, which may hold a secret."""
    return (reason.strerror if isinstance(reason, OSError) else None) or type(reason).__name__


class Deliveries:
    """Carries out the actions, each in a thread of its own."""

    def __init__(self, actions: Sequence[Action], note: Callable[[str], None]) -> None:
        """`note` shows a line to the user."""
        self._note = note
        self._changed = threading.Condition()
        self._undelivered: dict[int, tuple[str, Event]] = {}
        self._number = 0
        self._queues: dict[str, SimpleQueue[tuple[int, Event]]] = {}
        for action in actions:
            waiting: SimpleQueue[tuple[int, Event]] = SimpleQueue()
            self._queues[action.name] = waiting
            threading.Thread(target=self._work, args=(action, waiting), daemon=True).start()

    def undelivered(self) -> list[tuple[str, Event]]:
        """The alarms whose actions have not ended, with the options of these."""
        with self._changed:
            return list(self._undelivered.values())

    def all_of(self, event: Event) -> list[tuple[str, Event]]:
        """The event once for each action."""
        return [(name, event) for name in self._queues]

    def send(self, events: Sequence[tuple[str, Event]]) -> None:
        """Hand events over to their actions; those of actions that are not asked for any more are dropped."""
        for name, event in events:
            if name in self._queues:
                with self._changed:
                    self._number += 1
                    self._undelivered[self._number] = (name, event)
                self._queues[name].put((self._number, event))

    def _work(self, action: Action, waiting: SimpleQueue[tuple[int, Event]]) -> None:
        while True:
            number, event = waiting.get()
            self._attempt(action, event)
            with self._changed:
                del self._undelivered[number]
                self._changed.notify_all()

    def _attempt(self, action: Action, event: Event) -> None:
        for delay in (*action.retries, None):
            try:
                return action.deliver(event)
            except DeliveryError as error:
                if delay is None:
                    tries = f" after {counted(len(action.retries) + 1, 'attempt')}" if action.retries else ""
                    self._note(f"{action.name}: {error}{tries}; the alarm stands in alarms.jsonl")
                else:
                    time.sleep(delay)

    def finish(self, seconds: float) -> int:
        """Wait up to so many seconds for what is under way. Returns how many deliveries are left."""
        with self._changed:
            self._changed.wait_for(lambda: not self._undelivered, seconds)
            return len(self._undelivered)
