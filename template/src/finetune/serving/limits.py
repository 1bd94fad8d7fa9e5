"""The limits of a server, by the names and defaults of Text Embeddings Inference, and the ways to refuse a request."""

from dataclasses import dataclass, field

TOP, CANDIDATES = 5, 50
"""Documents of a query that `/v1/search` answers, and those that a run of ranking reads, unless it is said."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server accepts. Beyond `request_timeout` and `grace`, names and defaults are those of TEI."""

    max_concurrent_requests: int = 512
    """Requests that are waiting or computed at the same time; more are refused with 429."""
    max_batch_tokens: int = 16384
    """Tokens of a forward pass, padding included."""
    max_client_batch_size: int = 32
    """Inputs of one request."""
    payload_limit: int = 2_000_000
    """Bytes of the body of a request."""
    auto_truncate: bool = True
    """Whether inputs that are too long for the model are truncated; otherwise they are refused."""
    request_timeout: float = 60.0
    """Deadline: seconds from a request's first byte to its answer."""
    grace: float = 30.0
    """Seconds that accepted requests have to end after SIGTERM."""


@dataclass(eq=False)
class Problem(Exception):
    """A request is refused or has failed: the fields of a problem detail (RFC 9457).

    `code` is stable: programs may rely on it. `detail` is a sentence for people.
    """

    status: int
    code: str
    detail: str
    headers: dict[str, str] = field(default_factory=dict)
