"""Learnt baselines: what they learn, that they see the training data alone, and what an evaluation says of them."""

import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Project, build, needs
from sklearn.feature_extraction.text import TfidfVectorizer

from finetune.baselines import learnt
from finetune.baselines import retrieval as retrieval_baselines
from finetune.baselines.bm25 import trigrams
from finetune.baselines.sample import sample
from finetune.baselines.text_features import Ngrams
from finetune.cli import main
from finetune.config.load import load_config
from finetune.data.rows import Row
from finetune.dataset import read_split
from finetune.inference import infer
from finetune.run.folder import RunFolder
from finetune.run.saved_model import load_saved_model
from finetune.tasks import make_task
from finetune.tasks.base import Task
from finetune.tasks.bm25 import BM25, K1, B, characters, is_spaceless, words
from finetune.tasks.settings import (
    MultiLabelClassification,
    Ranking,
    Regression,
    Settings,
    TextClassification,
)
from finetune.tasks.verdict import verdict


def fitted(settings: Settings, rows: list[dict[str, Any]], **features: Any) -> tuple[Task[Any, Any], list[Any]]:
    """A task that knows the labels of the rows, and its examples."""
    task = make_task(settings, features=features)
    examples = examples_of(task, rows)
    task.fit(examples)
    return task, examples


def examples_of(task: Task[Any, Any], rows: list[dict[str, Any]]) -> list[Any]:
    return task.parse([Row(f"rows:{number}", row, row) for number, row in enumerate(rows, 1)])


def headline(task: Task[Any, Any], model: learnt.Model, rows: list[dict[str, Any]]) -> float:
    examples = examples_of(task, rows)
    return task.score(examples, model.predictions(examples)).metrics[task.main_metric]


def test_a_sample_keeps_to_its_budget_and_every_item_is_as_likely() -> None:
    assert sample("abc", len, count=3, total=3) == (["a", "b", "c"], 3)
    kept, seen = sample(range(1, 101), lambda size: size, count=50, total=400)
    assert seen == 100
    assert sum(kept) <= 400
    assert kept == sorted(kept)
    assert sample(range(1, 101), lambda size: size, count=50, total=400) == (kept, seen)
    drawn = Counter(item for seed in range(400) for item in sample(range(20), lambda item: 1, 5, 99, seed)[0])
    assert all(60 < drawn[item] < 140 for item in range(20))  # 100 on average, with a deviation of 8.7


def test_bm25_by_hand() -> None:
    documents = ["red red apple", "green pear", "red wine and more wine", "apple"]
    matching = BM25(documents, words)
    mean = (3 + 2 + 5 + 1) / 4
    assert matching.idf("red") == pytest.approx(math.log(1 + (4 - 2 + 0.5) / (2 + 0.5)))
    assert matching.idf("unseen") == pytest.approx(math.log(1 + 4.5 / 0.5))
    norm = K1 * (1 - B + B * 3 / mean)
    of_red = matching.idf("red") * 2 * (K1 + 1) / (2 + norm)
    of_apple = matching.idf("apple") * (K1 + 1) / (1 + norm)
    assert matching.score("Red apple, pear?", "red red apple") == pytest.approx(of_red + of_apple)
    assert matching.score("red red", "red red apple") == pytest.approx(2 * of_red)
    assert matching.score("pear", "red red apple") == 0


def test_tokens() -> None:
    assert words("It's RED!") == ["it", "s", "red"]
    assert characters("红酒 a") == ["红", "酒", "a", "红酒", "酒a"]
    assert trigrams("red a") == [" re", "red", "ed ", " a "]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is good.", False),
        ("物流很快,但是屏幕有划痕。", True),
        ("物流 很 快 , 但是 屏幕 有 划痕 。", False),
        ("ส่งของเร็วมาก แต่หน้าจอมีรอย", True),
        ("배송은 빠르지만 화면에 흠집이 있어요", False),
        ("这个 iPhone 很好用", False),
        ("123 !", False),
    ],
)
def test_scripts_without_spaces(text: str, expected: bool) -> None:
    assert is_spaceless([text]) == expected


