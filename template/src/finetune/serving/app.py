"""The web application: routes for the task, probes, metrics, the page, and errors as problem details."""

from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from .. import __version__, optional
from ..tasks.settings import Retrieval
from .examples import rows_of
from .gate import Gate
from .limits import Problem
from .problems import problem_response
from .protocols import embeddings, explain, hf, openai, openai_embeddings, openinference, own, rerank, tei
from .protocols import search as search_route
from .protocols.scores import SCORED
from .search import Search
from .service import Service

LOADING = Problem(503, "loading", "the model is being loaded: try again soon", {"retry-after": "1"})
CODES = {400: "invalid-json", 404: "not-found", 405: "method-not-allowed"}
PAGE_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; img-src data:"
)
"""The page may call this server, and loads nothing from anywhere."""


def make_app(service: Service, key: str | None, search: Search | None = None) -> Gate:
    """The application, closed until the model is loaded; `key`: the API key that requests must have."""
    app = FastAPI(title=f"finetune serve: {service.name}", version=__version__, docs_url=None, redoc_url=None)
    gate = Gate(app, service.limits, service.metrics, key)
    gate.closed = LOADING
    _add_errors(app)
    task = service.config.task.type
    for protocol in (
        own,
        *((explain,) if explains(service) else ()),
        *((tei, openinference) if task in SCORED else ()),
        *((embeddings, openai_embeddings) if task == "retrieval" else (hf,)),
        *((rerank,) if task == "ranking" else ()),
        *((openai,) if task in ("chat", "text-generation") else ()),
    ):
        app.include_router(protocol.make_router(service))
    if search:
        app.include_router(search_route.make_router(search))
    _add_operations(app, gate, service, search)
    return gate


def explains(service: Service) -> bool:
    """Whether the server explains its predictions. A generated text takes too long for a pass of the engine."""
    return optional.is_there("explain") and not hasattr(service.config.task, "generation")


def _add_errors(app: FastAPI) -> None:
    async def on_problem(request: Request, problem: Any) -> JSONResponse:
        return problem_response(problem, request.url.path)

    async def on_invalid_body(request: Request, error: Any) -> JSONResponse:
        return problem_response(_invalid(error), request.url.path)

    async def on_http(request: Request, error: Any) -> JSONResponse:
        code = CODES.get(error.status_code, "bad-request")
        return problem_response(Problem(error.status_code, code, str(error.detail)), request.url.path)

    async def on_failure(request: Request, error: Any) -> JSONResponse:  # which is raised again, for the gate to log
        failed = Problem(500, "internal-error", f"the server failed ({type(error).__name__})")
        return problem_response(failed, request.url.path)

    app.add_exception_handler(Exception, on_failure)
    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(RequestValidationError, on_invalid_body)
    app.add_exception_handler(HTTPException, on_http)


def _invalid(error: RequestValidationError) -> Problem:
    """The first mistake, with its place but without the text that is wrong."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return Problem(400, "invalid-json", "the body is no JSON: send an object with Content-Type: application/json")
    place = ".".join(str(part) for part in first["loc"] if part != "body") or "body"
    return Problem(422, "invalid-body", f"{place}: {first['msg']}")


def _add_operations(app: FastAPI, gate: Gate, service: Service, search: Search | None) -> None:
    @app.get("/health", tags=["operations"])
    async def health() -> Any:
        """Whether the process is alive."""
        return {"status": "alive"}

    @app.get("/ready", tags=["operations"])
    @app.get("/v2/health/ready", tags=["operations"])
    @app.get("/ping", tags=["operations"])
    async def ready() -> Any:
        """Whether requests are accepted: not while the model loads, nor while the server drains."""
        gate.require_open()
        return {"ready": True}

    @app.get("/v2/health/live", tags=["operations"])
    async def live() -> Any:
        """Whether the process is alive."""
        return {"live": True}

    @app.get("/metrics", tags=["operations"])
    async def metrics() -> Response:
        """Metrics in Prometheus' text format."""
        return Response(service.metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/info", tags=["operations"])
    async def info() -> Any:
        """Model, task and limits, by the names of Text Embeddings Inference."""
        gate.require_open()
        return {**describe(service), **({"search": search.describe()} if search else {})}

    @app.get("/ui", include_in_schema=False)
    async def page() -> HTMLResponse:
        """A page to try the model."""
        text = files(__package__).joinpath("page.html").read_text(encoding="utf-8")
        return HTMLResponse(text, headers={"content-security-policy": PAGE_POLICY, "x-content-type-options": "nosniff"})


def describe(service: Service) -> dict[str, Any]:
    """What `/info` answers."""
    model, limits, settings = service.model, service.limits, service.config.task
    labels: list[str] = getattr(service.task, "labels", ["score"])
    kind = {"ranking": "reranker", "token-classification": "token_classifier"}.get(settings.type, "classifier")
    names = {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
    model_type: dict[str, Any] = {kind: names}
    if isinstance(settings, Retrieval):
        model_type = {"embedding": {"pooling": "last_token" if settings.pooling == "last" else settings.pooling}}
    elif hasattr(settings, "generation"):
        model_type = {"generator": {}}
    return {
        "model_id": service.name,
        "served_model_name": service.name,
        "model_sha": None,
        "model_dtype": model.description["dtype"],
        "model_type": model_type,
        "max_concurrent_requests": limits.max_concurrent_requests,
        "max_input_length": model.max_length,
        "max_batch_tokens": limits.max_batch_tokens,
        "max_batch_requests": None,
        "max_client_batch_size": limits.max_client_batch_size,
        "auto_truncate": limits.auto_truncate,
        "tokenization_workers": 1,
        "version": __version__,
        "task": settings.type,
        "device": model.description["device"],
        "explains": explains(service),
        "example": [{**row, **dict.fromkeys(service.task.trained_columns or (), "")} for row in rows_of(settings)],
    }
