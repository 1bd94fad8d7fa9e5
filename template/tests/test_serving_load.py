"""`finetune serve` under load: limits, deadlines, clients that hang up, and what is computed together."""

import contextlib
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("uvicorn")

from test_serving import Running, assert_close, serving

from finetune.data.features import Feature
from finetune.serving import connection
from finetune.serving.engine import Capacity, Item, Job, choose_batch
from finetune.serving.model import ServedModel
from finetune.tasks.settings import Generation

__all__ = ["serving"]
BODY = {"inputs": "a fine day"}


class Held:
    """Keeps the model from computing until it is released, and counts the batches."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free, self.entered, self.sizes = threading.Event(), threading.Event(), list[int]()
        compute = ServedModel.compute

        def held(model: ServedModel, features: Any, *options: Any) -> Any:
            self.entered.set()
            assert self.free.wait(30)
            self.sizes.append(len(features))
            return compute(model, features, *options)

        monkeypatch.setattr(ServedModel, "compute", held)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch, serving: Any) -> Held:
    """For a server that is ready."""
    return Held(monkeypatch)


def wait_until(holds: Any, seconds: float = 10) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_bytes_that_are_no_http_close_the_connection_without_a_traceback(
    serving: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where a body was answered already, which is too large."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    large = b"1e8480\r\n" + b"a" * 2_000_000 + b"\r\n5\r\nhello\r\n"
    for start in (head, head + large):
        with socket.create_connection(("127.0.0.1", serving("text-classification").port), 10) as client:
            client.sendall(start)
            time.sleep(0.2)
            client.sendall(b"no chunk\r\n")
            with contextlib.suppress(ConnectionError):
                while client.recv(1000):
                    pass
    assert not [record for record in caplog.records if record.exc_info]


def test_a_full_queue_is_429_with_retry_after(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        Running(serving("text-classification").run, max_concurrent_requests=3) as server,
        ThreadPoolExecutor(8) as pool,
    ):
        held = Held(monkeypatch)
        accepted = [pool.submit(server.call, "/predict", BODY) for _ in range(3)]
        wait_until(lambda: server.server.gate.in_progress == 3)
        status, answer, headers = server.call("/predict", BODY)
        assert (status, answer["code"], answer["error_type"]) == (429, "overloaded", "Overloaded")
        assert int(headers["retry-after"]) >= 1
        assert server.call("/health")[0] == server.call("/ready")[0] == 200
        held.free.set()
        assert [one.result()[0] for one in accepted] == [200] * 3
        assert server.call("/predict", BODY)[0] == 200
        wait_until(lambda: server.server.gate.in_progress == 0)


def test_what_queues_while_a_batch_computes_is_the_next_batch(serving: Any, held: Held) -> None:
    server = serving("text-classification")
    with ThreadPoolExecutor(16) as pool:
        first = pool.submit(server.ask, "/predict", BODY)
        assert held.entered.wait(10)
        others = [pool.submit(server.ask, "/predict", {"inputs": f"day {i}"}) for i in range(9)]
        wait_until(lambda: server.server.engine.waiting == 9)
        held.free.set()
        answers = [one.result() for one in others]
    assert first.result()
    assert held.sizes == [1, 9]
    expected = [one["probabilities"] for one in server.predicted([f"day {i}" for i in range(9)])]
    assert [{one["label"]: pytest.approx(one["score"], abs=1e-5) for one in row} for row in answers] == expected


def test_long_and_short_texts_at_the_same_time(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are encoded in different threads, but never by both at a time."""
    encode, encoding, threads = ServedModel.encode, threading.Lock(), set[str]()

    def alone(model: ServedModel, rows: Any) -> Any:
        assert encoding.acquire(blocking=False)
        threads.add(threading.current_thread().name)
        with contextlib.closing(SimpleNamespace(close=encoding.release)):
            return encode(model, rows)

    server = serving("token-classification")
    monkeypatch.setattr(ServedModel, "encode", alone)
    long, short = "Ada Byron lives in Turin . " * 800, "Acme hired Ada ."
    texts = [long, short] * 4
    server.ask("/v1/predict", {"rows": [{"text": short}]})  # while no other is encoded
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda text: server.ask("/v1/predict", {"rows": [{"text": text}]}), texts))
    expected = [server.predicted([text])[0]["prediction"] for text in (long, short)]
    for text, answer in zip(texts, answers, strict=True):
        assert_close(answer["predictions"][0]["prediction"], expected[text is short])
    assert len(threads) == 2
    assert server.server.service._encoding == 0


