"""Errors as problem details (RFC 9457), with the members that the clients of the other conventions read."""

from typing import Any

from starlette.responses import JSONResponse

from ..parsing import shortened
from .limits import Problem

LONGEST = 2000
"""Characters of a sentence."""

TITLES = {
    400: "Bad request",
    401: "Unauthorized",
    404: "Not found",
    405: "Method not allowed",
    408: "Request timeout",
    413: "Content too large",
    422: "Unprocessable content",
    429: "Too many requests",
    500: "Internal server error",
    503: "Service unavailable",
    504: "Deadline exceeded",
}
TEI_TYPES = {
    **dict.fromkeys((400, 413, 422), "Validation"),
    401: "Unauthorized",
    429: "Overloaded",
    503: "Unhealthy",
}
"""The types of Text Embeddings Inference; all else is Backend."""
OPENAI_TYPES = {401: "authentication_error", 429: "rate_limit_error"}
OPENAI_PATHS = ("/v1/chat", "/v1/completions", "/v1/embeddings", "/v1/models")


def problem_response(problem: Problem, path: str) -> JSONResponse:
    """The answer to a request to `path`."""
    body = problem_details(problem, path)
    return JSONResponse(body, problem.status, problem.headers, media_type="application/problem+json")


def problem_details(problem: Problem, path: str) -> dict[str, Any]:
    """`error` is an object for OpenAI's clients, and for all others a sentence."""
    detail = shortened(problem.detail, LONGEST)  # it may name a key of the request, with half of a surrogate pair
    details = {
        "type": "about:blank",
        "title": TITLES[problem.status],
        "status": problem.status,
        "detail": detail,
        "code": problem.code,
    }
    if path.startswith(OPENAI_PATHS):
        kind = OPENAI_TYPES.get(problem.status, "server_error" if problem.status >= 500 else "invalid_request_error")
        error = {"message": detail, "type": kind, "param": None, "code": problem.code}
        return {**details, "error": error}
    kind = "Empty" if problem.code == "empty" else TEI_TYPES.get(problem.status, "Backend")
    return {**details, "error": detail, "error_type": kind}
