"""What an alarm sets off: it arrives, and where it does not, nothing waits for it and nothing is lost in silence."""

import json
import os
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from finetune.errors import UserError
from finetune.monitor.notify import Action, Command, Deliveries, DeliveryError, Webhook

EVENT = {"alarm": "差评 > 0.4", "state": "raised", "text": "alarm raised: 差评 is 50 %", "share": 0.5}


class Hook(BaseHTTPRequestHandler):
    """Answers with the statuses of `answers` in turn, and hangs at 0."""

    answers: list[int]
    received: list[dict[str, Any]]
    let_go: threading.Event

    def do_POST(self) -> None:
        assert self.headers["Authorization"] == "Basic dXNlcjpwYXNz"
        self.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not status:
            self.let_go.wait(5)
            return
        self.send_response(status)
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[Callable[..., tuple[str, list[dict[str, Any]]]]]:
    """An HTTP server that gives these statuses: its address, and what it received."""
    servers: list[HTTPServer] = []
    let_go = threading.Event()

    def start(*answers: int) -> tuple[str, list[dict[str, Any]]]:
        handler = type("Handler", (Hook,), {"answers": list(answers), "received": [], "let_go": let_go})
        servers.append(HTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.01,), daemon=True).start()
        return f"http://user:pass@127.0.0.1:{servers[-1].server_port}/secret?token=secret", handler.received

    yield start
    let_go.set()
    for server in servers:
        server.shutdown()
        server.server_close()


def delivered(action: Action) -> tuple[list[str], float]:
    """What is said when an alarm is delivered, and how long `send` took, in seconds."""
    notes: list[str] = []
    deliveries = Deliveries([action], notes.append)
    start = time.monotonic()
    deliveries.send(deliveries.all_of(EVENT))
    taken = time.monotonic() - start
    assert deliveries.finish(10) == 0
    return notes, taken


def test_a_webhook_gets_the_alarm(hook: Callable[..., Any]) -> None:
    url, received = hook(200)
    notes, _ = delivered(Webhook(url))
    assert received == [EVENT]
    assert notes == []


def test_a_webhook_is_tried_again(hook: Callable[..., Any]) -> None:
    url, received = hook(500, 503, 204)
    notes, _ = delivered(Webhook(url, retries=(0.0, 0.0)))
    assert (len(received), notes) == (3, [])


@pytest.mark.parametrize("status", [404, 302, 500])
def test_a_webhook_that_refuses_is_one_line_without_secrets(status: int, hook: Callable[..., Any]) -> None:
    url, received = hook(status)
    notes, _ = delivered(Webhook(url, retries=(0.0,)))
    [note] = notes
    assert f"answered with status {status} after 2 attempts; the alarm stands in alarms.jsonl" in note
    assert note.startswith("--webhook: http://127.0.0.1:")
    assert "secret" not in note
    assert "pass" not in note
    assert len(received) == 2


def test_a_webhook_that_hangs_holds_nothing_up(hook: Callable[..., Any]) -> None:
    url, _ = hook(0)
    notes, taken = delivered(Webhook(url, seconds=0.2, retries=()))
    assert taken < 0.1
    assert "cannot be reached (TimeoutError)" in notes[0]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no-such-host.invalid"])
def test_an_unreachable_webhook_is_one_line(address: str) -> None:
    notes, _ = delivered(Webhook(f"http://{address}/secret", seconds=2, retries=()))
    [note] = notes
    assert f"http://{address} cannot be reached (" in note
    assert "secret" not in note


@pytest.mark.parametrize(
    "url", ["", "ftp://x/y", "x.example/y", "http://", "http://x:99999/", "http://[::1", "http://a b/"]
)
def test_wrong_addresses_are_refused(url: str) -> None:
    with pytest.raises(UserError, match="--webhook: this is no address"):
        Webhook(url)


def test_a_command_gets_the_alarm_and_no_shell(tmp_path: Path) -> None:
    program = tmp_path / "a program.py"
    program.write_text("import sys, pathlib; pathlib.Path(sys.argv[1]).write_bytes(sys.stdin.buffer.read())")
    target = tmp_path / "$(touch x); `y` && z"
    notes, _ = delivered(Command(shlex.join([sys.executable, str(program), str(target)])))
    assert notes == []
    assert json.loads(target.read_text("utf-8")) == EVENT
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("no-such-program --x", "no-such-program cannot be started (No such file or directory)"),
        ("/", "/ cannot be started (Permission denied)"),
        ("false", "false failed with exit code 1"),
        ("sleep 30", "sleep was stopped after 0.2 s"),
        ("sh -c 'trap \"\" TERM; sleep 30 & sleep 30'", "sh was stopped after 0.2 s"),
    ],
)
def test_a_command_that_fails_is_one_line(line: str, reason: str) -> None:
    start = time.monotonic()
    with pytest.raises(DeliveryError) as error:
        Command(line, seconds=0.2).deliver(EVENT)
    assert str(error.value) == reason
    assert time.monotonic() - start < 10


def test_what_a_hanging_command_has_started_ends_with_it(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError):
        Command(f"sh -c 'sleep 30 & echo $! > {tmp_path}/pid; wait'", seconds=0.3).deliver(EVENT)
    pid = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text():
            return
        time.sleep(0.01)
    os.kill(pid, 0)
    pytest.fail("the process of the command is still there")


def test_what_a_command_leaves_behind_is_not_waited_for() -> None:
    start = time.monotonic()
    Command("sh -c 'sleep 3 &'").deliver(EVENT)
    Command("true").deliver({**EVENT, "text": "x" * 10**6})  # it does not read its input
    assert time.monotonic() - start < 2


@pytest.mark.parametrize("line", ["", "   ", "'open"])
def test_wrong_commands_are_refused(line: str) -> None:
    with pytest.raises(UserError, match="--on-alarm"):
        Command(line)


def test_actions_do_not_wait_for_each_other(hook: Callable[..., Any], tmp_path: Path) -> None:
    url, _ = hook(0)
    deliveries = Deliveries([Webhook(url, seconds=5, retries=()), Command(f"touch {tmp_path}/done")], print)
    deliveries.send(deliveries.all_of(EVENT))
    for _ in range(200):
        if len(deliveries.undelivered()) == 1:
            break
        time.sleep(0.01)
    assert (tmp_path / "done").exists()
    assert deliveries.undelivered() == [("--webhook", EVENT)], "it is part of the state, for the next start"
    assert deliveries.finish(0) == 1


def test_what_is_not_asked_for_any_more_is_dropped() -> None:
    deliveries = Deliveries([], print)
    deliveries.send([("--webhook", EVENT)])
    assert deliveries.undelivered() == []
