"""`finetune serve` of a retrieval run: vectors by each convention, called by its own client or by recorded bodies."""

import base64
import contextlib
import json
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from conftest import Project, filled, needs
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from test_serving import Running, _hub_client_may_call, assert_close, serving
from test_serving_clients import COUNT, NUMBER, TEI, TEXT, a_list, an_object, fits

from finetune.embedding import embed
from finetune.run.folder import RunFolder
from finetune.run.saved_model import load_saved_model
from finetune.serving import model as served_model

__all__ = ["_hub_client_may_call", "serving"]
TEXTS = ["something with horses", "tea", "a quiet house at the beach with a room , and with a view of the sea"]
# OpenAI, openapi.yaml: CreateEmbeddingResponse.
OPENAI = an_object(
    {
        "object": {"const": "list"},
        "data": a_list(an_object({"object": {"const": "embedding"}, "index": COUNT, "embedding": a_list(NUMBER)})),
        "model": TEXT,
        "usage": an_object({"prompt_tokens": COUNT, "total_tokens": COUNT}),
    }
)
# Text Embeddings Inference 1.9, docs/openapi.json: EmbedResponse and SimilarityResponse.
VECTORS = a_list(a_list(NUMBER))


def vectors_of(server: Running, texts: list[str], role: Any) -> list[list[float]]:
    """What `finetune.embedding.embed` gives, in one batch."""
    saved = load_saved_model(server.run.model, server.run.config().train)
    vectors: list[list[float]] = embed(saved, texts, role, precision="fp32", budget=100_000).tolist()
    return vectors


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All texts of a request in one batch, as there."""
    monkeypatch.setattr(served_model, "FREE_ON_CPU", 10_000)


@pytest.fixture(scope="module")
def with_prefixes(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server of a run whose queries and documents have prefixes."""
    project: Project = filled(tmp_path_factory.mktemp("prefixes"))
    with contextlib.chdir(project.folder):
        project.train(
            project.config("retrieval"), "task.prefixes={query: 'query : ', document: 'passage : '}", "train.epochs=1"
        )
    with Running(RunFolder(project.folder / "runs" / "config")) as server:
        yield server


@pytest.mark.usefixtures("at_once")
def test_vectors_are_those_of_embed_to_the_bit(serving: Any) -> None:
    server = serving("retrieval")
    for role in ("query", "document"):
        expected = vectors_of(server, TEXTS, role)
        assert server.ask("/embed", {"inputs": TEXTS, "prompt_name": role}) == expected
        reply = server.ask("/v1/embeddings", {"input": TEXTS, "input_type": role})
        assert [one["embedding"] for one in reply["data"]] == expected
        answer = server.ask("/v1/predict", {"rows": [{role: text} for text in TEXTS]})
        assert [one["embedding"] for one in answer["predictions"]] == expected
    assert np.linalg.norm(expected, axis=1) == pytest.approx(1, abs=1e-6)


def test_a_text_alone_has_the_same_vector_but_for_rounding(serving: Any) -> None:
    server = serving("retrieval")
    expected = vectors_of(server, TEXTS, "query")
    for text, vector in zip(TEXTS, expected, strict=True):
        assert np.allclose(server.ask("/embed", {"inputs": text}), [vector], atol=1e-6, rtol=0)


@pytest.mark.usefixtures("at_once")
def test_prefixes_are_those_of_the_role(with_prefixes: Running) -> None:
    """A text without a role has none, as in Text Embeddings Inference."""
    server = with_prefixes
    queries, documents = (vectors_of(server, TEXTS, role) for role in ("query", "document"))
    plain = vectors_of_texts_without_prefix(server)
    assert not np.allclose(queries, documents, atol=1e-3)
    assert not np.allclose(queries, plain, atol=1e-3)
    for name, role, expected in (
        ("prompt_name", "query", queries),
        ("prompt_name", "document", documents),
        ("", "", plain),
    ):
        body = {name: role} if name else {}
        assert server.ask("/embed", {"inputs": TEXTS, **body}) == expected
        assert server.ask("/", {"inputs": TEXTS, **body}) == expected
    for name, expected in (
        *dict.fromkeys(("query", "search_query"), queries).items(),
        *dict.fromkeys(("document", "search_document", "passage"), documents).items(),
    ):
        data = server.ask("/v1/embeddings", {"input": TEXTS, "input_type": name})["data"]
        assert [one["embedding"] for one in data] == expected
    rows = [{"query": TEXTS[0]}, {"document": TEXTS[1]}, {"query": TEXTS[2], "document": "not read"}]
    answer = [one["embedding"] for one in server.ask("/v1/predict", {"rows": rows})["predictions"]]
    assert np.allclose(answer, [queries[0], documents[1], queries[2]], atol=1e-6)
    similarities = server.ask("/similarity", {"inputs": {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}})
    assert similarities == pytest.approx((np.array(documents[1:]) @ queries[0]).tolist(), abs=1e-6)
    body = {"inputs": {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}, "parameters": {"prompt_name": "document"}}
    expected = (np.array(documents[1:]) @ documents[0]).tolist()
    assert server.ask("/similarity", body) == pytest.approx(expected, abs=1e-6)


