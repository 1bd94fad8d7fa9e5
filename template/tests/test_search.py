"""The index of a corpus: exact search, what is embedded again, kills, damage. The encoder is a stand-in."""

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Project
from filelock import FileLock

from finetune.config.config import Data
from finetune.errors import UserError
from finetune.files import write_manifest
from finetune.run.folder import RunFolder
from finetune.search import index as indexing
from finetune.search import top as exact
from finetune.search.index import Change, Index, index_name, open_index
from finetune.search.top import top_rows

TEXTS = ["green tea", "a red house", "parcels and letters", "how to return a coat", "opening hours"]
WIDTH = 8


class Encoder:
    """A vector for each text, from its characters; it notes what it embeds."""

    def __init__(self, run: RunFolder, fingerprint: str = "a model") -> None:
        self.run, self.fingerprint = run, fingerprint
        settings: Any = SimpleNamespace(model_dump=lambda: {"type": "retrieval"})
        model = SimpleNamespace(max_length=32)
        self.config = SimpleNamespace(data=Data(train="x.jsonl"), task=settings, model=model)
        self.embedded: list[str] = []
        self.fail_at = ""

    def embed(self, texts: Sequence[str], role: str) -> Any:
        if self.fail_at in texts:
            raise KeyboardInterrupt
        self.embedded += texts
        return np.stack([vector(text) for text in texts])


def vector(text: str) -> Any:
    found = np.random.default_rng([*text.encode()]).standard_normal(WIDTH)
    return (found / np.linalg.norm(found)).astype(np.float32)


@pytest.fixture
def run(project: Project) -> RunFolder:
    Path("runs/r").mkdir(parents=True)
    return RunFolder(Path("runs/r"))


def write(texts: Sequence[str], name: str = "corpus.jsonl", **columns: Any) -> Path:
    rows = [{"document": text, "id": number, **columns} for number, text in enumerate(texts)]
    Path(name).write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    return Path(name)


def opened(encoder: Any, corpus: Path = Path("corpus.jsonl")) -> tuple[Index, Change, list[str]]:
    said: list[str] = []
    return *open_index(corpus, encoder, said.append), said


