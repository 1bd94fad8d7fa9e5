"""The report of a run: what it shows, what it says where something is missing, and that nothing in it is executed."""

import ast
import base64
import html
import json
import re
import subprocess
import sys
import warnings
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from conftest import METRICS, ROOT

from finetune import report
from finetune.errors import UserError
from finetune.report.matrices import MOST_LABELS, MOST_PAIRS
from finetune.report.metrics import MEANINGS
from finetune.report.report import write_report
from finetune.report.words import CHINESE

DATA_URL = "data:image/svg+xml;base64,"
CONFIG = {
    "task": {"type": "text-classification"},
    "model": {"name": "tiny:bert"},
    "method": {"type": "full"},
    "run": {"name": "demo", "dir": "runs"},
}
ENVIRONMENT = {
    "started": "2026-03-01T09:05:00+08:00",
    "language": "en",
    "finetune": "0.1.0",
    "template": "ft-template 0.1.0",
    "git": {"commit": "a1" * 20, "modified": True},
    "python": "3.11.7",
    "platform": "Linux x86_64",
    "packages": {"torch": "2.13.0", "peft": "0.21.2"},
    "device": "cpu (2 threads)",
    "processes": 1,
    "data": {},
    "precision": "bf16",
    "parameters": {"trainable": 1000, "total": 678147},
    "examples": {"train": 2800, "validation": 300},
    "tokens": 54000,
}
RECORDS = [
    {"kind": "train", "step": 10, "epoch": 0.5, "loss": 1.1, "lr": 5e-4, "seconds": 1.0},
    {"kind": "train", "step": 20, "epoch": 1.0, "loss": 0.9, "lr": 1e-3, "seconds": 2.4},
    {"kind": "validation", "step": 20, "epoch": 1.0, "loss": 0.95, "accuracy": 0.81, "f1_macro": 0.99, "best": True},
    {"kind": "train", "step": 40, "epoch": 2.0, "loss": 0.4, "lr": 0.0, "seconds": 75.2},
    {"kind": "validation", "step": 40, "epoch": 2.0, "loss": 0.97, "accuracy": 0.79, "f1_macro": 0.98, "best": False},
]


def evaluation(
    split: str = "test", labels: tuple[str, ...] = ("negative", "positive"), **changes: Any
) -> dict[str, Any]:
    size = len(labels)
    return {
        "format": 1,
        "task": "text-classification",
        "split": split,
        "data": "data/demo/test.jsonl",
        "examples": 1234,
        "loss": 0.25,
        "headline": "accuracy",
        "lower_is_better": False,
        "metrics": {"accuracy": 0.9375, "f1_macro": 0.91},
        "baseline": [{"name": "majority class", "metrics": {"accuracy": 0.4475, "f1_macro": 0.2}}],
        "tables": [
            {"title": "Per class", "note": "", "columns": ["label", "f1"], "rows": [[label, 0.5] for label in labels]}
        ],
        "scatters": [],
        "matrices": [
            {
                "title": "Confusion matrix",
                "row_label": "true",
                "column_label": "predicted",
                "labels": list(labels),
                "counts": [[row * size + column for column in range(size)] for row in range(size)],
            }
        ],
        "notes": [],
        **changes,
    }


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "demo"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    return folder


def log(run: Path, *records: dict[str, Any], tail: str = "") -> None:
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (run / "metrics.jsonl").write_text(lines + tail, encoding="utf-8")


def save(run: Path, content: dict[str, Any]) -> None:
    (run / f"evaluation-{content['split']}.json").write_text(json.dumps(content), encoding="utf-8")


def page_of(run: Path) -> str:
    return write_report(run).read_text(encoding="utf-8")


def cells_of(page: str) -> list[tuple[str, str, str]]:
    """The cells of a confusion matrix: the pair of labels, the share of the row, the count."""
    found = re.findall(r'<td style="--share: ([\d.]+)" title="([^"]+)">([^<]*)</td>', page)
    return [(html.unescape(title), share, count) for share, title, count in found]


@pytest.mark.usefixtures("drawn")
def test_a_whole_run_is_shown(run: Path) -> None:
    log(run, *RECORDS)
    save(run, evaluation())
    page = page_of(run)

    for text in ("tiny:bert", "0.9375", "majority class", "0.4475", "1,234", "Per class", "0:01:15", "type: full"):
        assert text in page
    pictures = {path.name: path.read_bytes() for path in (run / "report").glob("*.svg")}
    assert set(pictures) == {"loss.svg", "metric.svg", "learning-rate.svg"}
    embedded = [base64.b64decode(data) for data in re.findall(rf"{re.escape(DATA_URL)}([^\"]+)", page)]
    assert sorted(embedded) == sorted(pictures.values())
    assert all(ElementTree.fromstring(data).tag == "{http://www.w3.org/2000/svg}svg" for data in embedded)
    assert cells_of(page) == [("negative → negative", "0.000", ""), ("negative → positive", "1.000", "1"),
                              ("positive → negative", "0.400", "2"), ("positive → positive", "0.600", "3")]  # fmt: skip


