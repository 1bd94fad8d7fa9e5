"""The report of a run: what it shows, what it says where something is missing, and that nothing in it is executed."""

import base64
import json
import re
import subprocess
import sys
import warnings
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from finetune.errors import UserError
from finetune.report.report import write_report

PNG = b"\x89PNG\r\n\x1a\n"
CONFIG = {
    "task": {"type": "text-classification"},
    "model": {"name": "tiny:bert"},
    "method": {"type": "full"},
    "run": {"name": "demo", "dir": "runs"},
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


@pytest.mark.usefixtures("drawn")
def test_a_whole_run_is_shown(run: Path) -> None:
    log(run, *RECORDS)
    save(run, evaluation())
    page = page_of(run)

    for text in ("tiny:bert", "0.9375", "majority class", "0.4475", "1,234", "Per class", "0:01:15", "type: full"):
        assert text in page
    pictures = {path.name: path.read_bytes() for path in (run / "report").glob("*.png")}
    assert set(pictures) == {"loss.png", "metric.png", "learning-rate.png", "confusion-test-1.png"}
    embedded = [base64.b64decode(data) for data in re.findall(r"data:image/png;base64,([^\"]+)", page)]
    assert sorted(embedded) == sorted(pictures.values())
    assert all(data.startswith(PNG) for data in embedded)


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
    assert all((source or "").startswith("data:image/png;base64,") for source in sources)
    assert "url(" not in page


def test_what_users_name_is_escaped(run: Path) -> None:
    attack = "<script>alert('&')</script>"
    save(run, evaluation(labels=(attack, "ok"), data=attack, notes=[attack], headline="accuracy"))
    config = {**CONFIG, "run": {"name": attack}, "model": {"name": attack}}
    (run / "config.json").write_text(json.dumps(config), encoding="utf-8")
    page = page_of(run)

    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;") >= 5


@pytest.mark.usefixtures("drawn")
@pytest.mark.parametrize("label", ["$x_{$", "中性", "\u05e9\u05dc\u05d5\u05dd", "a\nb", "", "long " * 40])
def test_any_label_can_be_drawn_without_a_warning(run: Path, label: str) -> None:
    save(run, evaluation(labels=(label, "other")))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_report(run)
    assert (run / "report" / "confusion-test-1.png").read_bytes().startswith(PNG)


@pytest.mark.usefixtures("drawn")
def test_predictions_are_drawn_against_the_truth(run: Path) -> None:
    sheet = {"true": [0.5, 2.0, 2.0], "predicted": [0.7, 1.5, 2.1]}
    pictures = []
    for moved in (0.0, 1.0):
        points = {**sheet, "predicted": [value + moved for value in sheet["predicted"]]}
        save(run, evaluation(matrices=[], scatters=[{"title": "Predicted against true", **points}]))
        assert "Predicted against true" in page_of(run)
        pictures.append((run / "report" / "scatter-test-1.png").read_bytes())
    assert pictures[0] != pictures[1]


@pytest.mark.usefixtures("drawn")
@pytest.mark.parametrize("size", [1, 2, 45])
def test_matrices_of_any_size_are_drawn(run: Path, size: int) -> None:
    save(run, evaluation(labels=tuple(f"label {number}" for number in range(size))))
    write_report(run)
    assert (run / "report" / "confusion-test-1.png").is_file()


def test_the_test_split_comes_first_and_every_split_is_there(run: Path) -> None:
    for split in ("other", "validation", "test"):
        save(run, evaluation(split))
    assert re.findall(r"<section class=\"card\">\s*<h3>(\w+)", page_of(run)) == ["test", "other", "validation"]


def test_a_run_without_anything_says_so(run: Path) -> None:
    page = page_of(run)
    assert "Nothing was evaluated yet" in page
    assert "Nothing was logged yet" in page
    assert "<img" not in page


def test_a_run_without_validation_says_so(run: Path) -> None:
    log(run, RECORDS[0])
    page = page_of(run)
    assert "no validation" in page
    assert "best step" not in page


def test_pictures_of_an_earlier_report_are_gone(run: Path) -> None:
    save(run, evaluation("old"))
    write_report(run)
    (run / "evaluation-old.json").unlink()
    write_report(run)
    assert list((run / "report").glob("*.png")) == []


def test_a_loss_that_is_not_a_number_leaves_a_gap(run: Path) -> None:
    log(run, {**RECORDS[0], "loss": float("nan")}, {**RECORDS[2], "accuracy": float("nan")}, RECORDS[4])
    save(run, evaluation(loss=float("nan")))
    assert "<dt>best step</dt><dd>20</dd>" in page_of(run)


def test_a_split_cannot_name_a_place_elsewhere(run: Path) -> None:
    content = evaluation(split="../../../outside")
    (run / "evaluation-test.json").write_text(json.dumps(content), encoding="utf-8")
    write_report(run)
    assert [path.name for path in (run / "report").glob("*.png")] == ["confusion-test-1.png"]


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