def test_a_request_that_outlasts_the_grace_does_not_keep_the_process(serving: Any, monkeypatch: Any) -> None:
    server = Running(serving("text-classification").run, grace=0.2)
    with server, ThreadPoolExecutor(1) as pool:
        held = Held(monkeypatch)
        pending = pool.submit(server.refused, "/predict", BODY)
        assert held.entered.wait(10)
        begun = time.monotonic()
        server.server.handle_exit(15, None)
        server.thread.join(10)
        assert not server.thread.is_alive()
        assert 0.2 <= time.monotonic() - begun < 5
        held.free.set()
        assert pending.result() == (503, "draining")


def test_a_client_that_hangs_up_frees_its_place(serving: Any, held: Held) -> None:
    server = serving("text-classification")
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(server.ask, "/predict", BODY)
        assert held.entered.wait(10)
        gone = socket.create_connection(("127.0.0.1", server.port))
        data = json.dumps(BODY).encode()
        gone.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                     b"Content-Length: %d\r\n\r\n%s" % (len(data), data))  # fmt: skip
        wait_until(lambda: server.server.engine.waiting == 1)
        gone.close()
        wait_until(lambda: server.server.engine.waiting == 0)
        wait_until(lambda: server.server.gate.in_progress == 1)
        held.free.set()
        assert first.result()
    assert held.sizes == [1]


def test_a_chat_that_nobody_reads_stops_generating(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server, steps = serving("chat"), list[int]()
    watch_of = type(server.server.engine)._watch

    def watch(engine: Any, item: Any, tokens: list[int]) -> bool:
        if item.job.on_tokens:
            steps.append(len(tokens))
            if len(steps) == 2:
                client.close()
                wait_until(lambda: server.server.gate.in_progress == 0)
        return watch_of(engine, item, tokens)

    monkeypatch.setattr(type(server.server.engine), "_watch", watch)
    data = json.dumps({"messages": [{"role": "user", "content": "Hello"}], "stream": True}).encode()
    client = socket.create_connection(("127.0.0.1", server.port))
    client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                   b"Content-Length: %d\r\n\r\n%s" % (len(data), data))  # fmt: skip
    wait_until(lambda: len(steps) > 1 and server.server.gate.in_progress == 0)
    server.ask("/v1/predict", {"rows": [{"messages": [{"role": "user", "content": "Hello"}]}]})  # comes after it
    assert steps == [1, 2]


