"""Metrics for Prometheus: the meaning of those of Text Embeddings Inference, with Prometheus' units in their names."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
SIZES = tuple(2**power for power in range(11))
TOKENS = tuple(2**power for power in range(4, 16))


class Metrics:
    """Of one server."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()

        def seconds(name: str, text: str, *labels: str) -> Histogram:
            return Histogram(f"finetune_{name}_duration_seconds", text, labels, buckets=SECONDS, registry=registry)

        self.requests = Counter("finetune_request", "Requests", ["route", "code"], registry=registry)
        self.request_seconds = seconds("request", "First byte of a request to its answer", "route")
        self.tokenization_seconds = seconds("request_tokenization", "Tokenization of a request, and waiting for it")
        self.queue_seconds = seconds("request_queue", "Waiting of a request for the model")
        self.inference_seconds = seconds("request_inference", "First batch to last of a request")
        self.batch_seconds = seconds("batch", "Forward pass, or generation, of a batch")
        self.in_progress = Gauge("finetune_requests_in_progress", "Requests that are being answered", registry=registry)
        self.queue_size = Gauge("finetune_queue_size", "Inputs that wait for the model", registry=registry)
        self.input_tokens = Histogram(
            "finetune_request_input_tokens", "Tokens of an input", buckets=TOKENS, registry=registry
        )
        self.batch_size = Histogram("finetune_batch_size", "Inputs of a batch", buckets=SIZES, registry=registry)
        self.batch_tokens = Histogram("finetune_batch_tokens", "Tokens of a batch", buckets=TOKENS, registry=registry)
        self.truncated = Counter("finetune_truncated_inputs", "Inputs that were truncated", registry=registry)
        self.withheld = Counter(
            "finetune_withheld_predictions", "Labels and entities below the least confidence", registry=registry
        )
        self.predictions = Counter("finetune_predictions", "Predicted labels", ["label"], registry=registry)

    def observe_batch(self, tokens: Sequence[int], seconds: float) -> None:
        """A batch has been computed."""
        self.batch_seconds.observe(seconds)
        self.batch_size.observe(len(tokens))
        self.batch_tokens.observe(sum(tokens))

    def page(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)
