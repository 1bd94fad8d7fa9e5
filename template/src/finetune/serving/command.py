"""The command `serve`."""

import os
import signal
import sys
import webbrowser
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import click

from ..arguments import confidence_option, run_argument, trust_option
from ..console import make_console, print_line, quiet_libraries
from ..errors import INTERRUPTED, OK, UserError
from ..packages import require_packages
from .limits import CANDIDATES, TOP

PACKAGES = ("fastapi", "uvicorn", "prometheus_client")
SPARE_FILES = 64
"""Open files beside the connections of requests."""


@click.command()
@run_argument
@click.option("--host", default="127.0.0.1", show_default=True, help="Any but the loopback needs an API key: API_KEY.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: a free one.")
@click.option("--open", "opens", is_flag=True, help="Open the page in the browser, once the model is loaded.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), help="Default: that of the run.")
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]), help="Default: that of the run.")
@click.option("--onnx", type=click.Path(path_type=Path), help="Folder of the run's ONNX export, to compute with it.")
@click.option("--corpus", type=click.Path(path_type=Path), help="A file of documents to search, by a RUN of retrieval.")
@click.option("--rerank", metavar="RUN", help="A run of ranking, which orders the documents that are found.")
@click.option("--answer", metavar="RUN", help="A run of chat, which answers from the documents.")
@click.option("--top", type=click.IntRange(1, 1000), help=f"Documents of a query.  [default: {TOP}]")
@click.option("--candidates", type=click.IntRange(1, 1000),
              help=f"Documents that --rerank reads.  [default: {CANDIDATES}]")  # fmt: skip
@confidence_option
@click.option("--max-concurrent-requests", type=click.IntRange(1), default=512, show_default=True,
              envvar="MAX_CONCURRENT_REQUESTS", help="More get 429.")  # fmt: skip
@click.option("--max-batch-tokens", type=click.IntRange(1), default=16384, show_default=True,
              envvar="MAX_BATCH_TOKENS", help="Tokens of a forward pass.")  # fmt: skip
@click.option("--max-client-batch-size", type=click.IntRange(1), default=32, show_default=True,
              envvar="MAX_CLIENT_BATCH_SIZE", help="Inputs of a request.")  # fmt: skip
@click.option("--payload-limit", type=click.IntRange(1), default=2_000_000, show_default=True,
              envvar="PAYLOAD_LIMIT", help="Bytes of a request.")  # fmt: skip
@click.option("--auto-truncate", type=bool, default=True, show_default=True,
              envvar="AUTO_TRUNCATE", help="false: refuse what is too long.")  # fmt: skip
@click.option("--request-timeout", type=click.FloatRange(0, min_open=True), default=60.0, show_default=True,
              help="Deadline of a request, in seconds.")  # fmt: skip
@click.option("--grace", type=click.FloatRange(0), default=30.0, show_default=True,
              help="Seconds that requests have to end after SIGTERM.")  # fmt: skip
@trust_option
def serve(
    run_name: str,
    host: str,
    port: int,
    opens: bool,
    device: str | None,
    precision: str | None,
    onnx: Path | None,
    corpus: Path | None,
    rerank: str | None,
    answer: str | None,
    top: int | None,
    candidates: int | None,
    min_confidence: float | None,
    trust_remote_code: bool,
    **limits: Any,
) -> int:
    """Serve the best model of RUN (a folder, or latest) over HTTP, for clients of Hugging Face, TEI, OpenAI and others.

    Options and their environment variables are those of Text Embeddings Inference.
    """
    require_packages("serve", *PACKAGES)
    key = os.environ.get("API_KEY") or None
    if key is None and not _is_loopback(host):
        raise UserError(f"--host {host}: others can reach this address: set an API key in the variable API_KEY")
    beside = {"--rerank": rerank, "--answer": answer, "--top": top, "--candidates": candidates}
    if lonely := [option for option, value in beside.items() if value is not None and corpus is None]:
        raise UserError(f"{lonely[0]}: goes with --corpus, the file of documents to search: add it")
    if candidates is not None and rerank is None:
        raise UserError("--candidates: goes with --rerank, the run that reads them: add it")
    quiet_libraries()
    # OpenMP's threads otherwise spin while they wait for each other, also when another thread, such as that of the
    # requests, has taken the core of one of them. Read when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from ..run.find import find_run
    from .connection import allow_open_files
    from .limits import Limits
    from .model import Source
    from .search import Corpus
    from .server import Server, bind

    console = make_console()
    chosen = {name: value for name, value in (("device", device), ("precision", precision)) if value}

    def source_of(name: str, **options: Any) -> Source:
        run = find_run(name, console)
        config = run.config()
        config = config.model_copy(update={"train": config.train.model_copy(update=chosen)})
        return Source(run, config, trust_remote_code=trust_remote_code, **options)

    source = source_of(run_name, onnx=onnx, min_confidence=min_confidence)
    source.check()
    searched: Corpus | None = None
    if corpus:
        ranker, writer = (source_of(name) if name else None for name in (rerank, answer))
        searched = Corpus(corpus, ranker, writer, top or TOP, candidates or CANDIDATES)
        searched.check(source.config.task)
    most, files = limits["max_concurrent_requests"], allow_open_files()
    if files is not None and files < most + SPARE_FILES:
        note = f"--max-concurrent-requests {most}: this process may open only {files} files and connections (ulimit -n)"
        print_line(console, note)
    socket = bind(host, port)
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{socket.getsockname()[1]}"

    def on_ready() -> None:
        print_line(console, f"serving {source.run.path} at {url}/ui (Ctrl+C stops)")
        if opens and _has_display():
            webbrowser.open(f"{url}/ui")

    server = Server(source, Limits(**limits), key, on_ready, searched)
    server.run([socket])
    return INTERRUPTED if server.stopped_by == signal.SIGINT else OK


def _has_display() -> bool:
    """Whether a browser has a screen to open on. Without one, webbrowser might start one in the terminal."""
    return sys.platform in {"win32", "darwin"} or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