def test_a_deadline_that_passes_is_504_and_frees_the_place(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with Running(serving("text-classification").run, request_timeout=0.3) as server:
        held = Held(monkeypatch)
        assert server.refused("/predict", BODY) == (504, "deadline-exceeded")
        wait_until(lambda: server.server.gate.in_progress == 0)
        slow = socket.create_connection(("127.0.0.1", server.port))
        slow.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
        assert b"408" in slow.recv(100)
        slow.close()
        held.free.set()


def test_a_model_that_fails_for_one_serves_the_others(
    serving: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    server, compute = serving("text-classification"), ServedModel.compute
    held = Held(monkeypatch)
    waiting = ServedModel.compute

    def failing(model: ServedModel, features: Any, *options: Any) -> Any:
        if any(feature.length > 12 for feature in features):
            raise RuntimeError("secret words of the request")
        return (compute if held.free.is_set() else waiting)(model, features, *options)

    monkeypatch.setattr(ServedModel, "compute", failing)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(server.call, "/predict", BODY)
        assert held.entered.wait(10)
        good = [pool.submit(server.call, "/predict", BODY) for _ in range(2)]
        bad = pool.submit(server.refused, "/predict", {"inputs": "word " * 20})
        wait_until(lambda: server.server.engine.waiting == 3)
        held.free.set()
        assert bad.result() == (500, "model-failed")
        assert [one.result()[0] for one in (first, *good)] == [200] * 3
    assert "RuntimeError" in caplog.text
    assert "secret" not in caplog.text


def test_while_it_loads_and_drains_it_is_503_and_alive(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    loading = threading.Event()
    make = ServedModel.__init__
    monkeypatch.setattr(ServedModel, "__init__", lambda *a, **k: (loading.wait(30), make(*a, **k))[1])
    server = Running(serving("text-classification").run)
    server.thread.start()
    wait_until(lambda: server.server.started)
    assert server.call("/health")[0] == 200
    for path, body in (("/ready", None), ("/v2/health/ready", None), ("/predict", BODY), ("/info", None)):
        assert server.refused(path, body) == (503, "loading")
    loading.set()
    assert server.ready.wait(30)
    held = Held(monkeypatch)
    with ThreadPoolExecutor(1) as pool:
        accepted = pool.submit(server.call, "/predict", BODY)
        assert held.entered.wait(10)
        server.server.handle_exit(15, None)
        time.sleep(0.3)
        assert server.refused("/predict", BODY) == (503, "draining")
        assert server.refused("/ready", None) == (503, "draining")
        assert server.call("/health")[0] == 200
        held.free.set()
        assert accepted.result()[0] == 200
    server.thread.join(10)
    assert not server.thread.is_alive()


def items(*lengths: int, generation: Generation | None = None) -> list[Item]:
    """Of a job each."""
    return [Job([Feature(0, {"input_ids": [0] * n}, [0], prompt=[0] * n)], generation).items[0] for n in lengths]


CPU = Capacity(most=1000, enough=600, free=0)


def test_batches_take_the_oldest_and_what_is_nearest_to_its_length() -> None:
    queue = items(100, 500, 120, 30, 95, 210)
    assert choose_batch(queue, CPU) == [queue[0], queue[4], queue[2]]  # 210 would make half of it padding
    assert choose_batch(queue, replace(CPU, enough=250)) == [queue[0], queue[4]]
    assert choose_batch(queue, replace(CPU, most=250)) == [queue[0], queue[4]]
    assert choose_batch(queue, replace(CPU, free=150)) == [queue[0], queue[4], queue[2], queue[3]]
    assert choose_batch(queue[1:], replace(CPU, most=100)) == [queue[1]]  # longer than the budget, by itself


def test_texts_are_generated_together_by_their_settings_and_as_many_as_fit() -> None:
    settings = Generation(max_new_tokens=9)
    queue = items(100, 10, 90, generation=settings)
    other = items(100, generation=Generation(max_new_tokens=8))
    assert choose_batch([queue[0], *other, *queue[1:]], CPU) == [queue[0], queue[2], queue[1]]
    assert choose_batch([*other, *queue], CPU) == other


def test_a_long_queue_is_computed_within_the_budget_and_in_turn() -> None:
    queue, seen = dict.fromkeys(items(*(1 + 37 * i % 300 for i in range(400)))), list[Item]()
    while queue:
        batch = choose_batch(queue, CPU)
        assert batch[0] is next(iter(queue))
        size = len(batch) * max(item.tokens for item in batch)
        assert size <= 600
        assert size - sum(item.tokens for item in batch) <= size / 8
        for item in batch:
            del queue[item]
        seen += batch
    assert len(seen) == len(set(seen)) == 400


HEAD = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


def test_slow_clients_keep_nobody_out(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies that do not come take no place, and a head that does not come closes its connection."""
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.5)
    with (
        Running(serving("text-classification").run, max_concurrent_requests=4) as server,
        contextlib.ExitStack() as stack,
    ):

        def connect(first: bytes) -> socket.socket:
            opened = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
            opened.sendall(first)
            return opened

        heads = [connect(b"POST /predict HTTP/1.1\r\nHost: "), connect(b"")]
        late = connect(HEAD % 2 + b"{}")
        answer = b""
        while not answer.endswith(b"}"):
            answer += late.recv(1000)
        assert b" 422 " in answer
        late.sendall(b"POST /pre")  # on the kept connection
        bodies = [connect(HEAD % 100 + b'{"inp') for _ in range(20)]
        for _ in range(3):
            assert server.call("/predict", BODY)[0] == 200
            time.sleep(0.1)
            heads[0].sendall(b"a")
        for slow in (*heads, late):
            assert slow.recv(100) == b""
        bodies[0].sendall(b'uts": "a fine day"}'.ljust(95))
        assert b" 200 " in bodies[0].recv(1000)


def test_more_clients_than_places(serving: Any) -> None:
    """Each gets its own answer, or 429; some hang up in the middle. Then all places are free."""
    texts = [f"{'day ' * (i % 7)}number {i}" for i in range(60)]
    with Running(serving("text-classification").run, max_concurrent_requests=16) as server:
        expected = {text: one["probabilities"] for text, one in zip(texts, server.predicted(texts), strict=True)}

        def client(number: int) -> int:
            text = texts[number % len(texts)]
            if number % 5 == 0:
                data = json.dumps({"inputs": text}).encode()
                with socket.create_connection(("127.0.0.1", server.port)) as gone:
                    gone.sendall((HEAD % len(data) + data)[: -(number % 3) or None])
                return 0
            status, answer, headers = server.call("/predict", {"inputs": text})
            if status == 200:
                assert_close({one["label"]: one["score"] for one in answer}, expected[text])
            else:
                assert (status, answer["code"]) == (429, "overloaded")
                assert headers["retry-after"]
            return status

        with ThreadPoolExecutor(60) as pool:
            found = list(pool.map(client, range(300)))
        assert set(found) <= {0, 200, 429}
        assert found.count(200) >= 16
        wait_until(lambda: server.server.gate.in_progress == 0 and server.server.engine.waiting == 0)


def test_as_many_connections_as_the_system_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    limits = {"now": (64, 200)}
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits["now"])
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: limits.update(now=new))
    assert connection.allow_open_files() == 200
    assert limits["now"] == (200, 200)
    limits["now"] = (64, resource.RLIM_INFINITY)
    assert connection.allow_open_files() == connection.OPEN_FILES