def test_characters_inside_words_are_those_of_scikit_learn() -> None:
    texts, others = ["a fine day, a FINE song", "x", "they laughed a lot"], ["a finer song", "laughter of new words"]
    ours, theirs = (
        Ngrams("char_wb", (3, 5), most=10**6),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True),
    )
    ours.fit(texts)
    expected = theirs.fit_transform(texts).toarray()
    # The order of the features does not matter: the products of the rows are the same.
    np.testing.assert_allclose(gram(ours.transform(texts)), expected @ expected.T, atol=1e-6)
    expected = theirs.transform(others).toarray()
    np.testing.assert_allclose(gram(ours.transform(others)), expected @ expected.T, atol=1e-6)


def gram(matrix: Any) -> Any:
    return (matrix @ matrix.T).toarray()


def test_the_most_frequent_features_are_kept() -> None:
    ngrams = Ngrams("word", (1, 1), most=2)
    ngrams.fit(["a b", "a c", "a b d"])
    assert ngrams.transform(["c d", "a", "b"]).toarray().astype(bool).tolist() == [
        [False, False], [True, False], [False, True]
    ]  # fmt: skip


def test_labels_are_learnt_with_the_probability_of_each() -> None:
    rows = [{"text": f"{word} {number}", "label": word} for number in range(20) for word in ("up", "down", "flat")]
    task, examples = fitted(TextClassification(type="text-classification"), rows)
    [model] = learnt.fit(task, examples)
    assert model.name == "TF-IDF with logistic regression"
    assert headline(task, model, [{"text": "going up now", "label": "up"}, {"text": "down !", "label": "down"}]) == 1
    [prediction] = model.predictions(examples_of(task, [{"text": "flat", "label": "flat"}]))
    assert prediction.probabilities[task.labels.index("flat")] == max(prediction.probabilities) > 0.6
    assert sum(prediction.probabilities) == pytest.approx(1)


def test_a_label_without_training_examples_has_no_probability() -> None:
    rows = [{"text": word, "label": word} for word in ("up", "down", "flat")] * 5
    task, examples = fitted(TextClassification(type="text-classification"), rows)
    [model] = learnt.fit(task, [example for example in examples if example.label != "flat"])
    assert [one.probabilities[task.labels.index("flat")] for one in model.predictions(examples)] == [0] * 15
    [constant] = learnt.fit(task, [example for example in examples if example.label == "up"])
    assert {one.label for one in constant.predictions(examples)} == {"up"}


def test_class_weights_count() -> None:
    rows = [{"text": "same", "label": label} for label in ("often", "often", "often", "rare")]
    shares = {}
    for weights in ("none", "balanced"):
        task, examples = fitted(TextClassification(type="text-classification", class_weights=weights), rows)
        [model] = learnt.fit(task, examples)
        [prediction] = model.predictions(examples[:1])
        shares[weights] = prediction.probabilities[task.labels.index("rare")]
    assert shares["none"] == pytest.approx(0.25, abs=0.01)
    assert shares["balanced"] == pytest.approx(0.5, abs=0.01)


def test_several_labels_have_a_threshold_from_the_training_data() -> None:
    tagged = {"bill wrong": ["money"], "log in": ["login"], "bill and log in": ["money", "login"], "hello": []}
    rows = [{"text": text, "labels": labels} for text, labels in tagged.items()] * 10
    task, examples = fitted(MultiLabelClassification(type="multi-label-classification"), rows)
    task.threshold = 0.999  # type: ignore[attr-defined]
    [model] = learnt.fit(task, examples)
    assert headline(task, model, rows) == 1
    assert task.threshold == 0.999  # type: ignore[attr-defined]  # that of the transformer stays


