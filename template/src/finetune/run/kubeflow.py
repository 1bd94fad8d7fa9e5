"""Progress of a training for Kubeflow Trainer 2.3, which shows it in the status of the TrainJob.

With its feature gate `TrainJobStatus`, the controller sets three variables in the containers of a TrainJob: the address
of its status server, and the files of the server's CA certificate and of the job's token. Without them nothing is sent.
"""

import json
import os
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.markup import escape

from ..console import print_line
from ..urls import without_secrets

VARIABLES = tuple(f"KUBEFLOW_TRAINER_SERVER_{name}" for name in ("URL", "CA_CERT", "TOKEN"))
INTERVAL = 5.0
"""Seconds between two requests, at least: the rate that Kubeflow's documentation asks for."""
TIMEOUT = 5.0
"""Seconds that a request may wait for the server, and the end of a training for the last request."""


class TrainJobStatus:
    """Sends the latest progress from a thread of its own, so that no server can slow or end the training."""

    def __init__(self, console: Console, total_steps: int, done: int) -> None:
        self._console, self._total, self._done = console, total_steps, done
        self._latest: tuple[int, Mapping[str, float]] = done, {}  # replaced as a whole: the thread reads it
        self._begun = time.monotonic()
        self._ended = threading.Event()

    @contextmanager
    def sent(self) -> Iterator[None]:
        """Send the progress inside the block, and at its end what is new."""
        server = [os.environ.get(name, "") for name in VARIABLES]
        if not all(server):
            yield
            return
        thread = threading.Thread(target=self._send, args=server, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join(TIMEOUT)

    def advance(self, step: int) -> None:
        """The training has taken this step."""
        self._latest = step, self._latest[1]

    def add(self, metrics: Mapping[str, float]) -> None:
        """Metrics of the step; those of other names stay."""
        self._latest = self._latest[0], {**self._latest[1], **metrics}

    def message(self) -> dict[str, Any]:
        """The body of a request. With early stopping a training ends before 100 %."""
        step, metrics = self._latest
        status: dict[str, Any] = {
            "progressPercentage": 100 * step // self._total,
            "metrics": [{"name": name, "value": str(value)} for name, value in metrics.items()],
            "lastUpdatedTime": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        if step > self._done:
            seconds_per_step = (time.monotonic() - self._begun) / (step - self._done)
            status["estimatedRemainingSeconds"] = round(seconds_per_step * (self._total - step))
        return {"trainerStatus": status}

    def _send(self, url: str, certificate: str, token: str) -> None:
        """Until the training has ended; says so once if it fails, and tries again."""
        sent, ended, failed = None, False, False
        while not ended:
            ended = self._ended.wait(INTERVAL)
            if self._latest == sent:
                continue
            sent = self._latest
            try:
                _post(url, certificate, token, self.message())
            except (OSError, HTTPException, ValueError) as error:
                if not failed:
                    said = f"Kubeflow gets no progress of the training, which continues: {without_secrets(repr(error))}"
                    print_line(self._console, f"[yellow]{escape(said)}[/]")
                failed = True


def _post(url: str, certificate: str, token: str, message: dict[str, Any]) -> None:
    """One request. Both files are read each time, because the cluster replaces them; no proxy, no redirect."""
    server = urlsplit(url)
    trusted = ssl.create_default_context(cafile=certificate)
    headers = {
        "Authorization": f"Bearer {Path(token).read_text(encoding='ascii').strip()}",
        "Content-Type": "application/json",
    }
    with closing(HTTPSConnection(server.netloc, timeout=TIMEOUT, context=trusted)) as connection:
        connection.request("POST", server.path, json.dumps(message), headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise HTTPException(f"{answer.status} {answer.reason}")
