"""`finetune serve`: each convention is called by its own client or by its published bodies, in a server of a thread."""

import asyncio
import contextlib
import http.client
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")

import huggingface_hub
from conftest import FILES, TASKS, filled
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from finetune.predict import Predictor
from finetune.run.folder import RunFolder
from finetune.serving import model as served_model
from finetune.serving.limits import Limits, Problem
from finetune.serving.model import Source
from finetune.serving.server import Server, bind


@pytest.fixture(autouse=True)
def _hub_client_may_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """With HF_HUB_OFFLINE, which the tests set, its client calls nobody, not even this machine."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)


TEXTS = ["a fine day", "dark and cold , and then some more words", "what a noise"]


class Running:
    """A server in a thread."""

    def __init__(self, run: RunFolder, key: str | None = None, **options: Any) -> None:
        limits = {name: options.pop(name) for name in Limits.__slots__ if name in options}
        corpus = options.pop("corpus", None)
        self.run, self.ready = run, threading.Event()
        self.socket = bind("127.0.0.1", 0)
        self.port = self.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.server = Server(Source(run, run.config(), **options), Limits(**limits), key, self.ready.set, corpus)
        self.thread = threading.Thread(target=self.server.run, args=[[self.socket]], daemon=True)

    def __enter__(self) -> "Running":
        self.thread.start()
        assert self.ready.wait(60)
        return self

    def __exit__(self, *_: Any) -> None:
        self.server.should_exit = True
        self.thread.join(30)

    def call(self, path: str, body: Any = None, method: str = "", **headers: str) -> tuple[int, Any, dict[str, str]]:
        """Status, JSON and headers."""
        return call(self.port, path, body, method, **headers)

    def ask(self, path: str, body: Any = None) -> Any:
        """The JSON of an answer that must be a good one."""
        status, answer, _ = self.call(path, body)
        assert status == 200, answer
        return answer

    def refused(self, path: str, body: Any, method: str = "", **headers: str) -> tuple[int, str]:
        """Status and code of a problem."""
        status, answer, named = self.call(path, body, method, **headers)
        assert named["content-type"] == "application/problem+json"
        assert answer["status"] == status
        assert answer["detail"]
        assert "Traceback" not in json.dumps(answer)
        return status, answer["code"]

    def predicted(self, texts: list[str], pair: str | None = None) -> list[dict[str, Any]]:
        """What `finetune predict` answers."""
        return Predictor(self.run).predict_texts(texts, pair)


def call(port: int, path: str, body: Any = None, method: str = "", **headers: str) -> tuple[int, Any, dict[str, str]]:
    """Status, JSON and headers of a reply."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    with contextlib.closing(connection):
        headers = {"Content-Type": "application/json", **headers}
        connection.request(method or ("GET" if body is None else "POST"), path, data, headers)
        reply = connection.getresponse()
        text = reply.read().decode()
        named = {name.lower(): value for name, value in reply.getheaders()}
        return reply.status, json.loads(text) if "json" in named.get("content-type", "") else text, named


@pytest.fixture(scope="session")
def serving(_finished_projects: Callable[[str], Path]) -> Iterator[Callable[[str], Running]]:
    """A server for each task, started once."""
    started: dict[str, Running] = {}
    with contextlib.ExitStack() as stack:

        def serve(task: str) -> Running:
            if task not in started:
                run = RunFolder(_finished_projects(task) / "runs" / "config")
                started[task] = stack.enter_context(Running(run))
            return started[task]

        yield serve


def inputs_of(task: str, project: Path) -> list[dict[str, Any]]:
    """Rows of the task's validation data without their targets."""
    targets = {"label", "labels", "target", "completion", "tags"}
    if task == "token-classification":
        return [{"text": "Ada Byron lives in Turin."}, {"text": "Acme hired"}, {"tokens": ["Nothing", "happened"]}]
    rows = [json.loads(line) for line in (project / FILES[task][1]).read_text().splitlines()]
    return [{name: value for name, value in row.items() if name not in targets} for row in rows]


