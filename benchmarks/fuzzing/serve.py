"""Requests to `serve`: every route of a tiny model of each kind, as clients, proxies and attackers send them.

`serve/http` gives bytes to the protocol of a connection; the other targets call the application.
"""

import asyncio
import json
import random
import struct
from copy import deepcopy
from functools import cache, partial
from pathlib import Path
from typing import Any

from .mutations import mutated, random_place
from .runs import trained
from .target import ACCEPTED, REFUSED, Target

TEXT = "a fine day"
MESSAGES = [{"role": "user", "content": "hi"}]
HF: list[Any] = [
    {"inputs": TEXT},
    {"inputs": [TEXT, {"text": "a", "text_pair": "b"}], "parameters": {"top_k": 1, "function_to_apply": "softmax"}},
]
TEI = [{"inputs": TEXT}, {"inputs": [[TEXT], ["b", "c"]], "truncate": True, "raw_scores": False}]
TENSORS = {"inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]}], "id": "1",
           "outputs": [{"name": "label"}]}  # fmt: skip
GENERATION: dict[str, Any] = {"max_tokens": 2, "temperature": 0.5, "top_p": 0.9, "seed": 1, "stop": ["x"], "n": 1,
                              "stream": True, "stream_options": {"include_usage": True}, "logprobs": False}  # fmt: skip
HF_GENERATION = [
    {"inputs": TEXT, "parameters": {"max_new_tokens": 2, "do_sample": True, "stop": ["a"], "details": True, "seed": 3}},
    {"inputs": TEXT, "parameters": {"return_full_text": True, "temperature": 0.5, "top_p": 0.9}, "stream": True},
]
BODIES: dict[str, dict[str, list[Any]]] = {
    "text-classification": {
        "/v1/predict": [{"rows": [{"text": TEXT}, {"text": "b"}]}],
        "/v1/explain": [{"rows": [{"text": "a b"}], "method": "both", "label": "good"}],
        "/": HF, "/predict": TEI, "/invocations": TEI, "/v2/models/model/infer": [TENSORS],
    },
    "token-classification": {
        "/v1/predict": [{"rows": [{"text": "Ada lives in Turin."}, {"tokens": ["Acme", "hired"]}]}],
        "/": [{"inputs": TEXT, "parameters": {"aggregation_strategy": "simple"}}], "/invocations": [{"inputs": [TEXT]}],
    },
    "ranking": {
        "/v1/predict": [{"rows": [{"query": "tea", "document": "green tea"}]}],
        "/": [{"inputs": {"source_sentence": "a", "sentences": ["b", "c"]}}],
        "/rerank": [{"query": "tea", "texts": ["a", "b"], "return_text": True, "raw_scores": True}],
        "/v1/rerank": [{"query": "tea", "documents": ["a", {"text": "b"}], "top_n": 1, "return_documents": True}],
        "/v2/rerank": [{"query": "tea", "documents": ["a", "b"], "model": "x"}],
        "/predict": [{"inputs": [["a", "b"]]}],
    },
    "retrieval": {
        "/v1/predict": [{"rows": [{"query": "tea"}, {"document": "green tea"}]}],
        "/": [{"inputs": [TEXT, "b"], "normalize": True, "prompt_name": "query"},
              {"inputs": {"source_sentence": "a", "sentences": ["b", "c"]}, "parameters": {"truncate": True}}],
        "/embed": [{"inputs": TEXT, "truncate": True, "truncation_direction": "Right", "dimensions": None}],
        "/similarity": [
            {"inputs": {"source_sentence": "a", "sentences": ["b"]}, "parameters": {"prompt_name": "query"}},
        ],
        "/v1/embeddings": [
            {"input": [TEXT, "b"], "model": "x", "encoding_format": "base64", "input_type": "search_query"},
            {"input": "a", "user": "u", "dimensions": 32, "prompt_name": "document"},
        ],
        "/v1/search": [{"query": "tea", "top_n": 1, "answer": True}, {"queries": ["tea", "a bar"], "top_n": 2}],
        "/v1/explain": [{"rows": [{"query": "tea", "document": "green tea"}], "method": "occlusion"}],
    },
    "chat": {
        "/v1/predict": [{"rows": [{"messages": MESSAGES}]}],
        "/v1/chat/completions": [
            {"messages": MESSAGES, **GENERATION, "tools": [{"type": "function", "function": {"name": "f"}}]},
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}], "max_tokens": 2},
        ],
        "/": HF_GENERATION, "/invocations": HF_GENERATION,
    },
    "text-generation": {
        "/v1/predict": [{"rows": [{"prompt": TEXT}]}],
        "/v1/completions": [{"prompt": [TEXT, "b"], "max_tokens": 2}, {"prompt": TEXT, **GENERATION}],
        "/": HF_GENERATION,
    },
}  # fmt: skip
"""By task: valid bodies of the routes that read one."""
GETS = ("/health", "/ready", "/v2/health/ready", "/ping", "/v2/health/live", "/metrics", "/info", "/ui", "/v2",
        "/openapi.json", "/v2/models/model", "/v2/models/model/ready", "/v1/models", "/v1/models/model", "/docs", "/x",
        "/v2/models/%2e%2e%2fx", "/../../etc/passwd", "/v1/models/\u4f60", "//", "/%00", "/" + "a" * 3000)  # fmt: skip
