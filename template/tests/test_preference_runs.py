"""Preference tuning (DPO) of a chat model: what is read, what a run stores, and what it is good for afterwards."""

import csv
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import QUIET, Project, assert_resumes_to_the_bit, messages, needs, stop_after
from pairs import PAIRS, ROWS, write_config, write_rows
from pydantic import ValidationError

from finetune.cli import main
from finetune.config.load import load_config
from finetune.data.features import IGNORE
from finetune.data.rows import Row
from finetune.dataset import new_task, read_split
from finetune.errors import UserError
from finetune.model.tiny import tiny_tokenizer
from finetune.predict import Predictor
from finetune.run.folder import RunFolder
from finetune.run.saved_model import load_saved_model
from finetune.tasks.preference import Preference, PreferenceTask
from finetune.tasks.settings import Chat
from finetune.train import loop as training

TURNS, CHOSEN, REJECTED = PAIRS[1]
PROMPT, REPLIES = messages(*TURNS), (messages("", CHOSEN)[1:], messages("", REJECTED)[1:])


def as_csv(row: dict[str, Any]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(row))
    writer.writeheader()
    writer.writerow({k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items()})
    return file.getvalue()


def read(project: Project, row: dict[str, Any], name: str = "one.jsonl") -> Preference:
    config = load_config(write_config(project))
    project.write(name, as_csv(row) if name.endswith(".csv") else f"{json.dumps(row)}\n")
    [example] = read_split(config, new_task(config), [name])
    assert isinstance(example, Preference)
    return example


@pytest.mark.parametrize("name", ["one.jsonl", "one.csv"])
@pytest.mark.parametrize(
    "row",
    [
        {"prompt": PROMPT, "chosen": CHOSEN, "rejected": REJECTED},
        {"messages": PROMPT, "chosen": CHOSEN, "rejected": REJECTED},
        {"messages": PROMPT, "chosen": REPLIES[0], "rejected": REPLIES[1]},
        {"chosen": PROMPT + REPLIES[0], "rejected": PROMPT + REPLIES[1]},
        {"prompt": TURNS[-1], "chosen": PROMPT + REPLIES[0], "rejected": PROMPT + REPLIES[1]},
    ],
)
def test_every_form_of_trl_is_the_same_pair(row: dict[str, Any], name: str, project: Project) -> None:
    example = read(project, row, name)
    assert (example.messages[: example.prompt], example.chosen) == (PROMPT, REPLIES[0])
    assert [*example.rejected] == REPLIES[1]


def test_a_prompt_may_be_a_text_with_a_system_message_and_tools(project: Project) -> None:
    tool = {"type": "function", "function": {"name": "clock", "parameters": {}}}
    row = {"prompt": "Now ?", "chosen": "Nine .", "rejected": "[1] no", "system": "Be brief .", "tools": [tool]}
    example = read(project, row)
    assert [message["role"] for message in example.messages] == ["system", "user", "assistant"]
    assert (example.tools, example.rejected[0]["content"]) == ((tool,), "[1] no")
    [again] = new_task(load_config(write_config(project))).to_rows(example)
    assert read(project, again) == example


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"prompt": "a", "chosen": "b"}, "no value in column 'rejected'"),
        ({"prompt": "a", "chosen": "b", "rejected": " "}, "rejected: messages.0.: the content is empty"),
        ({"chosen": "b", "rejected": "c"}, "differ before a reply|messages must be a list"),
        ({"chosen": messages("a", "b"), "rejected": messages("c", "d")}, "differ before a reply"),
        ({"prompt": messages("a", "b"), "chosen": "c", "rejected": "d"}, "the prompt ends in a message of the assist"),
        (
            {"prompt": "a", "chosen": "b", "rejected": [{"role": "assistant", "content": "c", "weight": 0}]},
            "rejected has no message to train on",
        ),
    ],
)
def test_what_is_no_pair_is_said_with_its_place(row: dict[str, Any], words: str, project: Project) -> None:
    with pytest.raises(UserError, match=rf"one\.jsonl.*({words})"):
        read(project, row)