def test_numbers_are_learnt_in_the_unit_of_the_data() -> None:
    rows = [{"text": f"{word} thing", "label": value} for word, value in (("poor", 100.0), ("good", 300.0))] * 20
    task, examples = fitted(Regression(type="regression"), rows)
    [model] = learnt.fit(task, examples)
    assert model.name == "TF-IDF with ridge regression"
    assert model.predictions(examples[:2]) == pytest.approx([100, 300], abs=10)


def test_a_pair_is_compared() -> None:
    """Whether both texts have the same word cannot be told from either alone."""
    names = [f"name{number}" for number in range(8)]
    rows = [
        {"text": f"about {a}", "text_pair": f"{b} it is", "label": "same" if a == b else "other"}
        for a in names for b in [a] * 7 + [name for name in names if name != a]
    ]  # fmt: skip
    task, examples = fitted(TextClassification(type="text-classification"), rows)
    [model] = learnt.fit(task, examples)
    assert "both texts" in model.described
    assert headline(task, model, rows) > 0.95


@pytest.mark.parametrize(("kind", "values"), [("number", (1.0, 9.0)), ("category", ("x", "y"))])
def test_tabular_features_are_joined(kind: str, values: tuple[Any, Any]) -> None:
    rows = [{"text": f"t{n % 3}", "other": values[n % 2], "label": str(n % 2)} for n in range(30)]
    task, examples = fitted(TextClassification(type="text-classification"), rows, other=kind)
    [model] = learnt.fit(task, examples)
    assert headline(task, model, rows) == 1
    missing = [{"text": "t0", "other": None, "label": "0"}, {"text": "t0", "other": values[0], "label": "0"}]
    assert len(model.predictions(examples_of(task, missing))) == 2


def test_documents_are_ordered_by_words_and_by_features() -> None:
    """Of documents with the same words the long ones are relevant, which only the features tell."""
    rows = [
        {"query": f"topic{q}", "document": document, "label": label}
        for q in range(10)
        for document, label in (
            ("other text", 0), (f"topic{q} short", 1), (f"topic{q} short with a number of words more than that", 2)
        )
    ]  # fmt: skip
    task, examples = fitted(Ranking(type="ranking"), rows)
    plain, with_features = learnt.fit(task, examples)
    assert (plain.name, with_features.name) == ("BM25", "BM25 with features")
    assert headline(task, with_features, rows) == pytest.approx(1)
    assert headline(task, plain, rows) < 0.99
    same = [{"query": "a", "document": f"d{n}", "label": 1} for n in range(2)]
    assert [model.name for model in learnt.fit(task, examples_of(task, same))] == [
        "BM25"
    ]  # nothing to learn an order from


def test_tabular_features_order_documents() -> None:
    rows = [{"query": f"q{n // 3}", "document": "same", "label": n % 3, "price": float(n % 3)} for n in range(30)]
    task, examples = fitted(Ranking(type="ranking"), rows, price="number")
    _, with_features = learnt.fit(task, examples)
    assert headline(task, with_features, rows) == pytest.approx(1)


def evaluation(split: str = "validation") -> dict[str, Any]:
    return json.loads(Path(f"runs/config/evaluation-{split}.json").read_text())


def learnt_names(found: dict[str, Any]) -> list[str]:
    return [one["name"] for one in found["baseline"] if one.get("learnt")]


@pytest.mark.parametrize(
    ("task", "names"),
    [
        ("text-classification", ["TF-IDF with logistic regression"]),
        ("multi-label-classification", ["TF-IDF with logistic regression"]),
        ("regression", ["TF-IDF with ridge regression"]),
        ("ranking", ["BM25", "BM25 with features"]),
        ("retrieval", ["BM25", "the encoder before the training"]),
        ("token-classification", []),
        ("translation", []),
    ],
)
def test_an_evaluation_shows_them(finished: Callable[[str], None], task: str, names: list[str]) -> None:
    finished(task)
    assert learnt_names(evaluation()) == names