def vectors_of_texts_without_prefix(server: Running) -> list[list[float]]:
    """Those of a model whose prefixes are empty."""
    saved = load_saved_model(server.run.model, server.run.config().train)
    settings: Any = saved.task.settings
    saved.task.settings = settings.model_copy(update={"prefixes": type(settings.prefixes)()})
    vectors: list[list[float]] = embed(saved, TEXTS, "query", precision="fp32", budget=100_000).tolist()
    return vectors


def test_text_embeddings_inference_by_its_schema(serving: Any) -> None:
    server = serving("retrieval")
    info = fits(server.ask("/info"), TEI["info"])
    assert info["model_type"] == {"embedding": {"pooling": "mean"}}
    assert len(fits(server.ask("/embed", {"inputs": TEXTS, "normalize": True, "truncate": True}), VECTORS)) == 3
    single = fits(server.ask("/embed", {"inputs": TEXTS[0], "truncation_direction": "Right"}), VECTORS)
    assert server.ask("/invocations", {"inputs": TEXTS[0]}) == single
    fits(server.call("/embed", {"inputs": []})[1], TEI["error"])
    long = "word " * 100
    _, _, headers = server.call("/embed", {"inputs": [long, "short"]})
    assert headers["x-truncated-inputs"] == "1"
    assert server.refused("/embed", {"inputs": long, "truncate": False}) == (422, "input-too-long")


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/embed", {"inputs": TEXTS, "normalize": False}, "unsupported-parameter"),
        ("/embed", {"inputs": TEXTS, "truncation_direction": "Left"}, "unsupported-parameter"),
        ("/embed", {"inputs": TEXTS, "dimensions": 3}, "unsupported-parameter"),
        ("/embed", {"inputs": [[1, 2]]}, "unsupported-parameter"),
        ("/embed", {"inputs": TEXTS, "prompt_name": "title"}, "invalid-body"),
        ("/embed", {"inputs": [" "]}, "invalid-row"),
        ("/embed", {"inputs": ["\ud800"]}, "invalid-text"),
        ("/embed", {"inputs": {"text": "a"}}, "invalid-body"),
        ("/", {"inputs": TEXTS, "encoding_format": "base64"}, "unsupported-parameter"),
        ("/", {"inputs": TEXTS, "top_k": 3}, "invalid-body"),
        ("/similarity", {"inputs": {"source_sentence": "a", "sentences": [""]}}, "invalid-row"),
        ("/similarity", {"inputs": "a"}, "invalid-body"),
        ("/v1/embeddings", {"input": [1, 2]}, "unsupported-parameter"),
        ("/v1/embeddings", {"input": "a", "dimensions": 3}, "unsupported-parameter"),
        ("/v1/embeddings", {"input": "a", "input_type": "title"}, "invalid-body"),
        ("/v1/embeddings", {"input": "a", "input_type": "passage", "prompt_name": "query"}, "unsupported-parameter"),
        ("/v1/embeddings", {"input": "a", "task": "query"}, "unsupported-parameter"),
        ("/v1/predict", {"rows": [{"query": " "}]}, "invalid-row"),
        ("/v1/predict", {"rows": [{"negatives": ["a"]}]}, "invalid-row"),
        ("/v1/explain", {"rows": [{"query": "a"}]}, "invalid-row"),
    ],
)
def test_what_the_model_cannot_follow_is_refused(path: str, body: Any, code: str, serving: Any) -> None:
    if path == "/v1/explain":
        pytest.importorskip("finetune.explain")
    assert serving("retrieval").refused(path, body) == (422, code)


def test_no_text_and_too_many(serving: Any) -> None:
    server = serving("retrieval")
    for path, name in (("/embed", "inputs"), ("/v1/embeddings", "input"), ("/v1/predict", "rows")):
        assert server.refused(path, {name: []}) == (400, "empty")
        many: list[Any] = [{"query": "a"}] * 33 if name == "rows" else ["a"] * 33
        assert server.refused(path, {name: many}) == (413, "too-many-inputs")