def test_scored_are_the_replies_behind_the_prompt(project: Project) -> None:
    """Not those within the prompt; of replies of several messages, those of the assistant."""
    longer = [*REPLIES[0], *messages("And 8 ?", "Too .")]
    example = read(project, {"prompt": PROMPT, "chosen": longer, "rejected": REJECTED})
    task = PreferenceTask(settings := Chat.model_validate({"type": "chat", "dpo": {}}), settings.dpo)  # type: ignore[arg-type]
    tokenizer = tiny_tokenizer("tiny:gpt2", list(task.texts([example])) * 2)
    chosen, rejected = task.encode([example], tokenizer, 200).features
    end = tokenizer.eos_token
    told = [tokenizer.decode([x for x in one.labels if x != IGNORE]) for one in (chosen, rejected)]
    assert [text.replace(f"{end} ", end) for text in told] == [f" {CHOSEN}{end}Too .{end}", f" {REJECTED}{end}"]
    assert (chosen.scored_labels, rejected.scored_labels, rejected.prompt) == (1, 0, [])


def test_a_template_that_rewrites_replies_takes_pairs_of_one_message(project: Project) -> None:
    """As Qwen3's, which drops thoughts: a reply of several messages would be several texts."""
    long = [*REPLIES[0], *messages("And 8 ?", "Too .")]
    task = PreferenceTask(settings := Chat.model_validate({"type": "chat", "dpo": {}}), settings.dpo)  # type: ignore[arg-type]
    for chosen, count in ((CHOSEN, 2), (long, 0)):
        example = read(project, {"prompt": PROMPT, "chosen": chosen, "rejected": REJECTED})
        tokenizer = tiny_tokenizer("tiny:gpt2", list(task.texts([example])) * 2)
        tokenizer.chat_template = (
            "{% for m in messages %}{{ m.role }}: {% if m.role == 'user' or loop.last %}{{ m.content }}{% endif %}\n"
            "{{ eos_token }}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
        )
        if count:
            assert len(task.encode([example], tokenizer, 200).features) == count
        else:
            with pytest.raises(UserError, match=r"^one\.jsonl:1: .*let chosen and rejected be one reply each"):
                task.encode([example], tokenizer, 200)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["train.packing=true"], "train.packing is true, but task.dpo is set"),
        (["task.label_smoothing=0.1"], "set dpo.label_smoothing"),
        (["task.dpo.label_smoothing=0.5"], "less than 0.5"),
        (["continue_from=runs/sft", "continual={type: distillation}"], "task.dpo is set, which holds the model near"),
        (["train.metric=perplexity"], "preference_accuracy"),
    ],
)
def test_what_does_not_fit_is_refused(overrides: list[str], words: str, project: Project) -> None:
    with pytest.raises(UserError, match=words):
        load_config(write_config(project), overrides)


def test_sections_without_dpo_are_as_before() -> None:
    plain, paired = Chat(type="chat"), Chat.model_validate({"type": "chat", "dpo": {}})
    assert (plain.target_columns, plain.main_metric) == ((), "perplexity")
    assert (paired.target_columns, paired.main_metric) == (("chosen", "rejected"), "preference_accuracy")
    assert "target_columns" not in Chat.model_fields
    with pytest.raises(ValidationError):
        Chat.model_validate({"type": "chat", "dpo": {"beta": 0}})