METHODS = ("POST",) * 60 + ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW", "post")
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**400, -(10**400), 0.5, -0.0, 1e308, float("nan"), float("inf"),
    "", "x", " ", "\0", "\ud800", "\U0001f600" * 20, "a" * 3000, "\u202e", "{{7*7}}", "{% for i in x %}", "null", "1",
    [], {}, [[]], [None], [[["a"]]], {"a": []}, ["a", 5], [{}] * 40, ["a"] * 40, {"text": "a"}, {"": ""}, "Left",
    ["a", "b"], [["a", "b"], ["c"]], [["a"], "b"], {"role": "tool"}, "assistant", [TEXT, "", "\n"], "tiny:bert",
)  # fmt: skip
PIECES = [
    *(b'"', b"{", b"}", b"[", b"]", b":", b",", b"\\", b"\0", b"\xff", b"\xed\xa0\x80", b"\\ud800", b"\\u0000",
    b"null"),
    *(b"NaN", b"-Infinity", b"1e999", b"9" * 400, b"9" * 5000, b"[" * 90, b"[" * 5000, b'{"a":' * 200, b"true", b"1.5"),
    *(b"\xef\xbb\xbf", b"\r\n", b"/*", b"'", b"a" * 9000, b'"rows"', b'"inputs"', "\U0001f600".encode()),
]  # fmt: skip
HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-type", b"text/plain"), (b"content-type", b""), (b"content-type", b"application/json; charset=utf-16"),
    (b"content-type", b"multipart/form-data; boundary=x"), (b"content-type", b"application/x-www-form-urlencoded"),
    (b"content-type", b"application/octet-stream"), (b"content-type", b"\xff/\xff"), (b"content-encoding", b"gzip"),
    (b"content-length", b"-1"), (b"content-length", b"99999999999"), (b"content-length", b"9" * 5000),
    (b"content-length", b"x"), (b"inference-header-content-length", b"5"), (b"authorization", b"Bearer \xff"),
    (b"inference-header-content-length", b"9" * 5000), (b"inference-header-content-length", b"\xb2"),
    (b"inference-header-content-length", b"-1"), (b"accept", b"\xff" * 99), (b"cookie", b"a" * 5000), (b"host", b""),
    (b"x-forwarded-for", b"../../x"), (b"origin", b"null"), (b"expect", b"100-continue"), (b"range", b"bytes=0-0"),
    (b"transfer-encoding", b"chunked"), (b"upgrade", b"websocket"), (b"", b""),
)  # fmt: skip
HTTP_PIECES = [
    *(b"\r\n", b"\n", b"\r", b"\0", b" ", b":", b"\t", b"\xff", b"HTTP/1.0", b"HTTP/9.9", b"HTTP/2.0",
    b"PRI * HTTP/2.0"),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n", b"Content-Length: 0\r\n",
    b"0\r\n\r\n"),
    *(b"Content-Length: " + b"9" * 5000 + b"\r\n", b"Content-Length: -1\r\n", b"Expect: 100-continue\r\n",
    b"5\r\nhello"),
    *(b"FFFFFFFFFFFFFFFF\r\n", b"1;a=b\r\n", b"X: " + b"a" * 70_000 + b"\r\n", b"X: y\r\n" * 300,
    b"GET /ready HTTP/1.1"),
    *(b"Upgrade: websocket\r\nConnection: Upgrade\r\n", b"Upgrade: h2c\r\n", b"Host: \r\n", b"http://a/", b"*",
    b"/%zz"),
    *(b"Inference-Header-Content-Length: " + b"9" * 5000 + b"\r\n", b"Connection: close\r\n", b"\x16\x03\x01\x02\x00"),
]  # fmt: skip


