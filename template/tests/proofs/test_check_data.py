"""The check of the data: each fault is found at its line, and good data have no findings."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from conftest import TASKS, Project, needs

from finetune.check_data.check import check_data, paragraphs
from finetune.check_data.duplicates import find_duplicates
from finetune.check_data.findings import Entry
from finetune.check_data.near_duplicates import near_pairs
from finetune.check_data.outliers import find_outliers
from finetune.check_data.plot import draw_data
from finetune.check_data.tag_problems import illegal, scheme_of
from finetune.check_data.text_problems import CHECKS, is_mojibake
from finetune.cli import main
from finetune.config.load import load_config
from finetune.tasks.results import Summary
from finetune.tasks.texts import TextTask

Rows = list[tuple[str, str]]
Check = Callable[..., dict[str, Any]]

THINGS = [
    *("bridge", "garden", "letter", "window", "river", "market", "engine", "doctor"),
    *("island", "teacher", "hammer", "forest", "bottle", "castle", "summer"),
]
FIRST = "A ship came to the harbour in the early morning and nobody knew where from"
SECOND = "They wanted to sell the old house by the lake before the winter was over"


def plain(split: str, count: int = 12) -> Rows:
    """Texts that share no three words, of two labels in turn."""
    words = [f"{thing}{split}" for thing in THINGS]
    return [
        (f"{words[i]} {words[(2 * i + 1) % 15]} {words[(4 * i + 3) % 15]} number {split} {i}", "ab"[i % 2])
        for i in range(count)
    ]


@pytest.fixture
def check(project: Project) -> Check:
    """Check texts with labels: plain ones, and after them those that are given."""

    def run(train: Rows = [], validation: Rows = [], *overrides: str) -> dict[str, Any]:  # noqa: B006
        for name, more in (("train", train), ("validation", validation)):
            rows = [{"text": text, "label": label} for text, label in plain(name) + more]
            project.write(f"{name}.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
        config = project.config("text-classification", data={"test": None})
        return check_data(load_config(config, ["model.max_length=64", *overrides]))

    return run


def found(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The findings by their kinds."""
    return {finding["kind"]: finding for finding in document["findings"]}


def test_good_data_have_no_findings(check: Check) -> None:
    document = check()
    assert document["findings"] == []
    assert document["strangest"] == []
    assert list(document) == [
        *("format", "task", "model", "max_length", "where", "data"),
        *("token_edges", "splits", "findings", "strangest"),
    ]
    train = document["splits"]["train"]
    assert list(train) == ["file", "rows", "tokens", "token_histogram", "cut", "labels"]
    assert (train["rows"], sum(train["token_histogram"]), train["labels"]) == (12, 12, {"a": 6, "b": 6})


def test_a_leak_is_found_at_both_lines(check: Check) -> None:
    leak = found(check([(FIRST, "a")], [(f" {FIRST.replace(' to ', '  to ')}", "a")]))["leak"]
    assert (leak["severity"], leak["split"], leak["count"]) == ("alarm", "validation", 1)
    assert leak["places"] == ["validation.jsonl:13 = train.jsonl:13"]


def test_no_train_test_leak(check: Check) -> None:
    """With another label it is worse, and stands first."""
    document = check([(FIRST, "a"), (SECOND, "b")], [(FIRST, "b"), (SECOND, "b")])
    assert [finding["kind"] for finding in document["findings"]] == ["leak-other-answer", "leak"]
    assert document["findings"][0]["places"] == ["validation.jsonl:13 (b) = train.jsonl:13 (a)"]
    assert document["findings"][1]["places"] == ["validation.jsonl:14 = train.jsonl:14"]
    (strange,) = document["strangest"]
    assert strange["place"] == "validation.jsonl:13"
    assert strange["reasons"][-1] == "train.jsonl:13 has the same text and a different label"


