"""The debugger of the tutorial: "Debug one batch" as PyCharm starts it, with PyCharm's own debugger in the process.

PyCharm puts pydevd.py between the interpreter and the module and listens on a port of the loopback. From then on both
sides write lines of a command's number, a running number (odd from PyCharm) and fields, with tabs between them.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from conftest import Bake
from tutorial import CHINESE, ENGLISH, breakpoint_text, examples

RUN, THREAD_CREATED, SUSPENDED, RESUME, SET_BREAK, REMOVE_BREAK, EVALUATE = 101, 103, 105, 106, 111, 112, 113
PROCESS_CREATED, VERSION, ERROR = 149, 501, 901
PATIENCE = 900
"""Seconds for any one answer: only what hangs takes so long, also on a busy machine."""

pytestmark = pytest.mark.skipif(find_spec("pydevd") is None, reason="pydevd-pycharm is not installed")


@dataclass(frozen=True)
class Stop:
    """Where a thread has come to a breakpoint."""

    thread: str
    frame: str
    file: str
    line: int


class PyCharm:
    """PyCharm's end of the connection."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        self.connection, self.lines = connection, connection.makefile(encoding="utf-8")
        self.number = -1
        self.threads: dict[str, str] = {}
        self.processes_created = 0

    def send(self, command: int, *fields: str) -> None:
        self.number += 2
        self.connection.sendall(("\t".join([str(command), str(self.number), *fields]) + "\n").encode())

    def messages(self) -> Iterator[tuple[int, str]]:
        """What the process says, until it ends."""
        for line in self.lines:
            number, _, payload = line.rstrip("\n").split("\t", 2)
            command, payload = int(number), unquote(payload)
            self.processes_created += command == PROCESS_CREATED
            if command == THREAD_CREATED:
                thread = ElementTree.fromstring(payload)[0]
                self.threads[thread.attrib["id"]] = thread.attrib["name"]
            yield command, payload

    def wait_for(self, wanted: int) -> str:
        for command, payload in self.messages():
            assert command != ERROR, payload
            if command == wanted:
                return payload
        raise AssertionError(f"the process ended before it said {wanted}")

    def set_breakpoint(self, file: Path, line: int) -> None:
        self.send(SET_BREAK, "python-line", str(file), str(line), "None", "NONE", "None", "None")

    def remove_breakpoint(self, file: Path, line: int) -> None:
        self.send(REMOVE_BREAK, "python-line", str(file), str(line))

    def stop(self) -> Stop:
        """Wait until a breakpoint is hit."""
        thread = ElementTree.fromstring(self.wait_for(SUSPENDED))[0]
        assert thread.attrib["stop_reason"] == str(SET_BREAK)
        frame = thread[0].attrib
        return Stop(thread.attrib["id"], frame["id"], unquote(frame["file"]), int(frame["line"]))

    def evaluate(self, stop: Stop, expression: str) -> str:
        """The value of an expression in the frame that stands still, as text."""
        self.send(EVALUATE, stop.thread, stop.frame, "FRAME", expression, "0")
        value = ElementTree.fromstring(self.wait_for(EVALUATE))[0].attrib
        assert "isErrorOnEval" not in value, f"{expression}: {unquote(value['value'])}"
        return unquote(value["value"])

    def resume(self, stop: Stop) -> None:
        self.send(RESUME, stop.thread)


LANGUAGES = {ENGLISH: "en", CHINESE: "zh"}
"""The language of the texts in the project that a page makes."""


def debug(project: Path, name: str, port: int, output: Path) -> "subprocess.Popen[bytes]":
    """Start a run configuration of a module as the green beetle does."""
    file = project / ".idea" / "runConfigurations" / f"{name.replace(' ', '_')}.xml"
    configuration = ElementTree.parse(file).getroot()[0]
    options = {option.attrib["name"]: option.attrib["value"] for option in configuration.iter("option")}
    assert (options["MODULE_MODE"], options["EMULATE_TERMINAL"]) == ("true", "false")
    pydevd = find_spec("pydevd")
    assert pydevd
    assert pydevd.origin
    connection = ["--client", "127.0.0.1", "--port", str(port)]
    flags = ["--module", "--multiprocess", "--qt-support=auto", *connection, "--file", options["SCRIPT_NAME"]]
    roots = os.pathsep.join(str(root) for root in (project, project / "src", project / "tests"))
    variables = {env.attrib["name"]: env.attrib["value"] for env in configuration.iter("env")}
    with output.open("wb") as sink:
        return subprocess.Popen(
            [sys.executable, pydevd.origin, *flags, *options["PARAMETERS"].split()],
            cwd=options["WORKING_DIRECTORY"].replace("$PROJECT_DIR$", str(project)),
            env={**os.environ, **variables, "PYTHONPATH": roots, "PYCHARM_HOSTED": "1", "HF_HUB_OFFLINE": "1"},
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def line_of(file: Path, text: str) -> int:
    (number,) = (number for number, line in enumerate(file.read_text("utf-8").splitlines(), 1) if text in line)
    return number


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE)
        yield listening


@pytest.mark.parametrize("page", LANGUAGES, ids=lambda page: page.name)
def test_a_breakpoint_in_the_loop_shows_the_batch(
    page: Path, bake_project: Bake, tmp_path: Path, server: socket.socket
) -> None:
    project = bake_project(task="token-classification", language=LANGUAGES[page])
    loop, batches = (project / "src" / "finetune" / name for name in ("train/loop.py", "data/batching.py"))
    loss, padding = line_of(loop, breakpoint_text(page)), line_of(batches, "return Batch(inputs, self.make_labels(")
    output = tmp_path / "output.txt"
    process = debug(project, "Debug one batch", server.getsockname()[1], output)
    try:
        pycharm = PyCharm(server.accept()[0])
        pycharm.send(VERSION, "262.1", "UNIX")
        pycharm.wait_for(VERSION)
        pycharm.set_breakpoint(batches, padding)
        pycharm.set_breakpoint(loop, loss)
        pycharm.send(RUN, "")

        made = pycharm.stop()
        assert (made.file, made.line) == (str(batches), padding)
        pycharm.remove_breakpoint(batches, padding)  # the validation goes by there, too
        pycharm.resume(made)

        used = pycharm.stop()
        assert (used.file, used.line) == (str(loop), loss)
        # No data worker: what makes a batch is seen by the debugger as what uses it is.
        assert used.thread == made.thread
        assert pycharm.threads[used.thread] == "MainThread"
        for expression, value in examples(page):
            assert " ".join(pycharm.evaluate(used, expression).split()) == value, expression
        pycharm.resume(used)

        assert SUSPENDED not in [command for command, _ in pycharm.messages()], "one step has one batch"
        assert process.wait(PATIENCE) == 0
        assert pycharm.processes_created == 1, "git names the commit; no part of the training is a process of its own"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        print(output.read_text("utf-8"))  # pytest shows it where this fails

    server.setblocking(False)
    with pytest.raises(BlockingIOError):  # a process of its own would have come to PyCharm's port
        server.accept()