def request(path: str, body: Any) -> bytes:
    """A case: method, path and headers in a line of JSON, then the body."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return packed("POST", path, [(b"content-type", b"application/json")], content)


def packed(method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes) -> bytes:
    head = [method, path, [[name.decode("latin-1"), value.decode("latin-1")] for name, value in headers]]
    return json.dumps(head).encode() + b"\n" + body


def valid(task: str) -> bytes:
    path, bodies = next(iter(BODIES[task].items()))
    return request(path, bodies[0])


def changed(task: str, random_: random.Random) -> bytes:
    """A request with other values, damaged bytes, another route, method or headers."""
    path = random_.choice(list(BODIES[task]))
    body: Any = json.loads(json.dumps(random_.choice(BODIES[task][path])))
    headers = [(b"content-type", b"application/json")]
    for _ in range(random_.choice((0, 1, 1, 1, 2))):
        body = with_another_value(body, random_)
    content = json.dumps(body, ensure_ascii=random_.random() < 0.5).encode(errors="surrogatepass")
    if path.endswith("infer") and random_.random() < 0.2:
        content, headers = (
            with_bytes(random_),
            [(b"inference-header-content-length", str(random_.randint(0, 200)).encode())],
        )
    if random_.random() < 0.2:
        content = mutated(content, PIECES, random_)
    if random_.random() < 0.03:
        content = content.decode(errors="replace").encode(random_.choice(("utf-16", "utf-32", "utf-8-sig", "utf-7")))
    if random_.random() < 0.1:
        path = random_.choice((*GETS, *BODIES[task]))
    if random_.random() < 0.15:
        headers = [*headers[random_.randint(0, 1) :], random_.choice(HEADERS)]
    return packed(random_.choice(METHODS), path, headers, content)


def another(random_: random.Random) -> Any:
    return deepcopy(random_.choice(VALUES))


def with_another_value(body: Any, random_: random.Random) -> Any:
    """A document with one value that is another, one more, or one less."""
    if not isinstance(body, dict | list) or not body or random_.random() < 0.02:
        return another(random_)
    place, key = random_place(body, random_, stop=0.25)
    match random_.randrange(6):
        case 0:
            del place[key]
        case 1 if isinstance(place, list):
            place.insert(key, another(random_))
        case 1:
            place[random_.choice(("tool_calls", "x", "", "parameters", "\ud800", "pad"))] = another(random_)
        case 2:
            value: Any = place[key]
            for _ in range(random_.choice((1, 50, 300))):
                value = [value] if random_.random() < 0.5 else {"a": value}
            place[key] = value
        case _:
            place[key] = another(random_)
    return body


def with_bytes(random_: random.Random) -> bytes:
    """Tensors whose strings follow the JSON, whose length the header may name."""
    strings = [random_.choice((b"a", b"", b"\xff", b"\0" * 9, "\u4f60".encode())) for _ in range(random_.randint(0, 3))]
    data = b"".join(
        struct.pack("<I", len(one) + random_.choice((0, 0, 0, 7, -1, 2**30)) & 0xFFFFFFFF) + one for one in strings
    )
    size = random_.choice((len(data), len(data), -1, 10**9, 10**30, True))
    tensor = {"name": "text", "shape": [len(strings)], "datatype": "BYTES", "parameters": {"binary_data_size": size}}
    return json.dumps({"inputs": [tensor]}).encode() + data


class Answer:
    """What an application sends."""

    def __init__(self) -> None:
        self.status, self.headers, self.body = 0, dict[bytes, bytes](), b""

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        self.body += message.get("body", b"")


def corpus_of(task: str, run: Any) -> Any:
    """The corpus of a retrieval run, with all stages."""
    from finetune.serving.model import Source
    from finetune.serving.search import Corpus

    if task != "retrieval":
        return None
    path = run.path.parent.parent / "corpus.jsonl"
    path.write_text("".join(f"{json.dumps({'document': text})}\n" for text in ("green tea", "a bar", "a farm")))
    ranking, chat = (Source(other, other.config()) for other in map(trained, ("ranking", "chat")))
    return Corpus(path, ranking, chat, candidates=2)


@cache
def served(task: str) -> tuple[asyncio.AbstractEventLoop, Any]:
    """The loop and the gate of a server whose model is loaded."""
    import logging

    logging.disable()
    from finetune.serving.limits import Limits
    from finetune.serving.model import Source
    from finetune.serving.server import Server

    run = trained(task)
    loop = asyncio.new_event_loop()
    limits = Limits(max_client_batch_size=8, payload_limit=20_000)
    server = Server(Source(run, run.config()), limits, None, print, corpus_of(task, run))
    server.service.name = "model"

    async def start() -> None:
        for engine in server.engines:
            engine.start()
            await engine.loaded.wait()
            if engine.error:
                raise engine.error

    loop.run_until_complete(start())
    server.gate.closed = None
    return loop, server


def ask(task: str, content: bytes, folder: Path) -> str:
    """Call the application, and judge its answer."""
    head, _, body = content.partition(b"\n")
    method, path, headers = json.loads(head)
    loop, server = served(task)
    parts = [body[: len(body) // 2], body[len(body) // 2 :]]

    async def receive() -> Any:
        if parts:
            return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}
        return await loop.create_future()

    answer = Answer()
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
             "path": path, "raw_path": path.encode(errors="replace"), "query_string": b"", "root_path": "",
             "headers": [(one.encode("latin-1"), two.encode("latin-1")) for one, two in headers],
             "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2), "state": {}}  # fmt: skip
    loop.run_until_complete(server.gate(scope, receive, answer.send))
    require_documented(path, answer)
    if answer.status == 200 and path == "/v1/predict":
        sent, got = json.loads(body)["rows"], json.loads(answer.body)["predictions"]
        assert len(sent) == len(got), f"{len(got)} predictions for {len(sent)} rows"
    return ACCEPTED if answer.status < 400 else REFUSED


def require_documented(path: str, answer: Answer) -> None:
    """An answer without a fault of the server; a refusal is a problem detail in the convention of the path."""
    shown = f"{path}: {answer.status} {answer.body[:300]!r}"
    assert 200 <= answer.status < 500, shown
    assert b"Traceback" not in answer.body, shown
    assert b'"NaN"' not in answer.body, shown
    if answer.headers.get(b"content-type") == b"application/json":
        json.loads(answer.body, parse_constant=_no_json)
    if answer.status < 400:
        assert b'"internal-error"' not in answer.body, shown
        return
    assert answer.headers[b"content-type"] == b"application/problem+json", shown
    if not answer.body:  # of a HEAD request
        return
    problem = json.loads(answer.body)
    assert problem["status"] == answer.status, shown
    assert problem["code"], shown
    assert problem["detail"], shown
    openai = path.startswith(("/v1/chat", "/v1/completions", "/v1/embeddings", "/v1/models"))
    assert isinstance(problem["error"], dict if openai else str), shown


def _no_json(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


class Transport(asyncio.Transport):
    """Keeps what a connection writes."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written, self.closed = b"", False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def raw() -> bytes:
    body = json.dumps({"rows": [{"text": TEXT}]}).encode()
    head = b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body