def test_bm25_of_all_pairs_is_that_of_each() -> None:
    documents = ["the cat sat on the mat", "a dog", "the dog and the cat", ""]
    queries = ["the cat", "dog dog", "nothing known", "the the mat"]
    one = BM25(documents, words)
    expected = [[one.score(query, document) for document in documents] for query in queries]
    np.testing.assert_allclose(one.score_all(queries, documents)(slice(0, 4)), expected, rtol=1e-12)
    assert one.score_all(queries, ["", "?"])(slice(0, 4)).tolist() == [[0, 0]] * 4


@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_encoder_before_the_training_is_that_of_step_0(project: Project, method: str) -> None:
    """The vectors that the first validation would have had, with a tiny model from the seed of the run."""
    config = project.config("retrieval", method={"type": method}, train={"max_steps": 1, "device": "cpu"})
    start = build(load_config(config))
    project.train(config)
    run = RunFolder(Path("runs/config"))
    saved = load_saved_model(run.model)
    examples = read_split(run.config(), saved.task, run.config().data.test)
    found = retrieval_baselines.by_untrained_encoder(run, saved, examples)
    features = start.task.encode(examples, start.tokenizer, 32).features
    result = infer(start.model, start.task, start.tokenizer, features, "evaluation", budget=10**6, precision="fp32")
    expected = start.task.predictions(examples, features, result.decoded)
    assert [one.documents for one in found] == [one.documents for one in expected]
    np.testing.assert_allclose([one.scores for one in found], [one.scores for one in expected], rtol=1e-5)


def test_the_encoder_before_the_training_is_none_outside_of_the_project(project: Project) -> None:
    project.train(project.config("retrieval", train={"max_steps": 1}))
    path = Path("runs/config/config.json")
    config = json.loads(path.read_text())
    config["model"]["name"] = "/etc"
    path.write_text(json.dumps(config))
    assert main(["evaluate", "latest", "--split", "validation"]) == 0
    found = evaluation("validation")
    assert learnt_names(found) == ["BM25"]
    assert "lies outside of the current folder" in " ".join(found["notes"])


@pytest.fixture
def run(finished: Callable[[str], None]) -> Path:
    """A run of text classification."""
    finished("text-classification")
    return Path("runs/config")


