"""Tags of words: the schemes of entities, and plain tags, which are scored by the word."""

import json
from pathlib import Path

import pytest
from conftest import Project, needs
from sklearn.metrics import f1_score

from finetune.cli import main
from finetune.config.load import load_config
from finetune.console import Notice
from finetune.data.rows import Row
from finetune.errors import UserError
from finetune.tasks.ner_tags import chunks, is_plain, read_tags
from finetune.tasks.settings import TokenClassification
from finetune.tasks.token_classification import Example, Prediction, TokenClassificationTask

TASK = "token-classification"
SPOKEN = [
    ("Ada ran home .", "PROPN VERB NOUN PUNCT"),
    ("She ran .", "PRON VERB PUNCT"),
    ("home , sweet home", "NOUN PUNCT ADJ NOUN"),
]
EXAMPLES = [Example(words.split(), tags.split()) for words, tags in SPOKEN]


def new_task() -> TokenClassificationTask:
    return TokenClassificationTask(TokenClassification(type="token-classification"))


def fitted() -> TokenClassificationTask:
    task = new_task()
    with pytest.warns(Notice, match="no tag begins with B- or the like: 6 plain tags"):
        task.fit(EXAMPLES)
    return task


def row(tags: str, words: str = "Ada ran home .") -> Row:
    return Row("x:1", {"tokens": words.split(), "tags": tags.split()}, {})


@pytest.mark.parametrize(
    ("tags", "iob2"),
    [
        ("B-PER M-PER E-PER S-LOC O", "B-PER I-PER I-PER B-LOC O"),  # BMES
        ("B-PER M-PER E-PER W-LOC O", "B-PER I-PER I-PER B-LOC O"),  # BMEWO
        ("B_PER I_PER O B_LOC", "B-PER I-PER O B-LOC"),
        ("B-PER-x I-PER-x", "B-PER-x I-PER-x"),
        ("O O", "O O"),
    ],
)
def test_further_schemes_become_iob2(tags: str, iob2: str) -> None:
    assert read_tags(tags.split(), "x:1") == iob2.split()


@pytest.mark.parametrize(
    ("tags", "plain"), [("NOUN O", True), ("O O", False), ("B-X NOUN", False), (", : -LRB- PRP$ NN|SYM", True)]
)
def test_plain_tags_have_no_prefix(tags: str, plain: bool) -> None:
    assert is_plain(tags.split()) is plain


def test_the_labels_of_plain_tags_are_the_tags() -> None:
    task = fitted()
    assert task.labels == ["NOUN", "ADJ", "PRON", "PROPN", "PUNCT", "VERB"], (
        "the most frequent first, for what is dropped"
    )
    other = new_task()
    other.load_state(task.state())
    assert other.plain
    assert task.example(row("PROPN VERB NOUN PUNCT")).tags == ["PROPN", "VERB", "NOUN", "PUNCT"]
    with pytest.raises(UserError, match=r"^x:1: tag 'VREB' does not occur in the training data"):
        task.example(row("PROPN VREB NOUN PUNCT"))


def test_o_may_be_the_most_frequent_of_plain_tags() -> None:
    task = new_task()
    with pytest.warns(Notice):
        task.fit([Example(["Ada", "ran", "home"], ["PER", "O", "O"])])
    assert (task.labels, task.plain) == (["O", "PER"], True)


@pytest.mark.parametrize(
    ("first", "second", "sentence"),
    [
        ("B-PER O O O", "PROPN VERB NOUN PUNCT", "'Ada ran home .': 'PROPN' is not a tag: write O, or B- and I-"),
        ("PROPN VERB NOUN B-PUNCT", "B-PER O O O", "x:1: 'PROPN' is not a tag: write O, or B- and I-"),
    ],
)
def test_plain_tags_among_those_of_entities_are_refused(first: str, second: str, sentence: str) -> None:
    task = new_task()
    with pytest.raises(UserError) as refusal:
        task.fit([task.example(row(first)), task.example(row(second))])
    assert sentence in str(refusal.value)


def test_further_training_keeps_the_scheme() -> None:
    task = fitted()
    task.extend([Example(["oh"], ["INTJ"])])
    assert task.labels[-1] == "INTJ"
    with pytest.raises(UserError, match="'B-PER' is a tag of an entity, but the model was trained on plain tags"):
        task.extend([Example(["Ada"], ["B-PER"])])


