"""The export of a bi-encoder: sentence-transformers and onnxruntime compute the vectors that `finetune` does."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Project, weights_that_matter

from finetune.cli import main
from finetune.embedding import embed
from finetune.export import onnx as export_onnx
from finetune.run.saved_model import load_saved_model

TEXTS = ["a", "tea , green tea", "a quiet house at the beach with a room by the sea " * 9, "Turin", ""]
"""Of uneven lengths: one is truncated, one has no words."""
MISSING = [name for name in export_onnx.PACKAGES if importlib.util.find_spec(name) is None]
PREFIXES = "task.prefixes={query: 'query: ', document: 'passage: '}"


def trained(project: Project, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> Any:
    weights_that_matter(monkeypatch)
    project.train(project.config("retrieval", train={"max_steps": 2, "device": "cpu"}), *overrides)
    return load_saved_model(Path("runs/config/best"))


@pytest.mark.parametrize(
    ("model", "pooling", "method"),
    [
        ("tiny:bert", "mean", "full"),
        ("tiny:bert", "cls", "lora"),
        ("tiny:gpt2", "last", "full"),
        ("tiny:gpt2", "mean", "ia3"),
    ],
)
@pytest.mark.parametrize("role", ["query", "document"])
def test_sentence_transformers_has_the_same_vectors(
    project: Project, monkeypatch: pytest.MonkeyPatch, model: str, pooling: str, method: str, role: Any
) -> None:
    package = pytest.importorskip("sentence_transformers")
    chosen = [f"model.name={model}", "model.max_length=16", f"task.pooling={pooling}", f"method.type={method}"]
    saved = trained(project, monkeypatch, *chosen, PREFIXES)
    assert main(["export", "latest", "new"]) == 0
    theirs = package.SentenceTransformer("new", device="cpu")
    expected = theirs.encode(TEXTS, prompt_name=role)
    found = embed(saved, TEXTS, role, precision="fp32", budget=40)
    rounding = 1e-6 if method == "full" else 5e-6  # merging an adapter rounds weights in fp32
    np.testing.assert_allclose(found, expected, rtol=0, atol=rounding)
    assert np.abs(expected[0] - expected[1]).max() > 0.01
    assert theirs.similarity_fn_name == "cosine"
    assert theirs.max_seq_length == 16


@pytest.mark.skipif(bool(MISSING), reason=f"pip install {' '.join(MISSING)}, which are optional")
@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_onnxruntime_has_the_same_vectors(project: Project, monkeypatch: pytest.MonkeyPatch, pooling: str) -> None:
    saved = trained(project, monkeypatch, f"task.pooling={pooling}")
    assert main(["export", "latest", "new", "--format", "onnx"]) == 0
    exported = export_onnx.load_exported(Path("new"), saved.model.config)
    found = embed(saved, TEXTS, "query", precision="fp32", budget=40)
    saved.model = exported
    np.testing.assert_allclose(embed(saved, TEXTS, "query", precision="fp32", budget=40), found, rtol=0, atol=1e-5)
    known = json.loads(Path("new/finetune.json").read_text())
    assert known["task"]["pooling"] == pooling
