"""The shipped demo data: made by tools/demo_data and nothing else, and fit to learn from."""

import itertools
import json
import math
import re
import statistics
import subprocess
import sys
from collections import Counter
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from conftest import DATA_FORMAT, IN_BOTH, files
from finetune.check_data.check import check_data
from finetune.config.config import Config
from finetune.retrieval_prompt import question_with_passages

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "template" / "data"
DEMO = DATA / "demo"
SERVICE = DATA / "customer-service"
SPLITS = ("train", "validation", "test")
SINGLE_TEXTS = {"text-classification": (4, 45), "multi-label-classification": (3, 60), "regression": (4, 40)}  # words
TAGS = {"billing", "bug", "cancellation", "delivery", "feature-request", "login", "praise", "refund"}
KEYS = {"text-generation": "prompt", "chat": "messages", "translation": "source", "summarization": "source"}
QUERIES = KEYS | {"retrieval": "query"}
MOST_BYTES = {"chat": 900_000, "summarization": 650_000, "text-generation": 550_000}


def shipped(task: str, split: str) -> Path:
    language = " and cookiecutter.language == 'en'" if task in IN_BOTH else ""  # their Chinese: test_demo_chinese.py
    return DEMO / f"{{% if cookiecutter.task == '{task}'{language} %}}{split}.{DATA_FORMAT[task]}{{% endif %}}"


def rows(task: str, split: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in shipped(task, split).read_text(encoding="utf-8").splitlines()]


def sentences(split: str) -> list[list[tuple[str, str]]]:
    blocks = shipped("token-classification", split).read_text(encoding="utf-8").removesuffix("\n\n").split("\n\n")
    return [[(token, tag) for token, tag in (line.split(" ") for line in block.split("\n"))] for block in blocks]


def candidates(split: str) -> list[list[dict[str, Any]]]:
    """The rows of each query."""
    return [list(group) for _, group in itertools.groupby(rows("ranking", split), key=itemgetter("query"))]


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
    made = {path.name: path.read_bytes() for path in (tmp_path / "demo").iterdir()}
    assert {shipped(task, split).name for task in DATA_FORMAT for split in SPLITS} < set(made)
    assert made == {path.name: path.read_bytes() for path in DEMO.iterdir() if path.name != "README.md"}
    assert files(tmp_path / "customer-service") == files(SERVICE)


@pytest.mark.parametrize("task", DATA_FORMAT)
def test_the_check_of_the_data_is_content(task: str, tmp_path: Path) -> None:
    """What a user is shown as good data has neither leaks nor contradictions nor copies."""
    data = {split: tmp_path / f"{split}.{DATA_FORMAT[task]}" for split in SPLITS}
    for split, path in data.items():
        path.write_bytes(shipped(task, split).read_bytes())
    tiny = {"text-generation": "gpt2", "chat": "gpt2", "translation": "t5", "summarization": "t5"}.get(task, "bert")
    model = {"name": f"tiny:{tiny}", "max_length": 128}
    config = Config.model_validate({"task": {"type": task}, "model": model, "data": data})
    findings = check_data(config)["findings"]
    assert [finding for finding in findings if finding["severity"] != "note"] == []
    # Short tickets with and without a greeting are alike now and then.
    near = {finding["split"]: finding["count"] for finding in findings if finding["kind"] == "near-leak"}
    assert all(count <= 0.03 * len(data[split].read_text("utf-8").splitlines()) for split, count in near.items())


@pytest.mark.parametrize("task", DATA_FORMAT)
@pytest.mark.parametrize("split", SPLITS)
def test_files_are_small_and_plain(task: str, split: str) -> None:
    content = shipped(task, split).read_bytes()
    assert 10_000 < len(content) < MOST_BYTES.get(task, 500_000)
    assert content.endswith(b"\n")
    assert b"\r" not in content
    assert not re.search(rb"\{\{|\{%|\{#", content)  # cookiecutter renders these files
    content.decode("utf-8")