def test_hugging_face(serving: Any) -> None:
    server = serving("retrieval")
    client = InferenceClient(model=server.url)
    found = client.feature_extraction(TEXTS[0])
    assert found.dtype == np.float32
    assert found.tolist() == server.ask("/embed", {"inputs": TEXTS[0]})
    several = client.feature_extraction(TEXTS, prompt_name="query", normalize=True, truncate=True)
    assert np.allclose(several, vectors_of(server, TEXTS, "query"), atol=1e-6)
    with pytest.raises(HfHubHTTPError, match="normalize"):
        client.feature_extraction(TEXTS, normalize=False)
    similarities = client.sentence_similarity(TEXTS[0], other_sentences=TEXTS[1:])
    assert similarities == server.ask("/similarity", {"inputs": {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}})
    others = vectors_of(server, TEXTS[1:], "document")
    expected = np.array(others) @ vectors_of(server, TEXTS[:1], "query")[0]
    assert similarities == pytest.approx(expected.tolist(), abs=1e-6)


def test_openai_by_recorded_bodies(serving: Any) -> None:
    """What its client sends, in float and in base64, which is the client's own default."""
    server = serving("retrieval")
    reply = fits(server.ask("/v1/embeddings", {"model": "config", "input": TEXTS, "encoding_format": "float"}), OPENAI)
    assert [one["index"] for one in reply["data"]] == [0, 1, 2]
    assert reply["model"] == "config"
    assert reply["usage"]["prompt_tokens"] == reply["usage"]["total_tokens"] > 3
    width = len(reply["data"][0]["embedding"])
    packed = server.ask(
        "/v1/embeddings", {"input": TEXTS, "encoding_format": "base64", "dimensions": width, "user": "u"}
    )
    for one, other in zip(packed["data"], reply["data"], strict=True):
        assert np.frombuffer(base64.b64decode(one["embedding"]), "<f4").tolist() == other["embedding"]
    _, problem, _ = server.call("/v1/embeddings", {"input": TEXTS, "dimensions": 3})
    assert f"have {width}" in problem["error"]["message"]
    assert [one["id"] for one in server.ask("/v1/models")["data"]] == ["config"]


def test_openai(serving: Any) -> None:
    openai = pytest.importorskip("openai")
    server = serving("retrieval")
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    expected = server.ask("/v1/embeddings", {"input": TEXTS})
    for options in ({}, {"encoding_format": "float"}, {"extra_body": {"input_type": "search_query"}}):
        reply = client.embeddings.create(model="config", input=TEXTS, **options)
        assert_close([one.embedding for one in reply.data], [one["embedding"] for one in expected["data"]])
        assert reply.usage.total_tokens == expected["usage"]["total_tokens"]
    with pytest.raises(openai.UnprocessableEntityError, match="token ids"):
        client.embeddings.create(model="config", input=[1, 2, 3])
    assert client.models.retrieve("config").owned_by == "finetune"


def test_rows_by_the_names_of_the_data_files(project: Project) -> None:
    rows = [{"question": "tea", "answer": "green tea"}, {"question": "horses", "answer": "a farm with horses"}]
    project.write("renamed.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    data = {"train": "renamed.jsonl", "validation": "renamed.jsonl", "test": "renamed.jsonl"}
    columns = {"query": "question", "document": "answer"}
    project.train(project.config("retrieval", train={"max_steps": 1}, data={**data, "columns": columns}))
    with Running(RunFolder(project.folder / "runs" / "config")) as server:
        asked = [{"question": "tea"}, {"answer": "tea"}, {"question": "tea", "answer": "x"}, {"query": "tea"}]
        *found, _ = (server.call("/v1/predict", {"rows": [row]}) for row in asked)
        assert [status for status, *_ in found] == [200] * 3
        assert server.refused("/v1/predict", {"rows": [asked[3]]}) == (422, "invalid-row")


@needs("explain")
def test_a_similarity_is_explained(serving: Any) -> None:
    from finetune.explain.explain import RunExplainer
    from finetune.explain.targets import Choice

    server, row = serving("retrieval"), {"query": "something with horses", "document": "a farm with horses"}
    [answer] = server.ask("/v1/explain", {"rows": [row], "method": "both"})["explanations"]
    explainer = RunExplainer(server.run, Choice())
    [expected] = explainer.explain_texts([row["query"]], row["document"], ["gradients", "occlusion"])
    assert_close(answer, expected)
    assert {word["part"] for word in answer["targets"][0]["words"]} == {"query", "document"}