def raw_chunked() -> bytes:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b'8\r\n{"inputs\r\n6\r\n": "a"\r\n1\r\n}\r\n0\r\n\r\n'


def raw_damaged(random_: random.Random) -> bytes:
    """One request or several behind each other, with mutations."""
    seeds = (raw(), raw_chunked(), b"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n")
    whole = b"".join(random_.choice(seeds) for _ in range(random_.choice((1, 1, 2, 3))))
    return mutated(whole, HTTP_PIECES, random_)


def talk(content: bytes, folder: Path) -> str:
    """Give bytes to the protocol of a connection; each answer has a status below 500."""
    loop, server = served("text-classification")
    written = loop.run_until_complete(_exchange(loop, server, content))
    statuses = []
    for line in written.split(b"\r\n"):
        if line.startswith(b"HTTP/1.1 "):
            statuses.append(int(line[9:12]))
    assert all(100 <= status < 500 for status in statuses), written[:600]
    assert b"Traceback" not in written, written[:600]
    return ACCEPTED if statuses and max(statuses) < 400 else REFUSED


async def _exchange(loop: asyncio.AbstractEventLoop, server: Any, content: bytes) -> bytes:
    errors: list[Any] = []
    loop.set_exception_handler(lambda _, context: errors.append(context))
    from finetune.serving.connection import Connection

    if not server.config.loaded:
        server.config.load()
    state, transport = server.server_state, Transport()
    connection = Connection(server.config, state, {}, loop)
    connection.connection_made(transport)
    for start in range(0, len(content), size := max(1, len(content) // 3)):
        if not transport.closed:
            connection.data_received(content[start : start + size])
    while state.tasks:
        done, _ = await asyncio.wait({*state.tasks}, timeout=0.05)
        if not done:  # it waits for the rest of its body
            break
        await asyncio.sleep(0)
    connection.connection_lost(None)
    if state.tasks:
        await asyncio.wait({*state.tasks})
    assert not errors, errors
    return transport.written


TARGETS = [
    *(Target(f"serve/{task}", partial(valid, task), partial(changed, task), partial(ask, task)) for task in BODIES),
    Target("serve/http", raw, raw_damaged, talk),
]