@pytest.mark.parametrize("task", DATA_FORMAT)
def test_no_example_comes_twice_not_even_with_other_numbers(task: str) -> None:
    seen: Counter[str] = Counter()
    for split in SPLITS:
        if task == "token-classification":
            shown = [" ".join(token for token, _ in sentence) for sentence in sentences(split)]
        elif task == "ranking":  # of a query all rows are in one place
            shown = [group[0]["query"] for group in candidates(split)]
        else:
            shown = [str(row[QUERIES.get(task, "text")]) for row in rows(task, split)]
        seen.update(re.sub(r"\d+", "0", text).lower() for text in shown)
    assert seen.most_common(1)[0][1] == 1


@pytest.mark.parametrize(
    ("split", "low", "high"), [("train", 1500, 3000), ("validation", 250, 400), ("test", 250, 400)]
)
def test_sizes(split: str, low: int, high: int) -> None:
    for task in (*SINGLE_TEXTS, *KEYS):
        assert low <= len(rows(task, split)) <= high
    assert low <= len(sentences(split)) <= high


@pytest.mark.parametrize(("split", "low", "high"), [("train", 300, 400), ("validation", 30, 60), ("test", 50, 80)])
def test_numbers_of_queries(split: str, low: int, high: int) -> None:
    assert low <= len(candidates(split)) <= high


@pytest.mark.parametrize("split", SPLITS)
def test_labels_are_unequal_but_none_rules(split: str) -> None:
    counts = Counter(row["label"] for row in rows("text-classification", split))
    assert set(counts) == {"negative", "neutral", "positive"}
    shares = {label: count / counts.total() for label, count in counts.items()}
    assert 0.38 < shares["neutral"] < 0.5
    assert min(shares.values()) > 0.22


@pytest.mark.parametrize("task", SINGLE_TEXTS)
@pytest.mark.parametrize("split", SPLITS)
def test_texts_read_like_sentences(task: str, split: str) -> None:
    for row in rows(task, split):
        assert set(row) == {"text", "labels" if task == "multi-label-classification" else "label"}
        assert_plain(row["text"])
        low, high = SINGLE_TEXTS[task]
        assert low <= len(row["text"].split()) <= high


def assert_plain(text: str) -> None:
    assert text == text.strip()
    assert not re.search(r"[{}|~_<>*]|  | [,.;:?]|[.,;?][.,;?]|\ba [aeio]", text), text


@pytest.mark.parametrize("split", SPLITS)
def test_tickets_have_none_to_three_tags(split: str) -> None:
    tickets = [row["labels"] for row in rows("multi-label-classification", split)]
    assert all(labels == sorted(set(labels)) for labels in tickets)
    sizes = Counter(map(len, tickets))
    assert set(sizes) == {0, 1, 2, 3}
    assert 0.04 < sizes[0] / len(tickets) < 0.09
    assert sizes[2] + sizes[3] > 0.4 * len(tickets)
    tags = Counter(tag for labels in tickets for tag in labels)
    assert set(tags) == TAGS
    assert all(0.08 < count / len(tickets) < 0.35 for count in tags.values())


def test_some_tags_come_together_more_than_others() -> None:
    pairs: Counter[tuple[str, ...]] = Counter()
    for row in rows("multi-label-classification", "train"):
        pairs.update(itertools.combinations(row["labels"], 2))
    assert pairs["billing", "refund"] > 100
    assert pairs["delivery", "login"] == 0


@pytest.mark.parametrize("split", SPLITS)
def test_scores_are_tenths_from_1_to_5_and_spread(split: str) -> None:
    scores = [row["label"] for row in rows("regression", split)]
    assert all(isinstance(score, float) and score == round(score, 1) for score in scores)
    assert min(scores) == 1
    assert max(scores) == 5
    assert 2.8 < statistics.mean(scores) < 3.6
    assert statistics.pstdev(scores) > 0.9


