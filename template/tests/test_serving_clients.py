"""`finetune serve` and the clients of other servers: themselves, or by the published schemas."""

from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from test_serving import TEXTS, serving

__all__ = ["serving"]
QUERY, DOCUMENTS = "something with horses", ["a bar", "a farm with horses and more", "riding"]


def an_object(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """The schema of an object."""
    return {"type": "object", "required": [*required], "properties": {**required, **optional}}


def a_list(items: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The schema of a list."""
    return {"type": "array", "items": items, **more}


TEXT: dict[str, Any] = {"type": "string"}
NUMBER: dict[str, Any] = {"type": "number"}
COUNT = {"type": "integer", "minimum": 0}
FLAG: dict[str, Any] = {"type": "boolean"}
EITHER_CASE = {"enum": ["Left", "Right"]}

# Text Embeddings Inference 1.9, docs/openapi.json: the parts of the paths that are answered here.
LABELS = a_list(an_object({"score": NUMBER, "label": TEXT}))
CLASSIFIER = an_object(
    {
        "id2label": {"type": "object", "additionalProperties": TEXT},
        "label2id": {"type": "object", "additionalProperties": COUNT},
    }
)
TEI = {
    "predictions": {"oneOf": [LABELS, a_list(LABELS)]},
    "ranks": a_list(an_object({"index": COUNT, "score": NUMBER}, text={"type": ["string", "null"]})),
    "error": an_object(
        {
            "error": TEXT,
            "error_type": {"enum": ["Unhealthy", "Backend", "Overloaded", "Validation", "Tokenizer", "Empty"]},
        }
    ),
    "info": an_object(
        {
            **dict.fromkeys(("model_id", "served_model_name", "model_dtype", "version"), TEXT),
            **dict.fromkeys(("max_concurrent_requests", "max_input_length", "max_batch_tokens"), COUNT),
            **dict.fromkeys(("max_client_batch_size", "tokenization_workers"), COUNT),
            "auto_truncate": FLAG,
            "model_type": {
                "oneOf": [
                    an_object({"classifier": CLASSIFIER}),
                    an_object({"reranker": CLASSIFIER}),
                    an_object({"embedding": an_object({"pooling": {"enum": ["cls", "mean", "last_token"]}})}),
                ]
            },
        },
        max_batch_requests={"type": ["integer", "null"]},
        model_sha={"type": ["string", "null"]},
    ),
}
# Open Inference Protocol 2.0, open_inference_rest.yaml.
TENSOR = {"name": TEXT, "shape": a_list({"type": "integer"}), "datatype": {"enum": ["BYTES", "FP32"]}}
OIP = {
    "server": an_object({"name": TEXT, "version": TEXT, "extensions": a_list(TEXT)}),
    "model": an_object(
        {"name": TEXT, "platform": TEXT, "inputs": a_list(an_object(TENSOR)), "outputs": a_list(an_object(TENSOR))},
        versions=a_list(TEXT),
    ),
    "live": an_object({"live": FLAG}),
    "ready": an_object({"ready": FLAG}),
    "model ready": an_object({"name": TEXT, "ready": FLAG}),
    "answer": an_object(
        {"model_name": TEXT, "outputs": a_list(an_object({**TENSOR, "data": {"type": "array"}}))},
        model_version=TEXT,
        id=TEXT,
    ),
    "error": an_object({"error": TEXT}),
}
# Jina's reranker, api.jina.ai/openapi.json: what /v1/rerank answers.
JINA = an_object(
    {
        "model": TEXT,
        "usage": an_object({"total_tokens": COUNT}),
        "results": a_list(
            an_object({"index": COUNT, "relevance_score": NUMBER}, document=an_object({"text": TEXT})), minItems=1
        ),
    },
    object=TEXT,
)


def fits(answer: Any, schema: dict[str, Any]) -> Any:
    """The answer, if it has the schema."""
    pytest.importorskip("jsonschema").validate(answer, schema)
    return answer


def test_text_embeddings_inference_by_its_schema(serving: Any) -> None:
    for task in ("text-classification", "multi-label-classification", "regression", "ranking"):
        server = serving(task)
        fits(server.ask("/info"), TEI["info"])
        inputs: list[Any] = [[QUERY, text] for text in DOCUMENTS] if task == "ranking" else [[text] for text in TEXTS]
        single = inputs[0] if task == "ranking" else TEXTS[0]
        batch = fits(server.ask("/predict", {"inputs": inputs, "truncate": True}), TEI["predictions"])
        assert [len(one) for one in batch] == [len(fits(server.ask("/predict", {"inputs": single}), LABELS))] * 3
    body = {"query": QUERY, "texts": DOCUMENTS, "truncation_direction": "Right", "return_text": True}
    assert len(fits(server.ask("/rerank", body), TEI["ranks"])) == 3
    for path, wrong, kind in (
        ("/rerank", {"query": QUERY, "texts": []}, "Empty"),
        ("/rerank", {"query": QUERY}, "Validation"),
        ("/rerank", {"query": QUERY, "texts": ["a"] * 33}, "Validation"),
        ("/predict", {"inputs": "a"}, "Validation"),
    ):
        _, answer, _ = server.call(path, wrong)
        assert fits(answer, TEI["error"])["error_type"] == kind


def test_cohere(serving: Any) -> None:
    cohere = pytest.importorskip("cohere")
    server = serving("ranking")
    expected = server.ask("/rerank", {"query": QUERY, "texts": DOCUMENTS})

    client = cohere.ClientV2(api_key="none", base_url=server.url)
    found = client.rerank(model="config", query=QUERY, documents=DOCUMENTS, top_n=2)
    assert [(one.index, one.relevance_score) for one in found.results] == [
        (one["index"], one["score"]) for one in expected[:2]
    ]
    old = cohere.Client(api_key="none", base_url=server.url)
    found = old.rerank(query=QUERY, documents=[{"text": text} for text in DOCUMENTS], return_documents=True)
    assert [one.document.text for one in found.results] == [DOCUMENTS[one["index"]] for one in expected]
    with pytest.raises(cohere.UnprocessableEntityError, match="max_tokens_per_doc"):
        client.rerank(model="config", query=QUERY, documents=DOCUMENTS, max_tokens_per_doc=9)


def test_jina_by_its_schema(serving: Any) -> None:
    body = {"model": "jina-reranker-v2-base-multilingual", "query": QUERY, "documents": DOCUMENTS, "top_n": 2}
    server = serving("ranking")
    answer = fits(server.ask("/v1/rerank", body), JINA)
    assert [one["document"]["text"] for one in answer["results"]] == [
        DOCUMENTS[one["index"]] for one in answer["results"]
    ]
    answer = fits(server.ask("/v1/rerank", {**body, "return_documents": False}), JINA)
    assert "document" not in answer["results"][0]


def test_open_inference_protocol_by_its_schema(serving: Any) -> None:
    for task, columns in (("text-classification", ["text"]), ("ranking", ["query", "document"])):
        server = serving(task)
        for path, kind in (("/v2", "server"), ("/v2/models/config", "model"), ("/v2/health/live", "live"),
                           ("/v2/health/ready", "ready"), ("/v2/models/config/ready", "model ready")):  # fmt: skip
            fits(server.ask(path), OIP[kind])
        inputs = [{"name": name, "shape": [2], "datatype": "BYTES", "data": TEXTS[:2]} for name in columns]
        fits(server.ask("/v2/models/config/infer", {"id": "1", "inputs": inputs}), OIP["answer"])
        fits(server.call("/v2/models/config/infer", {"inputs": []})[1], OIP["error"])
        fits(server.call("/v2/models/other", None)[1], OIP["error"])


@pytest.mark.parametrize("binary", [True, False])
def test_triton(binary: bool, serving: Any) -> None:
    triton = pytest.importorskip("tritonclient.http")
    import numpy as np

    server = serving("text-classification")
    client = triton.InferenceServerClient(f"127.0.0.1:{server.port}")
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("config")
    assert client.get_model_metadata("config")["inputs"][0] == {"name": "text", "datatype": "BYTES", "shape": [-1]}
    texts = ["a fine day", "", "日本 \U0001f600"]
    tensor = triton.InferInput("text", [3], "BYTES")
    tensor.set_data_from_numpy(np.array(texts, dtype=object), binary_data=binary)
    with pytest.raises(Exception, match="empty"):
        client.infer("config", [tensor])
    texts[1] = "dark"
    tensor.set_data_from_numpy(np.array(texts, dtype=object), binary_data=binary)
    answer = client.infer("config", [tensor], request_id="7")
    expected = server.predicted(texts)
    assert answer.get_response()["id"] == "7"
    assert answer.as_numpy("label").tolist() == [one["prediction"] for one in expected]
    assert answer.as_numpy("score").tolist() == pytest.approx([one["probability"] for one in expected], abs=1e-5)
    assert answer.as_numpy("probabilities").shape == (3, 2)
    client.close()


@pytest.mark.parametrize(
    ("head", "tail"),
    [
        (b'{"inputs": [', b""),
        (b'{"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 6}}]}',
         b"\x09\x00\x00\x00ab"),
        (b'{"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 5}}]}',
         b"\x01\x00\x00\x00\xff"),
        (b'{"inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": 5}}]}',
         b"\x01\x00\x00\x00a"),
        *((b'{"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": %s}}]}'
           % size, b"\x01\x00\x00\x00a") for size in (b"-1", b"6", b"true", b'"5"', b"9" * 300)),
    ],
)  # fmt: skip
def test_wrong_binary_tensors_are_refused(head: bytes, tail: bytes, serving: Any) -> None:
    named = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
    status, code = serving("text-classification").refused("/v2/models/config/infer", head + tail, **named)
    assert (status, code) in ((400, "invalid-json"), (422, "invalid-body"))


SAMPLED = {"temperature": 1.5, "max_tokens": 12}


def test_a_seed_repeats_a_sample_and_its_absence_does_not(serving: Any) -> None:
    openai = pytest.importorskip("openai")
    server = serving("chat")
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    messages = [{"role": "user", "content": "Hello"}]

    def said(**options: Any) -> str:
        reply = client.chat.completions.create(model="config", messages=messages, **SAMPLED, **options)
        return str(reply.choices[0].message.content)

    assert said(seed=1) == said(seed=1)
    assert len({said(seed=number) for number in range(4)}) > 1
    assert len({said() for _ in range(4)}) > 1
    stream = client.chat.completions.create(model="config", messages=messages, seed=1, stream=True, **SAMPLED)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == said(seed=1)
    greedy = [client.chat.completions.create(model="config", messages=messages, seed=n, temperature=0) for n in (1, 2)]
    assert greedy[0].choices[0].message.content == greedy[1].choices[0].message.content
    cut = client.chat.completions.create(model="config", messages=messages, temperature=1.5, top_p=1e-6, seed=3)
    assert cut.choices[0].message.content == greedy[0].choices[0].message.content  # the likeliest token is left


def test_a_seed_of_hugging_face_and_details(serving: Any) -> None:
    server, text = serving("text-generation"), "the red house"

    def generated(**parameters: Any) -> Any:
        return server.ask("/", {"inputs": text, "parameters": {"max_new_tokens": 12, **parameters}})[0]

    sampled = {"do_sample": True, "temperature": 1.5}
    assert generated(**sampled, seed=1) == generated(**sampled, seed=1)
    assert len({generated(**sampled, seed=number)["generated_text"] for number in range(4)}) > 1
    body = {
        "inputs": text,
        "parameters": {"generate_parameters": {"temperature": 1.5, "seed": 1, "max_new_tokens": 12}},
    }
    assert server.ask("/", body) == [generated(**sampled, seed=1)]
    details = generated(details=True)["details"]
    assert (details["generated_tokens"], details["finish_reason"]) in [
        (12, "length"),
        *((n, "eos_token") for n in range(13)),
    ]


@pytest.mark.parametrize(
    ("path", "member"),
    [
        ("/v1/completions", {"logprobs": 0}),
        ("/v1/completions", {"suffix": "the end"}),
        ("/v1/completions", {"n": 2}),
        ("/v1/completions", {"echo": True}),
        ("/v1/completions", {"top_p": 0.5}),  # at temperature 0 nothing is sampled
        ("/v1/completions", {"frequency_penalty": 0.5}),
        ("/", {"parameters": {"top_p": 0.5}}),
        ("/", {"parameters": {"clean_up_tokenization_spaces": True}}),
        ("/", {"parameters": {"repetition_penalty": 1.2}}),
    ],
)
def test_a_parameter_that_would_be_ignored_is_refused(path: str, member: dict[str, Any], serving: Any) -> None:
    body = {"inputs" if path == "/" else "prompt": "a mug", **member}
    assert serving("text-generation").refused(path, body) == (422, "unsupported-parameter")


def test_neutral_parameters_are_accepted(serving: Any) -> None:
    server, body = serving("text-generation"), {"prompt": "a mug", "max_tokens": 4}
    plain = server.ask("/v1/completions", body)["choices"]
    neutral = {
        "n": 1,
        "logprobs": None,
        "echo": False,
        "frequency_penalty": 0.0,
        "top_p": 1,
        "temperature": 0,
        "seed": 5,
    }
    assert server.ask("/v1/completions", {**body, **neutral})["choices"] == plain
    assert server.ask("/v1/completions", {**body, "temperature": 0, "top_p": 0.5})["choices"] == plain