def test_a_text_with_two_labels_is_found(check: Check) -> None:
    findings = found(check([(FIRST, "a"), (FIRST, "a"), (FIRST, "b")]))
    assert findings["contradiction"]["places"] == ["train.jsonl:15 (b) = train.jsonl:13 (a)"]
    assert findings["duplicate"]["places"] == ["train.jsonl:14 = train.jsonl:13"]


def test_short_texts_are_a_note_at_most(check: Check) -> None:
    document = check([("well done", "a"), ("well done", "b")], [("well done", "a")])
    assert {finding["severity"] for finding in document["findings"]} == {"note"}


@pytest.mark.parametrize("text", ["7月22日的药品价格上涨了", "iPhone手机很好用"])
def test_chinese_after_digits_or_letters_counts_by_character(check: Check, text: str) -> None:
    assert found(check([(text, "a")], [(text, "a")]))["leak"]["severity"] == "alarm"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (f"{FIRST.upper()}!", "near-leak"),
        (f"{FIRST}, they said", "near-leak"),
        (FIRST.replace("ship", "train").replace("harbour", "station"), None),
    ],
)
def test_near_duplicates_are_found(check: Check, text: str, kind: str | None) -> None:
    findings = found(check([(FIRST, "a")], [(text, "a")]))
    assert list(findings) == ([kind] if kind else [])
    if kind:
        assert findings[kind]["places"] == ["validation.jsonl:13 = train.jsonl:13"]


def test_another_label_counts_only_where_all_words_are_the_same(check: Check) -> None:
    assert "leak-other-answer" in found(check([(FIRST, "a")], [(f"{FIRST.upper()}!", "b")]))
    assert "leak-other-answer" not in found(check([(f"{FIRST} 7 of 10", "a")], [(f"{FIRST} 2 of 10", "b")]))


def test_a_reply_that_differs_makes_another_example() -> None:
    replies = {"No. 7 is on its way.": 0, "No. 8 is on its way.": 1}
    entries = [Entry("train", "x:1", Summary((f"{FIRST} 8",), "No. 8 is on its way.", generates=True))]
    for reply, twins in replies.items():
        entries[1:] = [Entry("test", "y:1", Summary((f"{FIRST} 7",), reply, generates=True))]
        assert len(find_duplicates(entries)) == twins


def test_pairs_are_near_only_where_both_parts_are() -> None:
    premise = f"{FIRST} {SECOND}"
    assert [pair.other for pair in near_pairs([(premise, "yes indeed"), (premise, "no never")])] == []
    assert [pair.other for pair in near_pairs([(premise, "yes indeed"), (premise, "Yes, indeed!")])] == [0]


def test_long_texts_are_compared_by_a_sketch() -> None:
    words = [f"w{'abcdefghij'[i % 10]}{'klmnopqrst'[i // 10 % 10]}{'uvwxyz'[i // 100]}" for i in range(500)]
    near, far = [*words[:480], *THINGS], [*words[:250], *THINGS * 10]
    texts = [(" ".join(some),) for some in (words, near, far)]
    assert [(pair.index, pair.other) for pair in near_pairs(texts)] == [(1, 0)]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("The bell\x07 rings in the old tower", "control-characters"),
        ("Das MÃ¼nster steht in der Stadt", "mojibake"),
        ("It was fine<br />and then it was not", "html"),
        ("Marks &amp; Spencer open a shop here", "html"),
        ("?!...", "no-words"),
        ("It was sooooooooooooooooooooooo good to see", "repeated-character"),
        (" ".join(["word"] * 1500), "very-long"),
    ],
)
def test_text_problems_are_found(check: Check, text: str, kind: str) -> None:
    finding = found(check([(text, "a")]))[kind]
    assert (finding["severity"], finding["places"]) == ("warning", ["train.jsonl:13"])


@pytest.mark.parametrize(
    "text", ["ÂME", "Ã", "voilâ”", "café »", "„BÜ“", "naïve façade", "5 < 6 > 4", "AT&T; R&D", "ПРИВЕТ"]
)
def test_ordinary_letters_are_no_problem(text: str) -> None:
    assert not any(check.applies(text) for check in CHECKS)