@pytest.mark.parametrize("task", TASKS)
def test_rows_are_answered_as_finetune_predict_does(
    task: str, serving: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, project = serving(task), filled(tmp_path)
    rows = inputs_of(task, project.folder)
    path = project.write("rows.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    _, expected = Predictor(server.run).predict_file(path)

    with monkeypatch.context() as patch:
        patch.setattr(served_model, "FREE_ON_CPU", 10_000)  # one batch, as there
        answer = server.ask("/v1/predict", {"rows": rows})["predictions"]

    assert answer == json.loads(json.dumps(expected))
    assert_close(server.ask("/v1/predict", {"rows": rows})["predictions"], answer)
    alone = [server.ask("/v1/predict", {"rows": [row]})["predictions"][0] for row in rows]
    for one, whole in zip(alone, answer, strict=True):
        if task == "ranking":
            assert one["score"] == pytest.approx(whole["score"], abs=1e-5)
        else:
            assert_close(one, whole)


def assert_close(one: Any, other: Any) -> None:
    """Equal but for the rounding of another batch."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            assert_close(one[name], other[name])
    elif isinstance(one, list):
        for pair in zip(one, other, strict=True):
            assert_close(*pair)
    elif isinstance(one, float):
        assert one == pytest.approx(other, abs=1e-5)
    else:
        assert one == other


def test_hugging_face_text_classification(serving: Any) -> None:
    server = serving("text-classification")
    expected = server.predicted(TEXTS[:1])[0]["probabilities"]
    client = InferenceClient(model=server.url)

    found = client.text_classification(TEXTS[0])
    assert [(one.label, one.score) for one in found] == sorted(expected.items(), key=lambda pair: -pair[1])
    assert len(client.text_classification(TEXTS[0], top_k=1)) == 1
    assert client.text_classification(TEXTS[0], function_to_apply="softmax") == found
    with pytest.raises(HfHubHTTPError, match="function_to_apply"):
        client.text_classification(TEXTS[0], function_to_apply="sigmoid")


def test_hugging_face_multi_label_and_regression(serving: Any) -> None:
    server = serving("multi-label-classification")
    expected = server.predicted(TEXTS[:1])[0]
    found = InferenceClient(model=server.url).text_classification(TEXTS[0])
    assert {one.label: one.score for one in found} == expected["probabilities"]
    assert [one["label"] for one in found if one["chosen"]] == expected["prediction"]

    server = serving("regression")
    found = InferenceClient(model=server.url).text_classification(TEXTS[0])
    assert [(one.label, one.score) for one in found] == [("value", server.predicted(TEXTS[:1])[0]["prediction"])]


def test_hugging_face_token_classification(serving: Any) -> None:
    server, text = serving("token-classification"), "Ada Byron lives in Turin."
    expected = server.predicted([text])[0]["prediction"]
    client = InferenceClient(model=server.url)

    found = client.token_classification(text, aggregation_strategy="simple")
    assert [(one.entity_group, one.score, one.word, one.start, one.end) for one in found] == [
        (span["label"], span["probability"], span["text"], span["start"], span["end"]) for span in expected
    ]
    with pytest.raises(HfHubHTTPError, match="aggregation_strategy"):
        client.token_classification(text, aggregation_strategy="none")


def test_hugging_face_ranking(serving: Any) -> None:
    server = serving("ranking")
    pairs = [{"query": "tea", "document": one} for one in ("green tea", "coffee")]
    records = server.ask("/v1/predict", {"rows": pairs})["predictions"]
    found = InferenceClient(model=server.url).sentence_similarity("tea", other_sentences=["green tea", "coffee"])
    assert found == [record["score"] for record in records]


@pytest.mark.parametrize("task", ["translation", "summarization", "text-generation", "chat"])
def test_hugging_face_generated_texts(task: str, serving: Any) -> None:
    server, text = serving(task), "the red house by the station"
    (expected,) = (record["prediction"] for record in server.predicted([text]))
    client = InferenceClient(model=server.url)
    if task == "translation":
        assert client.translation(text).translation_text == expected
        with pytest.raises(HfHubHTTPError, match="src_lang"):
            client.translation(text, src_lang="en", tgt_lang="de")
    elif task == "summarization":
        assert client.summarization(text).summary_text == expected
    else:
        assert client.text_generation(text) == expected
        assert client.text_generation(text, return_full_text=True) == text + expected
        assert "".join(client.text_generation(text, stream=True)) == expected
        details = client.text_generation(text, details=True, max_new_tokens=2, stream=True)
        last = list(details)[-1]
        assert (last.details.generated_tokens, last.details.finish_reason) in [(2, "length"), (1, "eos_token")]
        with pytest.raises(Exception, match="typical_p"):
            client.text_generation(text, typical_p=0.5)


def test_two_texts_are_a_pair_for_one_convention_and_a_batch_for_another(serving: Any) -> None:
    server, body = serving("text-classification"), {"inputs": TEXTS[:2]}
    batch = server.ask("/", body)
    expected = server.predicted(TEXTS[:2])
    assert [{one["label"]: one["score"] for one in row} for row in batch] == [one["probabilities"] for one in expected]
    assert server.refused("/predict", body) == (422, "invalid-row")  # the model reads no pairs
    assert_close(server.ask("/predict", {"inputs": [[text] for text in TEXTS[:2]]}), batch)

    server, pair = serving("ranking"), ["tea", "green tea"]
    (answer,) = server.ask("/predict", {"inputs": pair, "raw_scores": True})
    record = server.ask("/v1/predict", {"rows": [dict(zip(("query", "document"), pair, strict=True))]})
    assert answer["score"] == record["predictions"][0]["score"]
    assert server.refused("/", {"inputs": pair}) == (422, "invalid-row")  # two queries without documents


def test_text_embeddings_inference(serving: Any) -> None:
    server = serving("text-classification")
    single = server.ask("/predict", {"inputs": TEXTS[0]})
    assert {one["label"]: one["score"] for one in single} == server.predicted(TEXTS[:1])[0]["probabilities"]
    assert server.ask("/invocations", {"inputs": TEXTS[0]}) == single
    assert server.refused("/predict", {"inputs": "a", "raw_scores": True}) == (422, "unsupported-parameter")
    info = server.ask("/info")
    assert info["model_type"]["classifier"]["id2label"] == {"0": "bad", "1": "good"}
    assert (info["max_concurrent_requests"], info["max_batch_tokens"], info["max_client_batch_size"]) == (
        512,
        16384,
        32,
    )
    _, error, _ = server.call("/predict", {"inputs": []})
    assert error["error_type"] == "Validation"
    assert error["error"] == error["detail"]


def test_rerank_of_tei_cohere_and_jina(serving: Any) -> None:
    server, query = serving("ranking"), "something with horses"
    texts = ["a bar", "a farm with horses and more", "riding"]
    rows = [{"query": query, "document": text} for text in texts]
    records = server.ask("/v1/predict", {"rows": rows})["predictions"]
    order = sorted(range(3), key=lambda i: records[i]["rank"])

    raw = server.ask("/rerank", {"query": query, "texts": texts, "raw_scores": True, "return_text": True})
    assert raw == [{"index": i, "score": records[i]["score"], "text": texts[i]} for i in order]
    tei = server.ask("/rerank", {"query": query, "texts": texts})
    assert [one["index"] for one in tei] == order
    assert all(0 < one["score"] < 1 for one in tei)

    jina = server.ask("/v1/rerank", {"model": "any", "query": query, "documents": texts, "top_n": 2})
    assert [one["document"] for one in jina["results"]] == [{"text": texts[i]} for i in order[:2]]
    assert jina["usage"]["total_tokens"] > 0
    cohere = server.ask("/v2/rerank", {"model": "any", "query": query, "documents": [{"text": one} for one in texts]})
    assert cohere["results"] == [{"index": one["index"], "relevance_score": one["score"]} for one in tei]
    assert cohere["id"]


def test_open_inference_protocol(serving: Any) -> None:
    server = serving("text-classification")
    tensor = {"name": "text", "shape": [2], "datatype": "BYTES", "data": TEXTS[:2]}
    answer = server.ask("/v2/models/config/infer", {"id": "7", "inputs": [tensor]})
    outputs = {one["name"]: one for one in answer["outputs"]}
    expected = server.predicted(TEXTS[:2])
    assert (answer["model_name"], answer["id"]) == ("config", "7")
    assert outputs["label"]["data"] == [one["prediction"] for one in expected]
    assert outputs["score"]["data"] == [one["probability"] for one in expected]
    assert outputs["probabilities"]["shape"] == [2, 2]
    assert outputs["probabilities"]["data"] == [p for one in expected for p in one["probabilities"].values()]
    asked = {"inputs": [tensor], "outputs": [{"name": "label"}]}
    assert [one["name"] for one in server.ask("/v2/models/config/infer", asked)["outputs"]] == ["label"]
    wrong = {"inputs": [{**tensor, "shape": [3]}]}
    assert server.refused("/v2/models/config/infer", wrong) == (422, "invalid-body")
    assert server.refused("/v2/models/other/infer", {"inputs": [tensor]}) == (404, "not-found")
    assert server.ask("/v2/models/config")["inputs"][0] == {"name": "text", "datatype": "BYTES", "shape": [-1]}
    assert server.ask("/v2/health/ready")
    assert server.ask("/v2/models/config/ready")

    server = serving("ranking")
    tensors = [
        {**tensor, "name": name, "data": data} for name, data in (("query", ["tea"] * 2), ("document", TEXTS[:2]))
    ]
    (scores,) = server.ask("/v2/models/config/infer", {"inputs": tensors})["outputs"]
    assert (scores["name"], scores["datatype"], scores["shape"]) == ("score", "FP32", [2])


def test_openai_chat(serving: Any) -> None:
    openai = pytest.importorskip("openai")
    server = serving("chat")
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    (expected,) = (record["prediction"] for record in server.predicted(["Hello"]))
    messages = [{"role": "user", "content": "Hello"}]

    reply = client.chat.completions.create(model="config", messages=messages)
    assert reply.choices[0].message.content == expected
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens
    assert [model.id for model in client.models.list()] == ["config"]
    assert client.models.retrieve("config").owned_by == "finetune"
    parts = [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]
    assert client.chat.completions.create(model="config", messages=parts).choices[0].message.content == expected

    options = {"include_usage": True}
    chunks = list(
        client.chat.completions.create(model="config", messages=messages, stream=True, stream_options=options)
    )
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(pieces) == expected
    assert sum(map(bool, pieces)) > 1
    assert chunks[-1].usage == reply.usage
    short = client.chat.completions.create(model="config", messages=messages, max_completion_tokens=2)
    assert (short.usage.completion_tokens, short.choices[0].finish_reason) in [(2, "length"), (1, "stop")]
    stop = expected[3:6]
    cut = client.chat.completions.create(model="config", messages=messages, stop=stop)
    assert cut.choices[0].message.content == expected[: expected.index(stop)]
    assert cut.choices[0].finish_reason == "stop"

    tools = [{"type": "function", "function": {"name": "hours", "parameters": {}}}]
    call = {"id": "c1", "type": "function", "function": {"name": "hours", "arguments": '{"day": 1}'}}
    called = [
        *messages,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "at nine"},
    ]
    [record] = Predictor(server.run).predict_rows([{"messages": called, "tools": tools}])
    used = client.chat.completions.create(model="config", messages=called, tools=tools)
    assert used.choices[0].message.content == record["prediction"]
    read = [
        client.chat.completions.create(model="config", messages=messages, tools=tools, tool_choice=choice).usage
        for choice in ("auto", "none")
    ]
    assert read[0].prompt_tokens > read[1].prompt_tokens == reply.usage.prompt_tokens
    with pytest.raises(openai.UnprocessableEntityError, match=r"tools\[0\] has no name"):
        client.chat.completions.create(model="config", messages=called, tools=[{"type": "function", "function": {}}])

    with pytest.raises(openai.UnprocessableEntityError, match="n: is not supported"):
        client.chat.completions.create(model="config", messages=messages, n=2)
    with pytest.raises(openai.UnprocessableEntityError, match="the last one is the assistant's"):
        client.chat.completions.create(model="config", messages=[*messages, {"role": "assistant", "content": "He"}])
    hugging_face = InferenceClient(model=server.url)
    assert hugging_face.chat_completion(messages).choices[0].message.content == expected
    stream = hugging_face.chat_completion(messages, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == expected


def test_openai_completions(serving: Any) -> None:
    openai = pytest.importorskip("openai")
    server = serving("text-generation")
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    expected = [record["prediction"] for record in server.predicted(["mug", "lamp , small"])]
    reply = client.completions.create(model="config", prompt=["mug", "lamp , small"])
    assert [choice.text for choice in reply.choices] == expected
    stream = client.completions.create(model="config", prompt="mug", stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream if chunk.choices) == expected[0]


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/v1/predict", b"{", (400, "invalid-json")),
        ("/v1/predict", b"\xff\xfe", (400, "invalid-json")),
        ("/v1/predict", [], (422, "invalid-body")),
        ("/v1/predict", {"rows": "a"}, (422, "invalid-body")),
        ("/v1/predict", {"rows": [7]}, (422, "invalid-body")),
        ("/v1/predict", {"rows": []}, (400, "empty")),
        ("/v1/predict", {"rows": [{"text": 7}]}, (422, "invalid-row")),
        ("/v1/predict", {"rows": [{"test": "a"}]}, (422, "invalid-row")),
        ("/v1/predict", {"rows": [{"text": "\ud800"}]}, (422, "invalid-text")),
        ("/v1/predict", {"rows": [{"\ud800": "a"}]}, (422, "invalid-row")),
        ("/v1/predict", b'{"rows": [{"text": ' + b"[" * 500 + b"]" * 500 + b"}]}", (422, "invalid-row")),
        ("/v1/predict", {"rows": [{"text": "a"}] * 33}, (413, "too-many-inputs")),
        ("/v1/predict", {"rows": [{"text": "a" * 2_000_001}]}, (413, "payload-too-large")),
        ("/v1/predict", b"[" * 100_000, (400, "invalid-json")),
        ("/v1/rerank", {"query": "a", "documents": ["b"]}, (404, "not-found")),
        ("/", {"inputs": "a", "parameters": {"aggregation_strategy": "simple"}}, (422, "unsupported-parameter")),
        ("/health", {}, (405, "method-not-allowed")),
    ],
)
def test_a_mistake_is_a_problem_with_a_stable_code(path: str, body: Any, expected: Any, serving: Any) -> None:
    assert serving("text-classification").refused(path, body) == expected


def test_a_number_of_thousands_of_digits_is_no_failure(serving: Any) -> None:
    server, digits = serving("text-classification"), "9" * 5000
    gate = server.server.gate
    scope = {"type": "http", "path": "/", "headers": [(b"content-length", digits.encode())]}
    with pytest.raises(Problem) as caught:
        asyncio.run(gate._body(scope, None, 1.0))
    assert (caught.value.status, caught.value.code) == (413, "payload-too-large")
    named = {"Inference-Header-Content-Length": digits}
    assert server.refused("/v2/models/config/infer", {"inputs": []}, **named) == (422, "invalid-body")


def test_no_text_is_a_problem_however_the_answer_is_asked_for(serving: Any) -> None:
    for parameters in ({"stop": ["a"]}, {"details": True}, {}):
        body = {"inputs": [], "parameters": parameters, "stream": not parameters}
        assert serving("chat").refused("/", body) == (400, "empty")
    for stream in (True, False):
        asked = serving("text-generation").refused("/v1/completions", {"prompt": [], "stream": stream})
        assert asked == (400, "empty")


def test_what_fails_in_a_route_is_a_problem(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serving("text-classification")
    monkeypatch.setattr(server.server.service, "rows", lambda _: 1 / 0)
    assert server.refused("/v1/predict", {"rows": [{"text": "a"}]}) == (500, "internal-error")


def test_the_place_of_a_wrong_row_is_named(serving: Any) -> None:
    _, answer, _ = serving("text-classification").call("/v1/predict", {"rows": [{"text": "a"}, {"text": " "}]})
    assert answer["detail"] == "rows[1]: text is empty: fill it in, or take the row out"


def test_truncation_is_reported_or_refused(serving: Any) -> None:
    server, long = serving("text-classification"), "word " * 100
    _, _, headers = server.call("/predict", {"inputs": [[long], ["short"]]})
    assert headers["x-truncated-inputs"] == "1"
    assert {"x-queue-time", "x-inference-time", "x-total-time", "x-tokenization-time"} <= headers.keys()
    assert server.refused("/predict", {"inputs": long, "truncate": False}) == (422, "input-too-long")
    assert "finetune_truncated_inputs_total" in server.ask("/metrics")
    with Running(server.run, auto_truncate=False) as strict:
        assert strict.refused("/predict", {"inputs": long}) == (422, "input-too-long")
        strict.ask("/predict", {"inputs": long, "truncate": True})


def test_metrics_count_requests_and_labels(serving: Any) -> None:
    server = serving("text-classification")
    server.ask("/v1/predict", {"rows": [{"text": "a fine day"}]})
    page = server.ask("/metrics")
    label = server.predicted(["a fine day"])[0]["prediction"]
    assert f'finetune_predictions_total{{label="{label}"}}' in page
    assert 'finetune_request_total{code="200",route="/v1/predict"}' in page
    assert "finetune_batch_tokens_count" in page


def test_an_api_key_opens_the_work_and_not_the_probes(serving: Any) -> None:
    with Running(serving("text-classification").run, key="secret") as server:
        body = {"inputs": "a fine day"}
        assert server.refused("/predict", body) == (401, "unauthorized")
        assert server.refused("/predict", body, Authorization="Bearer wrong") == (401, "unauthorized")
        assert server.call("/predict", body, Authorization="Bearer secret")[0] == 200
        assert server.refused("/info", None) == (401, "unauthorized")
        for path in ("/health", "/ready", "/metrics", "/v2/health/live", "/ui"):
            assert server.call(path)[0] == 200
        client = InferenceClient(model=server.url, token="secret")
        assert client.text_classification("a fine day")


def test_openapi_has_examples_that_work(serving: Any) -> None:
    for task in TASKS:
        server = serving(task)
        paths = server.ask("/openapi.json")["paths"]
        assert "/v1/predict" in paths
        for path, operations in paths.items():
            body = operations.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json", {})
            if "example" in body:
                server.ask(path.replace("{name}", "config"), body["example"])
        rows = server.ask("/openapi.json")["components"]["schemas"]["Rows"]["properties"]["rows"]["examples"][0]
        assert len(server.ask("/v1/predict", {"rows": rows})["predictions"]) == len(rows)


def withheld(server: Running) -> float:
    """The counter among the metrics."""
    lines = server.ask("/metrics").splitlines()
    return float(next(line for line in lines if line.startswith("finetune_withheld_predictions_total")).split()[1])


def test_what_is_withheld_below_the_least_confidence(serving: Any) -> None:
    run = serving("text-classification").run
    with Running(run, min_confidence=1.0) as server:
        (record,) = server.ask("/v1/predict", {"rows": [{"text": "a fine day"}]})["predictions"]
        assert record["prediction"] is None
        assert record["probabilities"] == server.predicted(["a fine day"])[0]["probabilities"]
        assert withheld(server) == 1
        answers = server.ask("/v1/predict", {"rows": [{"text": "a fine day"}], "min_confidence": 0})["predictions"]
        assert answers[0]["prediction"] in ("good", "bad"), "that of the request comes first"
        assert withheld(server) == 1
        assert server.refused("/v1/predict", {"rows": [{"text": "a"}], "min_confidence": 2})[0] == 422
    with Running(serving("token-classification").run, min_confidence=1.0) as server:
        assert server.ask("/v1/predict", {"rows": [{"text": "Ada Byron"}]})["predictions"] == [{"prediction": []}]
    with Running(serving("multi-label-classification").run, min_confidence=1.0) as server:
        assert server.ask("/v1/predict", {"rows": [{"text": "a"}]})["predictions"][0]["prediction"] == []
