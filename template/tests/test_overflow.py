"""Texts longer than the model reads: head and tail, and windows whose mean logits are those of the example."""

import json
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import GOOD, Project, build, needs
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from tokenizers.processors import BertProcessing
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

from finetune.cli import main
from finetune.config.load import load_config
from finetune.data.batching import Padding
from finetune.data.overflow import split_tokens
from finetune.model.forward import forward
from finetune.run.folder import RunFolder
from finetune.tasks import make_task
from finetune.tasks.settings import MultiLabelClassification, Regression, TextClassification, TextSettings
from finetune.tasks.texts import tokenize
from finetune.train import loop as training

OF_TEXTS = ("text-classification", "multi-label-classification", "regression")
WINDOWS = {"max_length": 8, "overflow": "windows"}


def special(*parts: int) -> list[int]:
    """The special tokens mask of texts of so many tokens, framed as BERT does it."""
    return [1] + [bit for part in parts for bit in (*[0] * part, 1)]


def test_head_and_tail_are_those_of_the_paper() -> None:
    """Sun et al. 2019: the first 128 and the last 382 of a text, of 512 tokens two of which are special."""
    [kept], incomplete = split_tokens(special(1000), 1000, 512, "head_tail")
    assert kept == [0, *range(1, 129), *range(1001 - 382, 1001), 1001]
    assert incomplete


@pytest.mark.parametrize("tokens", [7, 8, 12, 13, 14, 40, 41, 1000])
def test_windows_are_full_evenly_spaced_and_miss_nothing(tokens: int) -> None:
    windows, incomplete = split_tokens(special(tokens), tokens, 8, "windows")
    assert not incomplete
    assert {position for window in windows for position in window} == {*range(tokens + 2)}
    assert {len(window) for window in windows} == {8}
    starts = [window[1] for window in windows]
    gaps = {after - before for before, after in pairwise(starts)}
    assert not gaps or (max(gaps) - min(gaps) <= 1 and max(gaps) <= 5)  # a quarter of 6 tokens overlaps


def bert() -> Any:
    """A tokenizer of the library tokenizers, a letter a token."""
    letters = {letter: number for number, letter in enumerate(["[CLS]", "[SEP]", *"abcdefgh"])}
    rust = Tokenizer(WordLevel(letters))
    rust.pre_tokenizer = Split("", "isolated")
    rust.post_processor = BertProcessing(("[SEP]", 1), ("[CLS]", 0))
    return PreTrainedTokenizerFast(tokenizer_object=rust)