def test_a_run_goes_on_from_supervised_tuning_and_is_a_chat_run(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trained, evaluated, predicted with, exported, and trained further by one more run."""
    lora = {"method": {"type": "lora"}, "model": {"max_length": 64}}
    sft = project.config("chat", "sft", **lora)
    write_rows(project, "dialogues.jsonl", [{"messages": messages(*turns, chosen)} for turns, chosen, _ in PAIRS])
    assert main(["train", str(sft)]) == 0
    dpo = write_config(project, "dpo", method={"type": "lora"}, optim={"lr": 0.01})
    more = ["continue_from=runs/sft", "train.batch_size=6", "train.epochs=6", "train.eval_every=2", "train.log_every=1"]
    assert main(["train", str(dpo), *more]) == 0
    losses = [record["loss"] for record in project.metrics("dpo") if record["kind"] == "train"]
    assert losses[0] == pytest.approx(0.693147, abs=1e-5)
    assert losses[-1] < 0.6
    assert main(["evaluate", "runs/dpo", "--split", "test"]) == 0
    told = json.loads(Path("runs/dpo/evaluation-test.json").read_text())
    assert told["headline"] == "preference_accuracy"
    assert set(told["metrics"]) == {"preference_accuracy", "reward_margin", "chosen_reward", "rejected_reward"}
    margin = told["metrics"]["chosen_reward"] - told["metrics"]["rejected_reward"]
    assert told["metrics"]["reward_margin"] == pytest.approx(margin)
    assert [one["name"] for one in told["baseline"]] == ["the longer reply", "the reference model"]
    assert told["baseline"][0]["metrics"] == {"preference_accuracy": 0.5}
    predictor = Predictor(RunFolder(Path("runs/dpo")))
    assert [record.keys() for record in predictor.predict_texts(["Hello"])] == [{"prediction"}]
    assert len(predictor.predict_file(Path("pairs.jsonl"))[1]) == len(ROWS)
    assert main(["train", str(dpo), "run.name=more", "continue_from=runs/dpo", "train.max_steps=1"]) == 0
    assert main(["train", str(sft), "run.name=back", "continue_from=runs/dpo", "train.max_steps=1"]) == 0


@needs("export")
def test_an_export_has_no_reference(project: Project) -> None:
    assert main(["train", str(write_config(project, "dpo", train={"max_steps": 2})), "run.name=dpo"]) == 0
    assert main(["export", "runs/dpo", "out"]) == 0
    assert not [*Path("out").rglob("reference*")]
    saved = load_saved_model(Path("runs/dpo/best"))
    task = saved.task
    assert isinstance(task, PreferenceTask)
    assert task.reference is not None
    assert task.error_measure == "probability"
    prompt = task.unlabelled_example(Row("x:1", {"messages": "Hello"}, {}))  # as `explain` reads it
    [feature] = task.encode([prompt], saved.tokenizer, 64).features
    assert task.batch_labels([feature], feature.length)[0, 0].isnan()


def test_a_pair_without_a_reference_is_refused(project: Project, refused: Callable[..., str]) -> None:
    project.train(write_config(project, train={"max_steps": 1}), "run.name=dpo")
    write_rows(project, "new.jsonl", [*ROWS[::-1], {**ROWS[0], "chosen": "Never ."}])
    told = refused("evaluate", "runs/dpo", "--data", "new.jsonl")
    assert re.match(r"new\.jsonl:7: the run has no reference log-probabilities for this pair.*data\.test", told)
    write_rows(project, "known.jsonl", ROWS[::-1])
    assert main(["evaluate", "runs/dpo", "--data", "known.jsonl"]) == 0


@needs("continual")
def test_examples_of_another_kind_are_not_replayed(project: Project, refused: Callable[..., str]) -> None:
    project.train(project.config("chat", model={"max_length": 64}, train={"max_steps": 1}), "run.name=sft")
    told = refused("train", write_config(project), "run.name=dpo", "continue_from=runs/sft", "continual={type: replay}")
    assert told.startswith("continue_from: runs/sft was trained without task.dpo")


def test_a_resumed_run_reads_its_reference(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the same to the bit; and one that has lost its reference is refused, not given one of trained weights."""
    path = write_config(project, train={"epochs": 4, "batch_size": 2, "eval_every": 3, "log_every": 1})
    names = assert_resumes_to_the_bit(project, path, 5, monkeypatch)
    assert {"reference/reference.safetensors", "best/reference.safetensors"} <= names
    with monkeypatch.context() as patched:
        stop_after(5, patched)
        assert not training.train(load_config(path, ["run.name=lost"]), console=QUIET)
    shutil.rmtree("runs/lost/reference")
    with pytest.raises(UserError, match="reference log-probabilities of the run are missing or damaged"):
        training.train(load_config(path, ["run.name=lost"]), resume=True, console=QUIET)


@needs("check_data")
def test_check_data_finds_equal_and_conflicting_pairs(project: Project) -> None:
    turned = {"prompt": ROWS[1]["prompt"], "chosen": REJECTED, "rejected": CHOSEN}
    path = write_config(project)
    write_rows(project, "pairs.jsonl", [*ROWS, turned, {**ROWS[3], "rejected": ROWS[3]["chosen"]}])
    assert main(["check-data", str(path), "run.name=x"]) == 0
    found = json.loads(Path("runs/x-data/data-check.json").read_text())["findings"]
    places = {one["kind"]: one["places"] for one in found}
    assert places["equal-pair"] == ["pairs.jsonl:8"]
    assert [re.findall(r":(\d+)", place) for place in places["contradiction"]] == [["7", "2"]]