def test_plain_tags_are_scored_by_the_word() -> None:
    task = fitted()
    guess = [["NOUN"] * len(example.tokens) for example in EXAMPLES]
    scores = task.score(EXAMPLES, [Prediction(tags, [0.5] * len(tags)) for tags in guess])
    true, predicted = ([tag for tags in side for tag in tags] for side in ([e.tags or [] for e in EXAMPLES], guess))
    assert scores.metrics["token_accuracy"] == pytest.approx(3 / 11)
    for name, average in (("f1_macro", "macro"), ("token_f1_weighted", "weighted")):
        assert scores.metrics[name] == pytest.approx(f1_score(true, predicted, average=average, zero_division=0))
    assert scores.metrics.keys() == task.metrics.keys()
    assert scores.matrices[0].labels == task.labels
    assert scores.matrices[0].counts[0][0] == 3
    assert task.main_metric == task.selection_metric == "token_accuracy"
    by_word = task.baselines(EXAMPLES, [])["each word's most frequent tag"]
    assert task.score(EXAMPLES, by_word).metrics["token_accuracy"] == 1
    [wrong, *_] = task.errors(EXAMPLES, [Prediction(tags, [0.5] * len(tags)) for tags in guess])
    assert (wrong.truth.split(", ")[1], wrong.prediction.split(", ")[1]) == ("ran (VERB)", "ran (NOUN)")


def test_records_of_plain_tags_are_the_words() -> None:
    task = fitted()
    text = Example(["Ada", "ran"], None, "Ada ran")
    [words, spans] = task.records([EXAMPLES[1], text], [Prediction(["PRON", "VERB", "PUNCT"], [1, 0.9, 0.8]),
                                                        Prediction(["PROPN", "VERB"], [0.7, 0.6])])  # fmt: skip
    assert words == {"prediction": ["PRON", "VERB", "PUNCT"], "probability": [1, 0.9, 0.8]}
    assert spans["prediction"][1] == {"start": 4, "end": 7, "label": "VERB", "text": "ran", "probability": 0.6}
    assert chunks(["PRON", "O", "VERB"]) == [(0, 0, "PRON"), (2, 2, "VERB")]


@pytest.fixture
def spoken(project: Project) -> Path:
    """A config of a training on plain tags."""
    lines = ("".join(f"{w} {t}\n" for w, t in zip(words.split(), tags.split(), strict=True)) for words, tags in SPOKEN)
    project.write("pos.conll", "\n".join(lines))
    data = dict.fromkeys(("train", "validation", "test"), "pos.conll")
    return project.config(TASK, data=data, train={"device": "cpu", "patience": 2}, optim={"lr": 0.01})


def test_a_model_of_plain_tags_from_training_to_prediction(
    spoken: Path, project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(spoken)]) == 0
    validation = next(line for line in project.metrics("config") if line["kind"] == "validation")
    assert {"token_accuracy", "f1_macro", "token_f1_weighted"} <= validation.keys()
    assert "f1" not in validation
    assert main(["evaluate", "latest"]) == 0
    evaluation = json.loads(Path("runs/config/evaluation-test.json").read_text())
    assert evaluation["headline"] == "token_accuracy"
    assert main(["predict", "latest", "pos.conll", "--output", "out.conll"]) == 0
    tags = {line.split()[2] for line in Path("out.conll").read_text().splitlines() if line}
    assert tags <= {tag for _, tags in SPOKEN for tag in tags.split()}
    capsys.readouterr()
    assert main(["predict", "latest", "--text", "She ran home"]) == 0
    assert [span["text"] for span in json.loads(capsys.readouterr().out)["prediction"]] == ["She", "ran", "home"]


def test_a_metric_of_entities_is_refused_for_plain_tags(spoken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(spoken), "train.metric=f1"]) == 2
    *_, error = capsys.readouterr().err.splitlines()
    assert error.startswith(
        "error: train.metric is f1, which these data do not have: choose one of loss, token_accuracy"
    )
    assert not list(Path().glob("runs/*/config.json")), "nothing may be half-written"


@needs("check_data")
def test_check_data_takes_plain_tags_for_no_wrong_scheme(spoken: Path) -> None:
    from finetune.check_data.check import check_data

    with pytest.warns(Notice):
        document = check_data(load_config(spoken))
    assert "illegal-tags" not in {finding["kind"] for finding in document["findings"]}
    assert document["splits"]["train"]["labels"]["NOUN"] == 3


@needs("check_data")
def test_check_data_knows_bmes(project: Project) -> None:
    from finetune.check_data.tag_problems import illegal, scheme_of

    good, bad = ["B-PER", "M-PER", "E-PER", "S-LOC", "O"], ["B-PER", "M-PER", "O", "M-PER", "E-PER"]
    assert scheme_of([good]) == "BMES"
    assert list(illegal(good, "BMES")) == []
    assert [position for position, _ in illegal(bad, "BMES")] == [1, 3]
