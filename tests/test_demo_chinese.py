"""The shipped Chinese demo data: fit to learn from, and not solved by a list of words."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from finetune.check_data.check import check_data
from finetune.config.config import Config
from test_demo_data import DEMO, SPLITS

from tools.demo_data.chinese_service import COLOURS, HOURS, REFUNDS

KEYS = {"text-classification": "text", "token-classification": "text", "chat": "messages"}
MODELS = {"text-classification": "tiny:bert", "token-classification": "tiny:bert", "chat": "tiny:gpt2"}


def shipped(task: str, split: str) -> Path:
    return (
        DEMO / f"{{% if cookiecutter.task == '{task}' and cookiecutter.language == 'zh' %}}{split}.jsonl{{% endif %}}"
    )


def rows(task: str, split: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in shipped(task, split).read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("task", KEYS)
def test_the_check_of_the_data_finds_nothing(task: str, tmp_path: Path) -> None:
    data = {split: tmp_path / f"{split}.jsonl" for split in SPLITS}
    for split, path in data.items():
        path.write_bytes(shipped(task, split).read_bytes())
    model = {"name": MODELS[task], "max_length": 192}
    config = Config.model_validate({"task": {"type": task}, "model": model, "data": data})
    findings = check_data(config)["findings"]
    assert [finding for finding in findings if finding["severity"] != "note"] == []


@pytest.mark.parametrize("task", KEYS)
def test_texts_are_chinese_and_plain_and_come_once(task: str) -> None:
    seen: Counter[str] = Counter()
    for split in SPLITS:
        content = shipped(task, split).read_bytes()
        assert content.endswith(b"\n")
        assert not re.search(rb"\r|\{\{|\{%|\{#", content)  # cookiecutter renders these files
        for row in rows(task, split):
            text = str(row[KEYS[task]]) if task == "chat" else row["text"]
            seen[re.sub(r"\d+", "0", text)] += 1
            spoken = "".join(message["content"] for message in row["messages"]) if task == "chat" else text
            assert re.fullmatch(r"[\u4e00-\u9fff0-9，。？！“”]+", spoken), spoken
            assert not re.search(r"[，。？！]{2}", spoken.replace("，”", "")), spoken
    assert seen.most_common(1)[0][1] == 1


@pytest.mark.parametrize("split", SPLITS)
def test_labels_are_unequal_but_none_rules(split: str) -> None:
    counts = Counter(row["label"] for row in rows("text-classification", split))
    assert set(counts) == {"好评", "中评", "差评"}
    assert all(0.15 < count / counts.total() < 0.5 for count in counts.values())


def test_the_words_of_a_review_do_not_give_its_label_away() -> None:
    found = {word: Counter[str]() for word in ("很清晰", "音质很好", "很新鲜", "漏水", "经常死机", "有杂音")}
    for row in rows("text-classification", "train"):
        for word, labels in found.items():
            labels.update([row["label"]] if word in row["text"] else [])
    assert all(labels.total() > 20 and min(labels["好评"], labels["差评"]) > 3 for labels in found.values())


@pytest.mark.parametrize("split", SPLITS)
def test_entities_are_spans_of_their_text(split: str) -> None:
    sentences = rows("token-classification", split)
    for sentence in sentences:
        ends = [0]
        for entity in sentence["entities"]:
            assert list(entity) == ["start", "end", "label"]
            assert ends[-1] <= entity["start"] < entity["end"] <= len(sentence["text"])
            ends.append(entity["end"])
    kinds = Counter(entity["label"] for sentence in sentences for entity in sentence["entities"])
    assert set(kinds) == {"PER", "ORG", "LOC"}
    assert min(kinds.values()) > 50
    assert 0.01 < sum(not sentence["entities"] for sentence in sentences) / len(sentences) < 0.2


def test_a_list_of_names_does_not_solve_it() -> None:
    kinds: dict[str, set[str]] = {}
    for sentence in rows("token-classification", "train"):
        for entity in sentence["entities"]:
            kinds.setdefault(sentence["text"][entity["start"] : entity["end"]], set()).add(entity["label"])
    assert sum({"LOC", "ORG"} <= found for found in kinds.values()) > 20
    test = [
        sentence["text"][entity["start"] : entity["end"]]
        for sentence in rows("token-classification", "test")
        for entity in sentence["entities"]
    ]
    assert sum(name not in kinds for name in test) / len(test) > 0.25


def exchanges(talk: list[dict[str, str]]) -> list[tuple[str, str]]:
    """(all that was said before the answer, answer) of a dialogue."""
    texts = [message["content"] for message in talk]
    return [("".join(texts[: i + 1]), texts[i + 1]) for i in range(len(texts) % 2, len(texts), 2)]


@pytest.mark.parametrize("split", SPLITS)
def test_dialogues_take_turns_and_answers_follow_the_rules_of_the_house(split: str) -> None:
    checked: Counter[str] = Counter()
    for row in rows("chat", split):
        spoken = [message["role"] for message in row["messages"] if message["role"] != "system"]
        assert spoken == ["user", "assistant"] * (len(spoken) // 2)
        for known, answer in exchanges(row["messages"]):
            for kind, right in _claims(known, answer):
                checked[kind] += 1
                assert right, (known, answer)
    assert set(checked) == {"number", "opens", "closes", "rest", "return", "refund", "colours"}
    assert min(checked.values()) > 5


def _claims(known: str, answer: str) -> list[tuple[str, bool]]:
    """(kind, whether it is true) of what an answer claims."""
    claims: list[tuple[str, bool]] = []
    towns = re.findall("|".join(HOURS), known)
    opens, closes, rest = HOURS[towns[-1]] if towns else ("", "", "")
    if said := re.search(r"(\d+)号订单|订单号(\d+)", answer):
        claims.append(("number", (said[1] or said[2]) in re.findall(r"\d+", known)))
    if said := re.search(r"([八九十]点)开门", answer):
        claims.append(("opens", said[1] == opens))
    if said := re.search(r"([五六七八]点)关门", answer):
        claims.append(("closes", said[1] == closes))
    if said := re.search(r"(周.)休息", answer):
        claims.append(("rest", said[1] == rest))
    if said := re.search(r"(可以|抱歉)，.*在(\d+)天内", answer):
        limit = re.search(r"在(\d+)天内退货", known)
        ago = re.search(r"(\d+)天前|买了(\d+)天", known)
        assert ago
        days = int(ago[1] or ago[2])
        right_limit = said[2] == (limit[1] if limit else "30")
        claims.append(("return", right_limit and (said[1] == "可以") == (days <= int(said[2]))))
    if said := re.search(r"在(.天)内退到您的(.+)。", answer):
        claims.append(("refund", REFUNDS[said[2]] == said[1] and said[2] in known))
    if said := re.search(r"(有的|没有)，(..)(?:只)?有(..)和(..)。", answer):
        asked = re.findall("|".join({colour for pair in COLOURS.values() for colour in pair}), known)[-1]
        claims.append(("colours", COLOURS[said[2]] == said.group(3, 4) and (said[1] == "有的") == (asked in said[0])))
    return claims


def test_the_readme_shows_rows_of_the_same_form() -> None:
    readme = (DEMO / "README.md").read_text(encoding="utf-8")
    shown = [json.loads(line) for line in re.findall(r"`(\{.*\})`", readme.partition("{% else -%}\n# 演示数据")[2])]
    assert [set(row) for row in shown] == [{"text", "label"}, {"text", "entities"}, {"messages"}]
    for task, row in zip(KEYS, shown, strict=True):
        assert list(row) == list(rows(task, "train")[0])
    sentence = shown[1]
    names = [sentence["text"][entity["start"] : entity["end"]] for entity in sentence["entities"]]
    assert names == ["青山大学", "赵敏"]