@pytest.mark.parametrize("split", SPLITS)
def test_every_query_has_fitting_and_unfitting_candidates(split: str) -> None:
    groups = candidates(split)
    assert len({group[0]["query"] for group in groups}) == len(groups)  # its rows follow each other
    for group in groups:
        assert all(set(row) == {"query", "document", "label"} for row in group)
        assert 6 <= len(group) <= 8
        assert {row["label"] for row in group} == {0, 1, 2}
        assert len({row["document"] for row in group}) == len(group)
        for text in (group[0]["query"], *(row["document"] for row in group)):
            assert_plain(text)
            assert 4 <= len(text.split()) <= 30


@pytest.mark.parametrize("split", SPLITS)
def test_neither_file_order_nor_shared_words_rank_well(split: str) -> None:
    def shared(row: dict[str, Any]) -> int:
        query, document = (set(re.findall(r"\w+", row[key].lower())) for key in ("query", "document"))
        return len(query & document)

    groups = candidates(split)
    assert statistics.mean(ndcg([row["label"] for row in group]) for group in groups) < 0.75
    ranked = [sorted(group, key=shared, reverse=True) for group in groups]
    assert statistics.mean(ndcg([row["label"] for row in group]) for group in ranked) < 0.75


def ndcg(grades: list[int]) -> float:
    """NDCG@10 of grades in ranked order, with the grade as gain."""

    def gain(grades: list[int]) -> float:
        return sum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades[:10], start=1))

    return gain(grades) / gain(sorted(grades, reverse=True))


@pytest.mark.parametrize("split", SPLITS)
def test_questions_have_one_article_and_negatives_that_are_others(split: str) -> None:
    found = rows("retrieval", split)
    articles = corpus()
    for row in found:
        assert set(row) <= {"query", "document", "negatives"}
        assert {row["document"], *row.get("negatives", [])} <= articles
        assert row["document"] not in row.get("negatives", [])
        assert_plain(row["query"])
    assert 0.08 < sum("negatives" in row for row in found) / len(found) < 0.18


def test_some_articles_answer_in_the_test_alone() -> None:
    trained = {text for row in rows("retrieval", "train") for text in (row["document"], *row.get("negatives", []))}
    assert len(corpus()) == 300
    test = rows("retrieval", "test")
    assert 0.1 < sum(row["document"] not in trained for row in test) / len(test) < 0.2


def corpus() -> set[str]:
    """The texts of all help articles."""
    return {row["document"] for row in service("corpus")}


def service(name: str) -> list[dict[str, Any]]:
    path = SERVICE / f"{{% if cookiecutter.task == 'retrieval' %}}{name}.jsonl{{% endif %}}"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_answer_of_the_customer_service_quotes_a_passage_with_its_number() -> None:
    questions: list[str] = []
    places: Counter[int] = Counter()
    for split in SPLITS:
        for row in service(f"chat-{split}"):
            user, assistant = row["messages"]
            _, numbered, last = user["content"].split("\n\n")
            passages, question = numbered.split("\n"), last.removeprefix("Question: ")
            assert user["content"] == question_with_passages(question, [passage[4:] for passage in passages])
            found = re.fullmatch(r'"(.+)" \[(\d)\]', assistant["content"])
            assert found
            assert passages[int(found[2]) - 1] == f"[{found[2]}] {found[1]}"
            assert len({*passages}) == 3
            assert {passage[4:] for passage in passages} <= corpus()
            questions.append(question.lower())
            places[int(found[2])] += 1
    assert len({*questions}) == len(questions)
    assert min(places.values()) > 0.15 * places.total()


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


def test_the_readme_shows_rows_that_are_in_the_files() -> None:
    readme = (DEMO / "README.md").read_text(encoding="utf-8")
    for task in ("multi-label-classification", "regression", "ranking", *QUERIES):
        train = shipped(task, "train").read_text(encoding="utf-8").splitlines()
        assert any(f"`{line}`" in readme for line in train)
    for split in SPLITS:
        assert f"| {split}.jsonl | {len(candidates(split))} | {len(rows('ranking', split)):,} |" in readme
