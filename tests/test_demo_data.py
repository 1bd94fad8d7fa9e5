"""The shipped demo data: made by tools/demo_data and nothing else, and fit to learn from."""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "template" / "data" / "demo"
SPLITS = ("train", "validation", "test")
ENDINGS = {"text-classification": "jsonl", "token-classification": "conll"}
MOST_BYTES = 400_000


def shipped(task: str, split: str) -> Path:
    return DEMO / f"{{% if cookiecutter.task == '{task}' %}}{split}.{ENDINGS[task]}{{% endif %}}"


def texts(split: str) -> list[dict[str, str]]:
    lines = shipped("text-classification", split).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def sentences(split: str) -> list[list[tuple[str, str]]]:
    blocks = shipped("token-classification", split).read_text(encoding="utf-8").removesuffix("\n\n").split("\n\n")
    return [[(token, tag) for token, tag in (line.split(" ") for line in block.split("\n"))] for block in blocks]


def entities(split: str) -> list[str]:
    """The surface of every entity, with its type."""
    found: list[str] = []
    for sentence in sentences(split):
        for token, tag in sentence:
            if tag.startswith("B-"):
                found.append(f"{tag[2:]} {token}")
            elif tag.startswith("I-"):
                found[-1] += f" {token}"
    return found


def test_the_script_makes_the_shipped_files_byte_for_byte(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "tools.demo_data", str(tmp_path)], cwd=ROOT, check=True)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    names = {shipped(task, split).name for task in ENDINGS for split in SPLITS}
    assert set(made) == names
    assert made == {name: (DEMO / name).read_bytes() for name in names}


@pytest.mark.parametrize("task", ENDINGS)
@pytest.mark.parametrize("split", SPLITS)
def test_files_are_small_and_plain(task: str, split: str) -> None:
    content = shipped(task, split).read_bytes()
    assert 10_000 < len(content) < MOST_BYTES
    assert content.endswith(b"\n")
    assert b"\r" not in content
    assert not re.search(rb"\{\{|\{%|\{#", content)  # cookiecutter renders these files
    content.decode("utf-8")


@pytest.mark.parametrize("task", ENDINGS)
def test_no_sentence_comes_twice_not_even_with_other_numbers(task: str) -> None:
    seen: Counter[str] = Counter()
    for split in SPLITS:
        rows = (
            [row["text"] for row in texts(split)]
            if task == "text-classification"
            else [" ".join(token for token, _ in sentence) for sentence in sentences(split)]
        )
        seen.update(re.sub(r"\d+", "0", row).lower() for row in rows)
    assert seen.most_common(1)[0][1] == 1


@pytest.mark.parametrize(
    ("split", "low", "high"), [("train", 1500, 3000), ("validation", 250, 400), ("test", 250, 400)]
)
def test_sizes(split: str, low: int, high: int) -> None:
    assert low <= len(texts(split)) <= high
    assert low <= len(sentences(split)) <= high


@pytest.mark.parametrize("split", SPLITS)
def test_labels_are_unequal_but_none_rules(split: str) -> None:
    counts = Counter(row["label"] for row in texts(split))
    assert set(counts) == {"negative", "neutral", "positive"}
    shares = {label: count / counts.total() for label, count in counts.items()}
    assert 0.38 < shares["neutral"] < 0.5
    assert min(shares.values()) > 0.22


@pytest.mark.parametrize("split", SPLITS)
def test_texts_read_like_news(split: str) -> None:
    for row in texts(split):
        assert set(row) == {"text", "label"}
        assert row["text"] == row["text"].strip()
        assert not re.search(r"[{}|~]|  | [,.;:]|\.\.|\ba [aeio]", row["text"]), row["text"]
        assert 4 <= len(row["text"].split()) <= 45


@pytest.mark.parametrize("split", SPLITS)
def test_tags_are_legal_iob2(split: str) -> None:
    for sentence in sentences(split):
        previous = "O"
        for token, tag in sentence:
            assert token
            assert not re.search(r"[\s{}|~\[\]]", token), token
            assert re.fullmatch(r"O|[BI]-(PER|ORG|LOC|MISC)", tag)
            assert tag[0] != "I" or previous in (f"B-{tag[2:]}", tag), sentence
            previous = tag
        assert 4 <= len(sentence) <= 50


def test_every_kind_of_entity_is_there_and_some_sentences_have_none() -> None:
    for split in SPLITS:
        kinds = Counter(entity.split()[0] for entity in entities(split))
        assert set(kinds) == {"PER", "ORG", "LOC", "MISC"}
        assert min(kinds.values()) > 50
        without = sum(all(tag == "O" for _, tag in sentence) for sentence in sentences(split))
        assert 0.02 < without / len(sentences(split)) < 0.2


def test_a_list_of_names_does_not_solve_it() -> None:
    known = set(entities("train"))
    test = entities("test")
    assert sum(entity not in known for entity in test) / len(test) > 0.25


def test_one_word_is_a_person_a_place_and_an_organisation() -> None:
    kinds: dict[str, set[str]] = {}
    for entity in entities("train"):
        kind, name = entity.split(" ", 1)
        kinds.setdefault(name, set()).add(kind)
    assert sum({"PER", "LOC", "ORG"} <= found for found in kinds.values()) > 20