@pytest.mark.parametrize("make", [bert, ByT5Tokenizer])
@pytest.mark.parametrize("side", ["left", "right"])
def test_truncated_texts_are_counted_and_tokenized_once(
    make: Callable[[], Any], side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as have more tokens without truncation; with a tokenizer in Python those at the limit are read again."""
    tokenizer, limit = make(), 6
    tokenizer.truncation_side = side
    texts = [("ababababab"[:n], pair) for n in range(1, 11) for pair in (None, "cdefgh"[:n], "c" * 9)]
    call, calls = type(tokenizer).__call__, []
    monkeypatch.setattr(type(tokenizer), "__call__", lambda *args, **kw: calls.append(args) or call(*args, **kw))
    rows, truncated = tokenize(texts, tokenizer, limit)
    assert len(calls) == (2 if tokenizer.is_fast else 4)
    whole = [tokenizer(text, pair)["input_ids"] for text, pair in texts]
    cut = [tokenizer(text, pair, truncation=True, max_length=limit)["input_ids"] for text, pair in texts]
    assert [row["input_ids"] for row in rows] == cut
    assert truncated == sum(len(ids) > limit for ids in whole) > 0
    assert limit in map(len, whole), "one that fits exactly"


@pytest.mark.parametrize("overflow", ["head_tail", "windows"])
def test_a_text_that_fits_is_one_input(overflow: str) -> None:
    assert split_tokens(special(6), 6, 8, overflow) == ([[*range(8)]], False)


@pytest.mark.parametrize("first_is_longer", [False, True])
def test_of_a_pair_the_shorter_text_stays_whole(first_is_longer: bool) -> None:
    lengths = (20, 3) if first_is_longer else (3, 20)
    mask = special(*lengths)
    whole = {*range(22, 25)} if first_is_longer else {1, 2, 3}
    windows, incomplete = split_tokens(mask, lengths[0], 12, "windows")
    assert not incomplete
    assert len(windows) > 2
    assert all(whole | {0, lengths[0] + 1, len(mask) - 1} <= {*window} for window in windows)
    assert {position for window in windows for position in window} == {*range(len(mask))}


def test_where_both_texts_of_a_pair_are_long_the_shorter_one_is_cut() -> None:
    windows, incomplete = split_tokens(special(20, 30), 20, 11, "windows")
    assert incomplete
    assert {len([i for i in window if 0 < i <= 20]) for window in windows} == {4}


@pytest.mark.parametrize("task", OF_TEXTS)
def test_the_logits_of_an_example_are_the_mean_of_its_windows(task: str, project: Project) -> None:
    """In the training as in inference: loss and gradient are those of the mean, and each example counts once."""
    setup = build(load_config(project.config(task, model=WINDOWS, train={"device": "cpu"})))
    setup.model.double().eval()
    features = setup.train.features
    per_example = [setup.train.features_of(unit) for unit in range(len(setup.train))]
    assert max(map(len, per_example)) > 1
    assert [sum(features[i].scored_labels for i in indices) for indices in per_example] == [1] * len(per_example)
    padding = Padding(setup.tokenizer, setup.task.batch_labels, setup.task.group_by_example)
    expected = []
    for indices in per_example:
        rows = [setup.model(**padding.make_batch(features, [i]).inputs).logits for i in indices]
        expected.append(torch.cat(rows).mean(0))
    whole = padding.make_batch(features, range(len(features)))
    found = forward(setup.model, setup.task, whole, precision="fp32")
    for indices, logits in zip(per_example, expected, strict=True):
        for index in indices:
            torch.testing.assert_close(found[index], logits, rtol=1e-10, atol=1e-10)
    first = [indices[0] for indices in per_example]
    plain = make_task(setup.task.settings)
    plain.load_state({name: value for name, value in setup.task.state().items() if name != "overflow"})
    alone = plain.loss(torch.stack(expected), whole.labels[first])
    torch.testing.assert_close(setup.task.loss(found, whole.labels), alone, rtol=1e-10, atol=1e-10)
    gradients = [
        torch.autograd.grad(loss, list(setup.model.classifier.parameters()), retain_graph=True)
        for loss in (setup.task.loss(found, whole.labels), alone)
    ]
    for got, want in zip(*gradients, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("settings", [TextClassification, MultiLabelClassification, Regression])
def test_rows_that_are_not_scored_cost_nothing(settings: type[TextSettings]) -> None:
    """Also in a distillation: the loss of two windows of an example is that of one row, and not nan."""
    kind = settings.model_fields["type"].annotation.__args__[0]  # type: ignore[union-attr]
    task = make_task(settings(type=kind), "windows")
    labels = {"labels": ["a", "b"], "majority": "a", "weights": None, "frequent": ["a"], "threshold": 0.5}
    task.load_state({**labels, "mean": 0.0, "deviation": 1.0, "overflow": "windows"})
    logits = torch.randn(2, 1 if settings is Regression else 2, dtype=torch.float64, requires_grad=True)
    targets = torch.randn_like(logits)
    one = {"Regression": [0.5], "TextClassification": 1, "MultiLabelClassification": [0.0, 1.0]}[settings.__name__]
    none = -100 if one == 1 else [math.nan] * len(logits[0])
    batch = torch.tensor([one, none]).squeeze(-1)
    for loss in (
        task.loss(logits, batch) - task.loss(logits[:1], batch[:1]),
        task.distillation_loss(logits, targets, batch, 2.0)
        - task.distillation_loss(logits[:1], targets[:1], batch[:1], 2.0),
    ):
        assert float(loss.detach()) == pytest.approx(0, abs=1e-12)
        (gradient,) = torch.autograd.grad(loss, logits)
        assert float(gradient.abs().max()) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("task", OF_TEXTS)
def test_validation_evaluation_and_prediction_agree(task: str, project: Project) -> None:
    path = project.config(task, model=WINDOWS, train={"device": "cpu"})
    assert main(["train", str(path)]) == 0
    run = RunFolder(Path("runs/config"))
    best = next(line for line in reversed(project.metrics("config")) if line["kind"] == "validation" and line["best"])
    evaluation = json.loads(run.read(run.evaluation_name("validation")))
    assert evaluation["loss"] == pytest.approx(best["loss"], rel=1e-5)
    assert evaluation["truncated"] == 0
    [name] = run.config().data.validation or ()
    rows = [json.loads(line) for line in Path(name).read_text().splitlines()]
    assert main(["predict", "runs/config", name]) == 0
    output = run.path / "predictions" / name
    predicted = [json.loads(line) for line in output.read_text().splitlines()]
    assert len(predicted) == len(rows) == evaluation["examples"]
    right = [one["prediction"] == one.get("label", one.get("labels")) for one in predicted]
    if task == "text-classification":
        assert sum(right) / len(rows) == pytest.approx(evaluation["metrics"]["accuracy"])
    if task == "multi-label-classification":
        assert sum(right) / len(rows) == pytest.approx(evaluation["metrics"]["exact_match"])


def test_what_a_text_says_at_its_end_is_read(project: Project) -> None:
    """cut reads the same words of both labels; head_tail and windows learn them."""
    filler = " ".join(["so"] * 9)
    rows = [{"text": f"{filler} {word}", "label": word} for word in ("good", "bad") * 4]
    project.write("train.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    files = {"validation": "train.jsonl", "test": None}
    losses = {}
    for overflow in ("cut", "head_tail", "windows"):
        model = {"max_length": 8, "overflow": overflow}
        loop = {"max_steps": 50, "device": "cpu"}
        config = project.config(
            "text-classification", overflow, model=model, train=loop, data=files, optim={"lr": 0.005}
        )
        project.train(config)
        losses[overflow] = min(line["loss"] for line in project.metrics(overflow) if line["kind"] == "validation")
    assert losses["cut"] == pytest.approx(math.log(2), abs=0.05)
    assert losses["head_tail"] < 0.1
    assert losses["windows"] < 0.5


@pytest.mark.parametrize("task", ["token-classification", "ranking", "chat", "summarization"])
def test_other_tasks_refuse_it_in_a_sentence(task: str, project: Project, refused: Callable[..., str]) -> None:
    told = refused("train", project.config(task), "model.overflow=windows")
    assert f"model.overflow is windows, which {task} does not have: set it to cut" in told


def test_packing_does_not_apply(project: Project, refused: Callable[..., str]) -> None:
    path = project.config("text-classification", model=WINDOWS)
    assert "train.packing is true, but text-classification" in refused("train", path, "train.packing=true")


@pytest.mark.parametrize(
    ("overflow", "expected"),
    [
        ("windows", "windows: 80.0% of the texts have several, up to 5"),
        ("head_tail", "truncation: 80.0% of the texts are longer than model.max_length: their middle is not read"),
        ("cut", "truncation: 80.0% of the texts are longer than model.max_length"),
    ],
)
def test_the_summary_says_how_long_texts_are_read(
    overflow: str, expected: str, project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [*(f"{text} and so on to the end of all things" for text in GOOD[:4]), "glad"]
    rows = [{"text": text, "label": label} for text, label in zip(texts, "ababa", strict=True)]
    project.write("train.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    model = {"max_length": 10, "overflow": overflow}
    path = project.config("text-classification", model=model, train={"max_steps": 1}, data={"validation": None})
    assert training.train(load_config(path, ["data.test=null"]))
    told = " ".join(capsys.readouterr().out.split())
    assert expected in told
    assert ("truncation" in told) == (overflow != "windows")


@needs("check_data")
@pytest.mark.parametrize(
    ("overflow", "model", "remedy"),
    [
        ("cut", "tiny:bert", "raise it to 58, the 99th percentile, or set model.overflow to windows or head_tail"),
        ("cut", "short", "set model.overflow to windows or head_tail: this model reads at most 12 tokens"),
        ("head_tail", "short", "set model.overflow to windows: this model reads at most 12 tokens"),
        ("windows", "short", None),
    ],
)
def test_check_data_names_the_remedy(
    overflow: str, model: str, remedy: str | None, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetune.check_data import check

    if model == "short":
        monkeypatch.setattr(check, "longest_input", lambda *_: 12)
    rows = [{"text": " ".join(f"w{i}{n}" for i in range(29)), "label": "ab"[n % 2]} for n in range(6)]
    project.write("train.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    path = project.config("text-classification", model={"max_length": 12, "overflow": overflow}, data={"test": None})
    findings = check.check_data(load_config(path))["findings"]
    cut = [finding["remedy"] for finding in findings if finding["kind"] == "cut"]
    assert cut == ([] if remedy is None else [remedy])


@needs("check_data")
def test_a_model_reads_as_many_tokens_as_its_config_and_its_tokenizer_say(project: Project) -> None:
    from finetune.check_data.check import longest_input

    setup = build(load_config(project.config("text-classification")))
    setup.model.config.max_position_embeddings = 40
    setup.model.config.save_pretrained("base")
    config = load_config(project.config("text-classification", model={"name": "base"}))
    for most in (10**30, 38):
        setup.tokenizer.model_max_length = most
        assert longest_input(config, setup.tokenizer) == min(40, most)


@needs("serving")
def test_the_server_computes_the_windows_of_a_text_together(project: Project) -> None:
    from finetune.serving.engine import Capacity, Job, choose_batch

    setup = build(load_config(project.config("text-classification", model=WINDOWS)))
    features = setup.train.features
    job = Job(features, windows=True)
    assert [len(item.features) for item in job.items] == np.diff(setup.train.starts).tolist()
    assert [item.index for item in job.items] == setup.train.starts[:-1].tolist()
    queue = dict.fromkeys(sorted(job.items, key=lambda item: -len(item.features)))
    most = len(next(iter(queue)).features) * 8
    assert len(choose_batch(queue, Capacity(most, most, 0))) == 1
    assert sum(len(item.features) for item in choose_batch(queue, Capacity(40, 40, 40))) * 8 <= 40


@needs("continual")
@pytest.mark.parametrize("remedy", ["replay", "ewc", "distillation"])
def test_a_run_with_windows_is_trained_further(remedy: str, project: Project) -> None:
    path = project.config("text-classification", model=WINDOWS, train={"epochs": 1, "device": "cpu"})
    project.train(path)
    project.train(path, "run.name=more", "continue_from=runs/config", f"continual.type={remedy}")
    assert all(math.isfinite(line["loss"]) for line in project.metrics("more") if "loss" in line)
    saved: Any = json.loads(Path("runs/more/best/finetune.json").read_text())
    assert saved["state"]["overflow"] == "windows"
