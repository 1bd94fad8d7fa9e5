"""Error analysis: which predictions are wrong and how large each error is, with file:line; and what Jupyter shows."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import FILES, TASKS, WRITING, Project, build
from scipy.special import logit

from finetune.config.load import load_config
from finetune.console import notebook_console
from finetune.data.rows import Row
from finetune.errors import UserError
from finetune.evaluate import confident_errors
from finetune.predict import Predictor
from finetune.run.folder import RunFolder
from finetune.tasks.evaluation import Evaluation
from finetune.tasks.generative import Generated
from finetune.tasks.ner_tags import chunks
from finetune.tasks.results import ErrorKind, Table, WrongPrediction
from finetune.tasks.span_errors import span_errors
from finetune.tasks.token_classification import Prediction

RUN = RunFolder(Path("runs/config"))


def errors_of(
    task: str, project: Project, count: int, decoded: list[Any], predictions: list[Any] | None = None, **state: Any
) -> list[WrongPrediction]:
    """The errors of these predictions for the first training examples; `state` replaces what was fitted."""
    setup = build(load_config(project.config(task, train={"device": "cpu"})))
    for name, value in state.items():
        setattr(setup.task, name, value)
    examples = setup.train.examples[:count]
    errors: list[WrongPrediction] = setup.task.errors(
        examples, predictions or setup.task.predictions(examples, [], decoded)
    )
    return errors


def test_a_wrong_label_is_as_large_as_its_probability(project: Project) -> None:
    """Good, bad, good."""
    errors = errors_of("text-classification", project, 3, [*np.log([[0.1, 0.9], [0.4, 0.6], [0.7, 0.3]])])
    assert errors == [
        WrongPrediction(1, "a grim day", "bad", "good", pytest.approx(0.6), (ErrorKind("confusion", "bad → good"),)),
        WrongPrediction(
            2, "what a lovely song it was", "good", "bad", pytest.approx(0.7), (ErrorKind("confusion", "good → bad"),)
        ),
    ]


def test_a_pair_is_shown_as_both_texts(project: Project) -> None:
    setup = build(load_config(project.config("text-classification", train={"device": "cpu"})))
    rows = [Row("pairs:1", {"text": "Why?", "text_pair": "Because.", "label": "bad"}, None)]
    examples = setup.task.parse(rows)
    errors = setup.task.errors(examples, setup.task.predictions(examples, [], np.log([[0.2, 0.8]])))
    assert errors == [
        WrongPrediction(
            0, "Why? / Because.", "bad", "good", pytest.approx(0.8), (ErrorKind("confusion", "bad → good"),)
        )
    ]


def test_of_a_set_of_labels_the_surest_wrong_decision_counts(project: Project) -> None:
    """Billing; billing and login; login; none. A missing label counts by the probability that it is absent."""
    logits = [*logit([[0.9, 0.3], [0.8, 0.1], [0.7, 0.2], [0.6, 0.3]])]
    errors = errors_of("multi-label-classification", project, 4, logits, threshold=0.5)
    assert [(error.row, error.truth, error.prediction) for error in errors] == [
        (1, "billing, login", "billing"),
        (2, "login", "billing"),
        (3, "none", "billing"),
    ]
    assert [error.magnitude for error in errors] == pytest.approx([0.9, 0.8, 0.6])
    missed, invented = ErrorKind("missed", "login"), ErrorKind("invented", "billing")
    assert [error.kinds for error in errors] == [(missed,), (missed, invented), (invented,)]


def test_the_error_of_a_number_is_in_the_unit_of_the_data(project: Project) -> None:
    errors = errors_of("regression", project, 3, [0.0, 1.0, 0.0], mean=1.0, deviation=2.0)  # 1.0, 3.0, 1.0
    assert errors == [
        WrongPrediction(1, "poor , very poor", "1.5", "3", 1.5),
        WrongPrediction(2, "so so", "3", "1", 2.0),
    ]


def test_a_wrong_entity_is_as_large_as_its_surest_wrong_tag(project: Project) -> None:
    """The first sentence is tagged wrongly in two words, the last in another form of the same entities."""
    predictions = [
        Prediction(["B-PER", "O", "O", "O", "B-ORG", "O"], [0.5, 0.6, 0.9, 0.9, 0.8, 0.9]),
        Prediction(["O", "O", "O", "B-LOC", "I-LOC", *"OOOOOO"], [1.0] * 11),
        Prediction(["I-ORG", "O", "I-PER", "O"], [0.7] * 4),
    ]
    errors = errors_of("token-classification", project, 3, [], predictions)
    assert errors == [
        WrongPrediction(
            0, "Ada Byron lives in Turin .", "Ada Byron (PER), Turin (LOC)", "Ada (PER), Turin (ORG)", 0.8,
            (ErrorKind("type", "LOC → ORG"), ErrorKind("boundary", "PER")),
        )
    ]  # fmt: skip


def test_of_a_query_the_clearest_pair_in_the_wrong_order_counts(project: Project) -> None:
    """Relevance 0, 2, 1; the second query is right; in the third, equal relevance has no order."""
    setup = build(load_config(project.config("ranking", train={"device": "cpu"})))
    scores = [[0.5, 1.0, 3.0], [1.0, 0.0], [1.0, 0.5, 0.0, 2.0]]
    by_query = {example.query: example for example in setup.train.examples}
    examples = [by_query[query] for query in ("quiet room by the sea", "tea", "something with horses")]
    first = WrongPrediction(
        2, "quiet room by the sea", "a quiet house at the beach with a room", "a room", 1 / (1 + math.exp(-2))
    )
    assert setup.task.errors(examples, scores) == [first]
    scores[2] = [0.0, 0.0, 1.5, 2.0]
    assert setup.task.errors(examples, scores)[1:] == [
        WrongPrediction(7, "something with horses", "a farm with horses and more", "a bar", 1 / (1 + math.exp(-1.5)))
    ]


@pytest.mark.parametrize(
    ("true", "predicted", "kinds"),
    [
        ("B-A I-A O", "B-A I-A O", []),
        ("B-A I-A O", "B-B I-B O", [("type", "A → B")]),
        ("B-A I-A O", "B-A O O", [("boundary", "A")]),
        ("B-A I-A O", "O B-B I-B", [("type and boundary", "A → B")]),
        ("B-A O O", "O O B-B", [("missed", "A"), ("invented", "B")]),
        ("B-A I-A B-A", "B-A I-A I-A", [("boundary", "A"), ("missed", "A")]),  # with the one that shares more words
        ("B-B I-B B-A", "B-A I-A I-A", [("boundary", "A"), ("missed", "B")]),  # the type comes before the words
        ("B-A B-A I-A I-A", "O B-B B-A I-A", [("boundary", "A"), ("missed", "A"), ("invented", "B")]),
    ],
)
def test_each_entity_is_in_one_error(true: str, predicted: str, kinds: list[tuple[str, str]]) -> None:
    assert [*span_errors(chunks(true.split()), chunks(predicted.split()))] == kinds


def test_a_translation_is_as_large_an_error_as_its_sentence_chrf_is_low(project: Project) -> None:
    """Popović 2015: F2 of precision 1 and the mean recall of 1 to 5 characters; none has 6. Right ones are no error."""
    texts = ["guten", "das rote Haus", None]
    errors = errors_of("translation", project, 3, [], [Generated(6.0, 4, 1, text) for text in texts])
    recall = (5 / 8 + 4 / 7 + 3 / 6 + 2 / 5 + 1 / 4) / 5
    size = pytest.approx(1 - 5 * recall / (4 + recall))
    assert errors == [WrongPrediction(0, "good day", "guten Tag", "guten", size)]


def test_a_summary_is_as_large_an_error_as_its_rouge_l_is_low(project: Project) -> None:
    """F1 of the longest common subsequence: `the` is 1 of 2 words, and 1 of 5."""
    errors = errors_of("summarization", project, 2, [], [Generated(6.0, 4, 1, text) for text in ("the pool", "x")])
    assert [error.magnitude for error in errors] == [pytest.approx(1 - 2 / 7), 1.0]


@pytest.mark.parametrize("task", ["text-generation", "chat"])
def test_a_reference_text_is_as_large_an_error_as_its_loss_per_token(task: str, project: Project) -> None:
    predictions = [Generated(6.0, 4, 1, "told"), Generated(1.0, 4, 3)]
    errors = errors_of(task, project, 2, [], predictions)
    assert [(error.row, error.prediction, error.magnitude) for error in errors] == [(0, "told", 1.5), (1, "", 0.25)]
    texts = {
        "text-generation": ("scarf , red", "A red scarf of wool ."),
        "chat": ("user: When do you open ?", "At nine ."),
    }
    assert (errors[0].text, errors[0].truth) == texts[task]


@pytest.mark.parametrize("task", TASKS)
def test_the_largest_errors_have_their_line(task: str, finished: Callable[[str], None]) -> None:
    finished(task)
    errors = confident_errors(RUN, "validation", 100)
    sizes = [error.magnitude for _, error in errors]
    assert sizes == sorted(sizes, reverse=True)
    assert confident_errors(RUN, "validation", 1) == errors[:1] or task in WRITING  # whose batches differ
    lines = Path(FILES[task][1]).read_text().splitlines()
    for place, error in errors:
        file, _, line = place.rpartition(":")
        assert file == FILES[task][1]
        start = error.text.removeprefix("user: ").split(" / ")[0]
        assert start.split()[0] in lines[int(line) - 1]
    if task in WRITING:  # all rows, each with the text that `predict` generates
        _, records = Predictor(RUN).predict_file(Path(FILES[task][1]))
        generated = {int(place.rpartition(":")[2]): error.prediction for place, error in errors}
        assert generated == {line: record["prediction"] for line, record in enumerate(records, start=1)}


def test_a_split_without_a_file_is_refused(finished: Callable[[str], None]) -> None:
    finished("text-classification")
    with pytest.raises(UserError, match=r"data\.other is not set.*--split validation"):
        confident_errors(RUN, "other")


def test_a_task_without_a_rule_says_so(project: Project) -> None:
    setup = build(load_config(project.config("regression", train={"device": "cpu"})))
    with pytest.raises(UserError, match="RegressionTask: does not say which predictions are wrong"):
        Evaluation.errors(setup.task, setup.train.examples, [])


def test_rows_given_as_objects_are_predicted_like_those_of_a_file(finished: Callable[[str], None]) -> None:
    finished("text-classification")
    predictor = Predictor(RUN)
    rows = [{"text": "a fine day", "label": "never seen"}, {"text": "a grim day"}]
    assert [record["prediction"] for record in predictor.predict_rows(rows)] == [
        record["prediction"] for record in predictor.predict_texts(["a fine day", "a grim day"])
    ]
    with pytest.raises(UserError, match=r"rows\[1\].*text"):
        predictor.predict_rows([{"text": "a fine day"}, {"txet": "a grim day"}])


def test_a_table_is_html_in_jupyter() -> None:
    html = Table("a < b", ["text", "n", "p"], [["<b>$5\n& $6</b>", 3, 0.25]], "note")._repr_html_()
    assert "<caption>a &lt; b</caption>" in html
    assert ">&lt;b&gt;$5\n&amp; $6&lt;/b&gt;</td>" in html
    assert ">3</td>" in html
    assert ">0.2500</td>" in html
    assert 'class="tex2jax_ignore mathjax_ignore"' in html  # $5 & $6 is no formula
    assert html.index("<th ") < html.index("<td ")


def test_an_error_is_one_sentence_in_jupyter() -> None:
    assert UserError("a.yaml:3: unknown key 'x'")._render_traceback_() == ["error: a.yaml:3: unknown key 'x'"]


def test_the_console_of_a_notebook_is_coloured_and_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jupyter sets FORCE_COLOR, by which rich takes it for a terminal: it would get a line for each step."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    console = notebook_console(70)
    assert (console.is_terminal, console.is_jupyter, console.color_system, console.width) == (
        False, False, "standard", 70,
    )  # fmt: skip