def test_they_see_the_training_data_alone(run: Path, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    fit = learnt.fit
    monkeypatch.setattr(learnt, "fit", lambda task, examples: seen.extend(examples) or fit(task, examples))
    project.write("other.jsonl", '{"text": "never seen", "label": "good"}\n')
    assert main(["evaluate", str(run), "--split", "other", "--data", "other.jsonl"]) == 0
    trained = [json.loads(line)["text"] for line in Path("train.jsonl").read_text().splitlines()]
    assert [example.text for example in seen] == trained


def test_they_are_learnt_once(run: Path, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["evaluate", str(run)]) == 0
    first, cache = evaluation("test"), (run / "baselines.json").read_text()
    fits = []
    fit = learnt.fit
    monkeypatch.setattr(learnt, "fit", lambda *arguments: fits.append(1) or fit(*arguments))
    assert main(["evaluate", str(run)]) == 0
    assert (evaluation("test"), fits) == (first, [])
    assert (run / "baselines.json").read_text() == cache
    # Other scored rows, and a damaged cache.
    rows = Path("validation.jsonl").read_text().splitlines(keepends=True)
    project.write("validation.jsonl", "".join(rows[:-1]))
    assert main(["evaluate", str(run)]) == 0
    assert len(fits) == 1
    (run / "baselines.json").write_text('{"evaluations": {"validation.jsonl": 3}}')
    assert main(["evaluate", str(run)]) == 0
    assert len(fits) == 2
    assert learnt_names(evaluation("test"))


@pytest.mark.parametrize("change", ["gone", "changed"])
def test_without_the_training_data_the_rest_is_evaluated(
    run: Path, project: Project, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = Path("train.jsonl")
    trained.unlink() if change == "gone" else trained.write_text(trained.read_text() * 2)
    project.write("other.jsonl", Path("validation.jsonl").read_text())
    capsys.readouterr()
    assert main(["evaluate", str(run), "--split", "other", "--data", "other.jsonl"]) == 0
    told = {"gone": "no such file", "changed": "is not the file that the run was trained on"}[change]
    said = " ".join(capsys.readouterr().out.split())
    assert "No baseline was learnt: train.jsonl: " in said
    assert told in said
    found = evaluation("other")
    assert learnt_names(found) == []
    assert len(found["baseline"]) == 1
    assert "accuracy" in found["metrics"]


def test_a_run_must_not_name_any_file(run: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.jsonl"
    secret.write_text(Path("train.jsonl").read_text() + '{"text": "a secret", "label": "good"}\n')
    config = json.loads((run / "config.json").read_text())
    config["data"]["train"] = [str(secret)]
    (run / "config.json").write_text(json.dumps(config))
    assert main(["evaluate", str(run), "--data", "validation.jsonl"]) == 0
    found = evaluation("test")
    assert learnt_names(found) == []
    assert "lies outside of the current folder" in " ".join(found["notes"])


def test_a_sample_is_said(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learnt, "MOST_EXAMPLES", 6)
    (run / "baselines.json").unlink()
    assert main(["evaluate", str(run)]) == 0
    [note] = evaluation("test")["notes"]
    assert note == (
        "The learnt baselines are fitted to a sample of the training data: 6 of 10 examples of train.jsonl."
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "lower_is_better", "interval", "told"),
    [
        (0.9, 0.8, False, None, None),
        (0.9, 0.8, False, [0.85, 0.95], None),
        (0.9, 0.86, False, [0.85, 0.95], "Not distinguishable from the baseline 'best': its m of 0.8600 lies in the "),
        (0.8, 0.9, False, [0.7, 0.95], "The baseline 'best' is better: m 0.9000 against 0.8000. More training data, "),
        (0.8, 0.8, False, None, "The baseline 'best' is as good: m 0.8000."),
        (5.0, 6.0, True, [4.0, 5.5], None),
        (5.0, 4.0, True, None, "The baseline 'best' is better: m 4.0000 against 5.0000."),
        (5.0, 5.2, True, [4.0, 5.5], "Not distinguishable"),
    ],
)
def test_verdict(
    ours: float, theirs: float, lower_is_better: bool, interval: list[float] | None, told: str | None
) -> None:
    worst = {"name": "worst", "metrics": {"m": 9.0 if lower_is_better else 0.1}}
    best = {"name": "best", "metrics": {"m": theirs}}
    found = verdict(
        {
            "headline": "m",
            "lower_is_better": lower_is_better,
            "metrics": {"m": ours},
            "interval": interval,
            "baseline": [worst, best],
        }
    )
    assert found is None if told is None else found is not None and found.startswith(told)


@needs("report")
@pytest.mark.parametrize(
    ("language", "told"),
    [
        ("en", "test: The baseline &#39;TF-IDF with logistic regression&#39; is better: accuracy 1.0000 against 0."),
        ("zh", "测试集：基线“TF-IDF 加逻辑回归”更好：accuracy 为 1.0000，本模型为 0."),
    ],
)
def test_the_first_line_of_the_report_says_so(run: Path, language: str, told: str) -> None:
    environment = json.loads((run / "environment.json").read_text())
    (run / "environment.json").write_text(json.dumps(environment | {"language": language}))
    found = evaluation() | {"split": "test", "metrics": {"accuracy": 0.25}}
    (run / "evaluation-test.json").write_text(json.dumps(found))
    assert main(["report", str(run)]) == 0
    page = (run / "report" / "index.html").read_text("utf-8")
    below_title = page.split("</h1>")[1].strip()
    assert below_title.startswith(f'<p class="verdict">{told}')
    assert ("TF-IDF 加逻辑回归" in page) == (language == "zh")