# ------------------------------------------------------------------------------------------------------- exact search


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("top", [1, 5, 99, 100, 1000])
def test_the_nearest_rows_are_those_of_all_products_in_fp64(
    top: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks of uneven sizes, of rows, scores and queries."""
    for name, size in (("BLOCK", 7), ("SCORES", 31), ("QUERIES", 3)):
        monkeypatch.setattr(exact, name, size)
    random = np.random.default_rng(0)
    matrix = torch.from_numpy(random.standard_normal((100, 13))).to(dtype)
    queries = random.standard_normal((8, 13)).astype(np.float32)
    scores, rows = top_rows(matrix, queries, top)
    every = queries.astype(np.float64) @ matrix.double().numpy().T
    wanted = np.argsort(-every, axis=1)[:, :top]
    assert rows.tolist() == wanted.tolist()
    assert np.abs(scores - np.take_along_axis(every, wanted, 1)).max() < 1e-5


def test_of_equal_products_the_lower_row_is_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "BLOCK", 4)
    monkeypatch.setattr(exact, "SCORES", 8)
    matrix = torch.tensor([[0.5], [1.0], [0.5]] * 10)
    _, rows = top_rows(matrix, np.ones((1, 1), np.float32), 14)
    ones, halves = [*range(1, 30, 3)], [0, 2, 3, 5]
    assert rows.tolist() == [[*ones, *halves]]


def test_no_queries_have_no_rows() -> None:
    scores, rows = top_rows(torch.zeros(3, 2), np.zeros((0, 2), np.float32), 2)
    assert scores.shape == rows.shape == (0, 2)


def test_float16_changes_a_similarity_by_less_than_0_0005() -> None:
    """Half an ulp of float16 is 2^-11 of a value: by Cauchy and Schwarz no more of a product of vectors of norm 1."""
    random = np.random.default_rng(0)
    rows = random.standard_normal((2000, 384))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    queries = rows[:20].astype(np.float32)
    scores, numbers = top_rows(torch.from_numpy(rows.astype(np.float16)), queries, 5)
    exactly = np.take_along_axis(queries.astype(np.float64) @ rows.T, numbers, 1)
    assert np.abs(scores - exactly).max() < 2**-11
    assert numbers[:, 0].tolist() == [*range(20)]


def test_the_threads_of_torch_stay_as_they_are() -> None:
    before = torch.get_num_threads()
    top_rows(torch.zeros(3, 2), np.zeros((1, 2), np.float32), 2)
    assert torch.get_num_threads() == before


# ------------------------------------------------------------------------------------------------------------ updating


def test_only_new_texts_are_embedded(run: RunFolder) -> None:
    encoder = Encoder(run)
    index, change, said = opened(encoder, write(TEXTS))
    assert (change, said) == (Change(5, 0, 0), [])
    assert encoder.embedded == TEXTS
    assert {path.name for path in index.folder.iterdir()} == {
        *("vectors.safetensors", "documents.jsonl", "index.json", "manifest.json")
    }

    encoder.embedded = []
    index, change, said = opened(encoder)
    assert (change, encoder.embedded) == (Change(0, 0, 5), [])

    now = ["a new text", TEXTS[4], TEXTS[0], "another"]
    index, change, said = opened(encoder, write(now))
    assert (change, encoder.embedded) == (Change(2, 3, 2), ["a new text", "another"])
    assert [index.document(number).text for number in range(4)] == now
    assert np.array_equal(index.vectors.numpy(), np.stack([vector(text) for text in now]).astype(np.float16))
    assert [path.name for path in run.path.joinpath("index").glob("corpus*")] == ["corpus.jsonl"]


def test_a_change_of_other_columns_embeds_nothing(run: RunFolder) -> None:
    encoder = Encoder(run)
    opened(encoder, write(TEXTS))
    index, change, _ = opened(encoder, write(TEXTS, topic="x"))
    assert change == Change(0, 0, 5)
    assert len(encoder.embedded) == 5
    document = index.document(3)
    assert (document.place, document.columns) == ("corpus.jsonl:4", {"id": 3, "topic": "x"})


def test_equal_documents_are_indexed_once(run: RunFolder) -> None:
    encoder = Encoder(run)
    index, change, _ = opened(encoder, write([*TEXTS, TEXTS[1], TEXTS[1]]))
    assert (len(index), change.repeated) == (5, 2)
    assert str(change) == "5 new, 0 removed, 0 kept; 2 rows repeat a text, which is indexed once"
    _, change, _ = opened(encoder)
    assert (change.kept, change.repeated) == (5, 2)


def test_texts_are_embedded_in_parts(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "CHUNK", 2)
    index, _, _ = opened(Encoder(run), write(TEXTS))
    assert np.array_equal(index.vectors.numpy(), np.stack([vector(text) for text in TEXTS]).astype(np.float16))


def test_a_search_finds_what_is_nearest(run: RunFolder) -> None:
    index, _, _ = opened(Encoder(run), write(TEXTS))
    scores, numbers = index.search(np.stack([vector(text) for text in TEXTS]), 2)
    assert numbers[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert scores[:, 0] == pytest.approx(1, abs=1e-3)


def test_threads_share_an_index(run: RunFolder) -> None:
    index, _, _ = opened(Encoder(run), write(TEXTS))

    def find(number: int) -> tuple[list[list[int]], str]:
        _, numbers = index.search(vector(TEXTS[number % 5])[None], 5)
        return numbers.tolist(), index.document(number % 5).text

    alone = [find(number) for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(find, range(40))] == alone


def test_another_corpus_of_that_name_takes_the_place(run: RunFolder) -> None:
    """What both have is not embedded again."""
    encoder = Encoder(run)
    opened(encoder, write(TEXTS))
    Path("other").mkdir()
    with pytest.warns(UserWarning, match="was the index of corpus.jsonl"):
        _, change, _ = opened(encoder, write([*TEXTS[:2], "more"], "other/corpus.jsonl"))
    assert change == Change(1, 3, 2)


# ------------------------------------------------------------------------------------------------------------ failures


def test_a_killed_build_leaves_the_old_index(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "CHUNK", 2)
    encoder = Encoder(run)
    index, _, _ = opened(encoder, write(TEXTS))
    before = {path.name: path.read_bytes() for path in index.folder.iterdir()}
    encoder.fail_at = "the end"
    write(["one", "two", "three", "the end"])
    with pytest.raises(KeyboardInterrupt):
        opened(encoder)
    assert {path.name: path.read_bytes() for path in index.folder.iterdir()} == before
    assert [path for path in index.folder.parent.iterdir() if path.name.endswith(".tmp")] == []
    encoder.fail_at = ""
    assert opened(encoder)[1] == Change(4, 5, 0)


def test_a_wrong_corpus_leaves_the_old_index(run: RunFolder) -> None:
    encoder = Encoder(run)
    index, _, _ = opened(encoder, write(TEXTS))
    before = {path.name: path.read_bytes() for path in index.folder.iterdir()}
    write(["a text", " "])
    with pytest.raises(UserError, match=r"corpus.jsonl:2: document is empty"):
        opened(encoder)
    assert {path.name: path.read_bytes() for path in index.folder.iterdir()} == before


def test_a_kill_between_the_renames_is_repaired(run: RunFolder) -> None:
    encoder = Encoder(run)
    index, _, _ = opened(encoder, write(TEXTS))
    os.replace(index.folder, f"{index.folder}.old")
    assert opened(encoder)[1] == Change(0, 0, 5)
    assert len(encoder.embedded) == 5


@pytest.mark.parametrize("name", ["vectors.safetensors", "documents.jsonl", "index.json", "manifest.json"])
def test_a_damaged_index_is_built_again(name: str, run: RunFolder) -> None:
    encoder = Encoder(run)
    index, _, _ = opened(encoder, write(TEXTS))
    content = bytearray((index.folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (index.folder / name).write_bytes(content)
    _, change, said = opened(encoder)
    assert (change.new, change.removed, change.kept) == (5, 0, 0)
    assert len(said) == 1
    assert said[0].endswith(": it is built again")
    assert change.reason in said[0]
    assert (name if name != "manifest.json" else ".json") in change.reason


def test_the_index_of_another_model_is_built_again(run: RunFolder) -> None:
    opened(Encoder(run), write(TEXTS))
    _, change, said = opened(Encoder(run, "trained again"))
    assert (change.new, said) == (5, ["runs/r/index/corpus.jsonl: is that of another model: it is built again"])


def test_files_of_another_index_are_noticed(run: RunFolder) -> None:
    """Checksums tell nothing of who has written the files."""
    encoder = Encoder(run)
    index, _, _ = opened(encoder, write(TEXTS))
    record = json.loads((index.folder / "index.json").read_text())
    for changes in ({"documents": 6}, {"width": 9}, {"format": 2}, {"documents": "6"}):
        (index.folder / "index.json").write_text(json.dumps({**record, **changes}))
        write_manifest(index.folder)
        with pytest.raises(UserError):
            Index(index.folder)


def test_a_line_that_is_no_document_is_one_sentence(run: RunFolder) -> None:
    index, _, _ = opened(Encoder(run), write(TEXTS))
    documents = index.folder / "documents.jsonl"
    documents.write_bytes(documents.read_bytes().replace(b'"document"', b'"documenu"'))
    write_manifest(index.folder)
    with pytest.raises(UserError, match="line 1 is damaged"):
        Index(index.folder).document(0)


def test_nothing_is_written_through_a_link(run: RunFolder) -> None:
    Path("elsewhere").mkdir()
    os.symlink(Path("elsewhere").absolute(), run.path / "index")
    with pytest.raises(UserError, match="is a link"):
        opened(Encoder(run), write(TEXTS))
    assert [*Path("elsewhere").iterdir()] == []


def test_a_place_that_cannot_be_written_is_one_sentence(run: RunFolder) -> None:
    (run.path / "index").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        opened(Encoder(run), write(TEXTS))


def test_two_processes_do_not_write_one_index(run: RunFolder) -> None:
    (run.path / "index").mkdir()
    with (
        FileLock(run.path / "index" / ".corpus.jsonl.lock"),
        pytest.raises(UserError, match="another process is writing this index"),
    ):
        opened(Encoder(run), write(TEXTS))


@pytest.mark.parametrize(
    ("corpus", "name"),
    [("data/a b.jsonl", "a_b.jsonl"), ("语料.csv", "语料.csv"), (".x", "x"), ("con", "corpus_con"), ("???", "corpus_")],
)
def test_names_of_indexes_are_plain(corpus: str, name: str) -> None:
    assert index_name(Path(corpus)) == name