@pytest.mark.parametrize("text", ["müde", "don\u2019t", "été", "\U0001f600", "20 °C"])
def test_wrongly_decoded_letters_are_found(text: str) -> None:
    assert is_mojibake(text.encode().decode("cp1252"))
    assert not is_mojibake(text)


def test_labels(check: Check) -> None:
    rare = [(f"{FIRST} one", "rare")]
    unknown = [(f"{SECOND} two", "unknown"), *[(f"some{i} words{i} to{i} fill{i}", "a") for i in range(6)]]
    document = check(rare, unknown)
    findings = found(document)
    assert findings["unknown-label"]["severity"] == "alarm"
    assert findings["unknown-label"]["places"] == ["validation.jsonl:13"]
    assert findings["rare-label"]["places"] == ["train.jsonl:13"]
    assert document["splits"]["validation"]["labels"] == {"a": 12, "b": 6, "unknown": 1}


def test_class_imbalance_is_found(check: Check) -> None:
    many = [(f"some{i} words{i} to{i} fill{i}", "a") for i in range(120)]
    findings = found(check(many, [(f"other{i} words{i} than{i} those{i}", "b") for i in range(40)]))
    assert findings["one-sided"]["split"] == "train"
    assert findings["other-balance"]["split"] == "validation"
    c = [(f"no{i} words{i} as{i} yet{i}", "c") for i in range(9)]
    assert findings.keys().isdisjoint({"unmeasured-label"})
    assert found(check(c))["unmeasured-label"]["split"] == "validation"


def test_truncated_texts_are_counted(check: Check) -> None:
    long = [(" ".join([FIRST, SECOND, *THINGS]), "a")]
    longest = check(long, [], "model.max_length=500")["splits"]["train"]["tokens"]["max"]
    document = check(long, [], f"model.max_length={longest - 1}")
    assert found(document)["cut"]["places"] == [f"train.jsonl:13 ({longest} tokens)"]
    assert [split["cut"] for split in document["splits"].values()] == [1, 0]


@pytest.mark.parametrize(
    ("scheme", "good", "bad", "position"),
    [
        ("IOB2", "B-PER I-PER B-PER O B-LOC", "B-PER O I-PER", 2),
        ("IOB2", "B-PER B-LOC I-LOC O B-PER O", "B-LOC I-PER", 1),
        ("IOB1", "I-PER I-PER B-PER O I-LOC", "I-PER O B-PER", 2),
        ("IOBES", "B-PER I-PER E-PER S-LOC O", "B-PER O", 0),
        ("IOBES", "B-PER E-PER S-LOC O", "O E-PER", 1),
        ("BILOU", "B-PER L-PER U-LOC O", "B-PER", 0),
    ],
)
def test_tag_schemes(scheme: str, good: str, bad: str, position: int) -> None:
    assert scheme_of([good.split()] * 2) == scheme
    assert list(illegal(good.split(), scheme)) == []
    assert [where for where, _ in illegal(bad.split(), scheme)] == [position]


def test_illegal_tags_are_found_at_the_line_of_the_word(project: Project) -> None:
    text = (project.folder / "train.conll").read_text()
    project.write("train.conll", f"{text}\nAnd O\nTurin I-LOC\n")
    config = project.config("token-classification")
    finding = found(check_data(load_config(config)))["illegal-tags"]
    line = len(text.splitlines()) + 3
    assert finding["places"] == [f"train.conll:{line}: I-LOC after O, where an entity has to begin with B-"]


