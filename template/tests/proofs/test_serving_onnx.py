"""`finetune serve --onnx`: the ONNX export of a run answers as the run does."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytest.importorskip("uvicorn")

from conftest import Project, needs
from test_serving import Running, assert_close

from finetune.cli import main
from finetune.run.folder import RunFolder

pytestmark = needs("export")
RUN, TEXT = "runs/config", "a fine day in Turin"


@pytest.mark.parametrize("task", ["text-classification", "regression", "token-classification"])
def test_an_export_answers_as_its_run(task: str, finished: Any) -> None:
    finished(task)
    assert main(["export", RUN, "onnx", "--format", "onnx"]) == 0
    with Running(RunFolder(Path(RUN)), onnx=Path("onnx")) as server:
        answer = server.ask("/v1/predict", {"rows": [{"text": TEXT}]})["predictions"]
        assert "OnnxModel" in type(server.server.engine.model._model).__name__
        assert_close(answer, [{name: one[name] for name in answer[0]} for one in server.predicted([TEXT])])


TEXTS = ["something with horses", "tea", "a quiet house at the beach with a room"]


def test_an_export_gives_the_vectors_of_its_run(finished: Any) -> None:
    finished("retrieval")
    assert main(["export", RUN, "onnx", "--format", "onnx"]) == 0
    bodies = [{"inputs": TEXTS, "prompt_name": role} for role in ("query", "document")]
    with Running(RunFolder(Path(RUN)), onnx=Path("onnx")) as server:
        found = [server.ask("/embed", body) for body in bodies]
        assert "OnnxModel" in type(server.server.engine.model._model).__name__
    with Running(RunFolder(Path(RUN))) as server:
        assert_close(found, [server.ask("/embed", body) for body in bodies])


def test_texts_without_a_role_are_those_of_sentence_transformers(project: Project) -> None:
    """An export has the vectors of the server in Text Embeddings Inference, too, which reads the same files."""
    transformers = pytest.importorskip("sentence_transformers")
    project.train(project.config("retrieval"), "task.prefixes={query: 'query : ', document: 'passage : '}")
    assert main(["export", RUN, "model"]) == 0
    model = transformers.SentenceTransformer("model", device="cpu")
    with Running(RunFolder(Path(RUN))) as server:
        for role in (None, "query", "document"):
            expected = model.encode(TEXTS, prompt_name=role)
            found = server.ask("/embed", {"inputs": TEXTS, "prompt_name": role})
            assert abs(expected - found).max() < 1e-6
            assert role == "query" or abs(model.encode(TEXTS, prompt_name="query") - found).max() > 1e-3


@needs("explain")
def test_an_export_is_explained_without_gradients(finished: Any) -> None:
    finished("text-classification")
    assert main(["export", RUN, "onnx", "--format", "onnx"]) == 0
    body = {"rows": [{"text": TEXT}]}
    with Running(RunFolder(Path(RUN)), onnx=Path("onnx")) as server:
        [answer] = server.ask("/v1/explain", {**body, "method": "occlusion"})["explanations"]
        assert server.refused("/v1/explain", body) == (422, "invalid-row")
    with Running(RunFolder(Path(RUN))) as server:
        [expected] = server.ask("/v1/explain", {**body, "method": "occlusion"})["explanations"]
    assert_close(answer, expected)


def test_the_export_of_another_run_is_refused(finished: Any) -> None:
    finished("text-classification")
    assert main(["export", RUN, "onnx", "--format", "onnx"]) == 0
    state = Path("onnx/finetune.json")
    state.write_text(state.read_text().replace('"good"', '"fine"'))
    server = Running(RunFolder(Path(RUN)), onnx=Path("onnx"))
    with pytest.raises(Exception, match="is the export of another run"):
        server.server.run([server.socket])