def test_the_best_step_is_that_of_the_model_that_was_kept(run: Path) -> None:
    log(run, *RECORDS)
    assert "<dt>best step</dt><dd>20</dd>" in page_of(run)
    log(run, *RECORDS[:4], {**RECORDS[4], "best": True})
    assert "<dt>best step</dt><dd>40</dd>" in page_of(run)


def test_the_page_needs_no_other_file_and_no_script(run: Path) -> None:
    log(run, *RECORDS)
    save(run, evaluation())
    tags: list[tuple[str, dict[str, str | None]]] = []

    class Collect(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append((tag, dict(attrs)))

    page = page_of(run)
    Collect().feed(page)
    assert {tag for tag, _ in tags}.isdisjoint({"script", "link", "iframe", "object"})
    sources = [value for _, attributes in tags for name, value in attributes.items() if name in ("src", "href")]
    assert sources
    assert all((source or "").startswith(DATA_URL) for source in sources)
    assert "url(" not in page
    for picture in (run / "report").glob("*.svg"):
        assert "<script" not in picture.read_text()
        assert set(re.findall(r'href="(.)', picture.read_text())) <= {"#"}


def test_what_users_name_is_escaped(run: Path) -> None:
    attack = "<script>alert('&')</script>"
    save(run, evaluation(labels=(attack, "ok"), data=attack, notes=[attack], headline="accuracy"))
    config = {**CONFIG, "run": {"name": attack}, "model": {"name": attack}}
    (run / "config.json").write_text(json.dumps(config), encoding="utf-8")
    page = page_of(run)

    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;") >= 5


@pytest.mark.usefixtures("drawn")
@pytest.mark.parametrize("label", ["$x_{$", "中性", "\u05e9\u05dc\u05d5\u05dd", "😀", "a\nb", "", "long " * 40])
def test_any_label_is_shown_whole(run: Path, label: str) -> None:
    """As text of the page, for which a browser has a font."""
    save(run, evaluation(labels=(label, "other")))
    page = page_of(run)
    assert page.count(f'<th scope="row"><span dir="auto">{label}</span>') == 1
    assert page.count(f'<th scope="col"><span dir="auto">{label}</span>') == 1


@pytest.mark.usefixtures("drawn")
@pytest.mark.parametrize("name", ["$x_{$", "中性", "a & <b>"])
def test_text_of_a_plot_stays_text(run: Path, name: str) -> None:
    """A font of matplotlib may lack the script; there is no warning of it."""
    log(run, {"kind": "validation", "step": 20, "epoch": 1.0, "loss": 0.95, name: 0.5, "best": True})
    save(run, evaluation(headline=name, metrics={name: 0.5}, baseline=[]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_report(run)
    texts = [element.text for element in ElementTree.parse(run / "report" / "metric.svg").iter() if element.text]
    assert f"{name} on validation: 0.5000 at the best step, 20" in texts


@pytest.mark.usefixtures("drawn")
def test_predictions_are_drawn_against_the_truth(run: Path) -> None:
    sheet = {"true": [0.5, 2.0, 2.0], "predicted": [0.7, 1.5, 2.1]}
    pictures = []
    for moved in (0.0, 1.0):
        points = {**sheet, "predicted": [value + moved for value in sheet["predicted"]]}
        save(run, evaluation(matrices=[], scatters=[{"title": "Predicted against true", **points}]))
        assert "Predicted against true" in page_of(run)
        pictures.append((run / "report" / "scatter-test-1.svg").read_bytes())
    assert pictures[0] != pictures[1]


@pytest.mark.usefixtures("drawn")
def test_curves_are_drawn_with_what_was_chosen(run: Path) -> None:
    """An evaluation of an earlier version has none."""
    curves = {"title": "By threshold", "x_label": "threshold", "x": [0.0, 0.5], "lines": {"f1": [0.1, 0.9]}}
    save(run, evaluation(curves=[{**curves, "chosen": 0.4567}]))
    assert "By threshold" in page_of(run)
    picture = ElementTree.parse(run / "report" / "curve-test-1.svg")
    assert {"f1", "threshold", "chosen: 0.457"} <= {element.text for element in picture.iter()}


@pytest.mark.parametrize("size", [1, 2, MOST_LABELS])
def test_a_matrix_has_a_cell_for_each_pair(run: Path, size: int) -> None:
    save(run, evaluation(labels=tuple(f"label {number}" for number in range(size))))
    assert [text for _, _, text in cells_of(page_of(run))] == [f"{n:,}" if n else "" for n in range(size * size)]


def test_of_many_labels_the_most_frequent_confusions_are_listed(run: Path) -> None:
    """A count is its row times the number of labels plus its column, so that the last but one is the largest."""
    size = MOST_LABELS + 1
    save(run, evaluation(labels=tuple(f"label {number}" for number in range(size))))
    page = page_of(run)
    assert cells_of(page) == []
    first = re.search(r"share of the row</th></tr>\s*<tr>(.*?)</tr>", page, re.DOTALL)
    assert first
    shown = re.findall(r">([^<>\s][^<>]*)<", first[1])
    row = sum(size * (size - 1) + column for column in range(size))
    assert shown == [f"label {size - 1}", f"label {size - 2}", f"{size * size - 2:,}", f"{(size * size - 2) / row:.4f}"]
    assert f"The {MOST_PAIRS} most frequent confusions of {size} labels." in page


def test_the_test_split_comes_first_and_every_split_is_there(run: Path) -> None:
    for split in ("other", "validation", "test"):
        save(run, evaluation(split))
    assert re.findall(r"<section class=\"card\">\s*<h3>(\w+)", page_of(run)) == ["test", "other", "validation"]


def test_a_run_without_anything_says_so(run: Path) -> None:
    page = page_of(run)
    assert "the config names no validation or test data" in page
    assert "Nothing was logged yet" in page
    assert "<img" not in page


@pytest.mark.parametrize(
    ("data", "options"),
    [
        ({"train": "a.jsonl", "validation": "v.jsonl", "test": "t.jsonl"}, "--split test"),
        ({"train": "a.jsonl", "validation": "v.jsonl", "test": None}, "--split validation"),
        ({"train": "a.jsonl", "validation": None, "test": None}, "--data FILE"),
    ],
)
def test_it_advises_a_command_that_works(run: Path, data: dict[str, Any], options: str) -> None:
    (run / "config.json").write_text(json.dumps({**CONFIG, "data": data}), encoding="utf-8")
    advised = re.findall("<code>(.+?)</code>", page_of(run))
    assert advised == [f"python -m finetune evaluate {run.as_posix()} {options}"]


def test_where_the_run_came_from_is_shown(run: Path) -> None:
    config = {**CONFIG, "train": {"seed": 7}, "data": {"test": "data/demo/test.jsonl"}}
    (run / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (run / "environment.json").write_text(json.dumps(ENVIRONMENT), encoding="utf-8")
    save(run, evaluation())
    facts = dict(re.findall("<dt>(.+?)</dt><dd>(.+?)</dd>", page_of(run)))
    assert facts["examples"] == "train 2,800, validation 300, test 1,234"
    assert facts["tokens of an epoch"] == "54,000"
    assert facts["parameters"] == "1,000 of 678,147 trainable"
    assert facts["started"] == "2026-03-01 09:05 +0800"
    assert facts["git commit"] == f"{'a1' * 20}, modified"
    versions = {"python": "3.11.7", "torch": "2.13.0", "finetune": "0.1.0", "template": "ft-template 0.1.0"}
    assert facts.items() >= {"seed": "7", "device": "cpu (2 threads)", "training precision": "bf16", **versions}.items()


def test_a_run_that_recorded_less_has_a_report(run: Path) -> None:
    """As those of earlier versions have."""
    for missing in ENVIRONMENT:
        environment = {name: value for name, value in ENVIRONMENT.items() if name != missing}
        (run / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
        assert "None" not in page_of(run)


def test_every_metric_of_every_task_has_a_meaning() -> None:
    assert {metric for metrics in METRICS.values() for metric in metrics} - MEANINGS.keys() == set()


def test_metrics_are_explained(run: Path) -> None:
    save(run, evaluation(metrics={"accuracy": 0.9, "of my own": 0.8}))
    page = page_of(run)
    assert "Share of the examples whose label is right." in page
    assert "of my own" in page


def test_a_chinese_project_has_a_chinese_page(run: Path) -> None:
    (run / "environment.json").write_text(json.dumps({**ENVIRONMENT, "language": "zh"}), encoding="utf-8")
    log(run, *RECORDS)
    baselines = [
        {"name": name, "metrics": {"accuracy": 0.4475}} for name in ("always '负面'", "always the mean, 3.5", "mine")
    ]
    rows = [["负面", 0.5], ["precision", 0.5], ["macro avg", 0.5]]  # precision is a label here
    table = {"title": "Per label", "note": "", "columns": ["label", "f1"], "rows": rows}
    kinds = {
        **{"title": "Errors by kind", "note": "To see more, run: python -m finetune errors runs/demo"},
        **{"columns": ["kind", "count"], "rows": [["missed", 3]]},
    }
    found = evaluation(labels=("正面", "负面"), baseline=baselines, tables=[table, kinds])
    save(run, {**found, "interval": [0.25, 0.75]})
    page = page_of(run)
    assert '<html lang="zh-CN">' in page
    for text in (
        "结果",
        "95% 区间",
        "0.2500 至 0.7500",
        "混淆矩阵",
        "标签预测正确的样本所占的比例。",
        "<dt>设备</dt>",
        "最佳步",
    ):
        assert text in page
    for text in ("错误的种类", "查看更多，请运行：python -m finetune errors", '<span dir="auto">遗漏</span>'):
        assert text in page
    for name in ("总是预测 &#39;负面&#39;", "总是预测平均值 3.5", "mine", "宏平均", "precision"):
        assert f'<span dir="auto">{name}</span>' in page


def test_every_word_of_the_page_has_its_chinese() -> None:
    """Those that the sources pass to `_`; and the columns, titles and metrics of tasks that the table names."""
    sources = [path.read_text(encoding="utf-8") for path in Path(report.__file__).parent.glob("*.*")]
    marked = {ast.literal_eval(text) for source in sources for text in re.findall(r'\b_\(\s*("[^"]*")\s*\)', source)}
    assert len(marked) > 30
    assert marked - CHINESE.keys() == set()
    assert set(MEANINGS.values()) - CHINESE.keys() == set()
    for english, chinese in CHINESE.items():
        assert set(re.findall(r"\{\w+\}", english)) == set(re.findall(r"\{\w+\}", chinese)), english


def test_a_run_without_validation_says_so(run: Path) -> None:
    log(run, RECORDS[0])
    page = page_of(run)
    assert "no validation" in page
    assert "best step" not in page


def test_pictures_of_an_earlier_report_are_gone(run: Path) -> None:
    save(run, evaluation("old", scatters=[{"title": "", "true": [1.0], "predicted": [1.0]}]))
    write_report(run)
    assert [path.name for path in (run / "report").glob("*.svg")] == ["scatter-old-1.svg"]
    (run / "evaluation-old.json").unlink()
    write_report(run)
    assert list((run / "report").glob("*.svg")) == []


def test_a_loss_that_is_not_a_number_leaves_a_gap(run: Path) -> None:
    log(run, {**RECORDS[0], "loss": float("nan")}, {**RECORDS[2], "accuracy": float("nan")}, RECORDS[4])
    save(run, evaluation(loss=float("nan")))
    assert "<dt>best step</dt><dd>20</dd>" in page_of(run)


def test_a_split_cannot_name_a_place_elsewhere(run: Path) -> None:
    content = evaluation(split="../../../outside", scatters=[{"title": "", "true": [1.0], "predicted": [1.0]}])
    (run / "evaluation-test.json").write_text(json.dumps(content), encoding="utf-8")
    write_report(run)
    assert [path for path in run.parent.parent.rglob("*.svg") if path.parent != run / "report"] == []
    assert [path.name for path in (run / "report").iterdir()] == ["index.html"]


def test_the_last_line_may_be_cut_short(run: Path) -> None:
    log(run, *RECORDS, tail='{"kind": "train", "st')
    assert "<dt>steps</dt><dd>40</dd>" in page_of(run)


@pytest.mark.parametrize("broken", ["{", "[]", "{}", '{"kind": "other", "step": 1}', '{"kind": "train", "step": null}'])
def test_any_other_broken_line_is_named(run: Path, broken: str) -> None:
    (run / "metrics.jsonl").write_text(f"{broken}\n{json.dumps(RECORDS[0])}\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"metrics\.jsonl:1: "):
        write_report(run)


@pytest.mark.parametrize("name", ["config.json", "evaluation-test.json"])
@pytest.mark.parametrize("content", ["{", "[]"])
def test_broken_files_are_named(run: Path, name: str, content: str) -> None:
    (run / name).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=re.escape(name)):
        write_report(run)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not a run folder: it has no config\.json"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_it_is_written_without_torch(run: Path) -> None:
    code = (
        f"import sys; from finetune.cli import main; main(['report', {str(run)!r}]); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT / "src", stdout=subprocess.DEVNULL).returncode == 0
    assert (run / "report" / "index.html").is_file()