@pytest.mark.parametrize("overflow", ["cut", "head_tail", "windows"])
def test_only_long_rows_that_may_have_windows_are_tokenised_again(
    overflow: str, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    encode = TextTask.encode

    def counted(self: Any, examples: Any, *rest: Any) -> Any:
        seen.append(len(examples))
        return encode(self, examples, *rest)

    monkeypatch.setattr(TextTask, "encode", counted)
    long = [(f"{FIRST} {SECOND} {FIRST}", "a")]
    document = check(long, [], "model.max_length=60", f"model.overflow={overflow}")
    if overflow == "windows":
        assert seen == [13, 1, 12]
        assert (document["splits"]["train"]["cut"], "cut" in found(document)) == (0, False)
    else:
        assert seen == [13, 12]
        assert document["splits"]["train"]["cut"] == 1
        assert [place.split()[0] for place in found(document)["cut"]["places"]] == ["train.jsonl:13"]


def test_truncated_targets_are_counted(project: Project) -> None:
    config = load_config(project.config("summarization", data={"test": None}), ["task.max_target_length=6"])
    document = check_data(config)
    assert [split["cut_targets"] for split in document["splits"].values()] == [1, 1]
    finding = found(document)["cut-target"]
    assert finding["message"].startswith(
        "task.max_target_length, 6 tokens, truncates 25.0 % of train, 25.0 % of validation:"
    )
    assert finding["places"] == ["notices.jsonl:1 (7 tokens)", "notices-validation.jsonl:1 (7 tokens)"]
    assert "cut" not in found(document)


def test_a_text_is_checked_by_its_paragraphs(project: Project) -> None:
    project.write("train.txt", f"{FIRST}.\nNobody knew.\n\n\n{SECOND}.\n")
    project.write("validation.txt", f"A paragraph of its own, of so many words.\n\n{SECOND}.\n")
    data = {"train": "train.txt", "validation": "validation.txt", "test": None}
    document = check_data(load_config(project.config("text-generation", data=data)))
    assert [split["rows"] for split in document["splits"].values()] == [2, 2]
    assert found(document)["leak"]["places"] == ["validation.txt:3 = train.txt:5"]


def test_a_text_without_blank_lines_is_checked_by_its_lines() -> None:
    assert [row.place for row in paragraphs(Path("a.txt"), "\none\ntwo\n")] == ["a.txt:2", "a.txt:3"]


@needs("continual")
def test_each_stage_is_checked_by_itself(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """The second one has its rows by a pattern, and a label that its training data lack."""
    rows = [
        f'{{"text": "{text}", "label": "{label}", "year": {year}}}\n' for year in (1, 2) for text, label in plain("x")
    ]
    project.write("both.jsonl", "".join(rows))
    project.write("odd.jsonl", f'{{"text": "{FIRST}", "label": "c", "year": 2}}\n')
    stages = [
        {"name": "old", "data": {"train": "train.jsonl", "test": "validation.jsonl"}},
        {"name": "new", "data": {"train": "both.jsonl", "test": "odd.jsonl", "where": {"year": "2"}}},
    ]
    path = project.config("text-classification", train={"max_steps": 1})
    config = {name: section for name, section in yaml.safe_load(path.read_text()).items() if name != "data"}
    path.write_text(yaml.safe_dump({**config, "stages": stages}))
    assert main(["check-data", str(path)]) == 0
    assert "stage 2-new" in capsys.readouterr().out
    old, new = (json.loads(Path(f"runs/config-data/{n}/data-check.json").read_text()) for n in ("1-old", "2-new"))
    assert [document["splits"]["train"]["rows"] for document in (old, new)] == [10, 12]
    assert "unknown-label" not in found(old)
    assert found(new)["unknown-label"]["places"] == ["odd.jsonl:1"]


@needs("continual", "report")
def test_the_report_of_a_stage_shows_its_check(project: Project) -> None:
    data = {"train": "train.jsonl", "test": "validation.jsonl"}
    path = project.config("text-classification", train={"max_steps": 1})
    config = {name: section for name, section in yaml.safe_load(path.read_text()).items() if name != "data"}
    path.write_text(yaml.safe_dump({**config, "stages": [{"name": name, "data": data} for name in ("one", "two")]}))
    assert main(["check-data", str(path)]) == 0
    assert main(["train", str(path)]) == 0
    for name in ("1-one", "2-two"):
        assert "also occur in train" in Path(f"runs/config/stages/{name}/report/index.html").read_text()


def test_outliers_have_reasons() -> None:
    usual = [f"the {thing} is by the road and no one is there" for thing in THINGS * 10]
    texts = [*usual, "la la la la la la", "пять ёлок"]
    entries = [Entry("train", f"x:{i}", Summary((text,), "a")) for i, text in enumerate(texts)]
    tokens = [12 + i % 3 for i in range(len(texts))]
    tokens[7] = 900
    rows = {row.entry.place: row.reasons for row in find_outliers(entries, tokens, [])}
    assert rows == {
        "x:7": ["900 tokens; the median is 13"],
        "x:150": ["'la' is 100% of its words"],
        "x:151": rows["x:151"],
    }
    assert "rare characters" in rows["x:151"][0]


@pytest.mark.parametrize("task", TASKS)
def test_every_task_can_be_checked(project: Project, task: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The data of the tests have the same rows in training and validation: that is to be found, and nothing worse."""
    config = project.config(task, data={"test": None}, model={"max_length": 64})
    assert main(["check-data", str(config)]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("train", "validation", "tokens", "remove them from train"))
    document = json.loads(Path("runs/config-data/data-check.json").read_text())
    assert "<svg " in Path("runs/config-data/data-check.svg").read_text()
    assert "leak" in found(document)
    assert set(found(document)) <= {"leak", "rare-label", *(["duplicate"] if task == "retrieval" else [])}


@pytest.mark.usefixtures("drawn")
def test_a_plot_has_every_label_whole_and_as_text(tmp_path: Path) -> None:
    """A browser has a font for each; long ones are in several lines."""
    labels = [
        "中性",
        "$x_{$",
        "\u05e9\u05dc\u05d5\u05dd",
        "long " * 40,
        "",
        "关于移动应用程序在旧设备上运行缓慢的反馈" * 3,
    ]
    split = {"rows": 1, "token_histogram": [1, 0], "labels": dict.fromkeys(labels, 1)}
    document = {"splits": {"train": split, "test": {**split, "labels": {}}}, "token_edges": [0, 8, 16], "max_length": 9}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = draw_data(document, tmp_path / "data-check.svg")
    text = "".join(element.text or "" for element in ElementTree.parse(picture).iter() if element.tag.endswith("text"))
    assert [label for label in labels if "".join(label.split()) not in "".join(text.split())] == []


def test_json_is_what_is_written(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-data", str(project.config("regression")), "--json"]) == 0
    written = Path("runs/config-data/data-check.json").read_text()
    assert json.loads(capsys.readouterr().out) == json.loads(written)


def test_exit_codes(project: Project, refused: Callable[..., str]) -> None:
    config = str(project.config("text-classification"))
    assert main(["check-data", config, "--strict"]) == 1
    project.write("validation.jsonl", '{"text": "fine"\n')
    assert refused("check-data", config).startswith("validation.jsonl:1: this is not JSON")


def test_places_are_printed_as_they_are(
    project: Project, refused: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A terminal library would make an emoji of the line number, in an error and in a finding."""
    row, config = '{"text": "fine", "label": "a"}\n', project.config("text-classification")
    project.write("train.jsonl", row * 99 + "{\n")
    assert main(["check-data", str(config)]) == 0
    assert "\n    train.jsonl:100: this is not JSON" in capsys.readouterr().out
    project.write("train.csv", "text,label\n" + "fine,a\n" * 98 + '"fine,a\n')
    assert refused("check-data", config, "data.train=train.csv").startswith("train.csv:100: ")


@needs("report")
def test_the_report_shows_the_check_of_its_data(project: Project) -> None:
    config = project.config("text-classification", train={"max_steps": 1})
    assert main(["check-data", str(config)]) == 0
    assert main(["train", str(config)]) == 0
    page = Path("runs/config/report/index.html")
    assert "also occur in train" in page.read_text()
    with Path("train.jsonl").open("a") as file:
        file.write('{"text": "a row more", "label": "good"}\n')
    assert main(["train", str(config)]) == 0
    assert "also occur in train" not in page.read_text()
