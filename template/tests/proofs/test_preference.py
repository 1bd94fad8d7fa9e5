"""Preference tuning (DPO): its loss starts at ln 2, its gradient is that of the formula, and no cut changes a step.

In fp64, with replies of uneven lengths and weights that matter; and beside TRL's DPOTrainer, step by step.
"""

import copy
import itertools
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import tiny_config
from conftest import Project, weights_that_matter
from pairs import PAIRS, ROWS, write_config, write_rows
from ranks import (
    QUIET,
    Found,
    assert_close_files,
    assert_same,
    both,
    exact,  # noqa: F401  a fixture
    in_two_processes,
    named,
    told,
    trained,
)
from torch import Tensor
from transformers import AutoModelForCausalLM

from finetune.config.config import Config
from finetune.config.load import load_config
from finetune.data.features import IGNORE
from finetune.distributed.parallel import gather_full
from finetune.distributed.world import SINGLE_PROCESS, World
from finetune.inference import infer
from finetune.model import output_layer
from finetune.model.tiny import tiny_tokenizer
from finetune.run.folder import RunFolder
from finetune.tasks.objective import at_least_fp32
from finetune.train import loop as training
from finetune.train.optim import make_optimizer, make_schedule
from finetune.train.reference import prepare_reference

BETA = 0.3
STEPS = 6
TEMPLATE = (  # without a line break behind the end of a reply, which TRL would score
    "{% for m in messages %}{{ m.role }}:\n{{ m.content }}{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}assistant:\n{% endif %}"
)


# With its usual 1e-8, Adam makes steps out of what is left of gradients that cancel in a pair.
def config_of(project: Project, *overrides: str) -> Config:
    loop = {"batch_size": 4, "clip_norm": None, "device": "cpu", "micro_batch_tokens": 80, "log_every": 1}
    path = write_config(project, train=loop, optim={"lr": 1e-2, "warmup": 0, "eps": 1e-4})
    return load_config(path, [f"task.dpo.beta={BETA}", *overrides])


def set_up(config: Config, world: World = SINGLE_PROCESS) -> training.Setup:
    """A training before its first step, in fp64, with its reference."""
    training.set_seed(config.train.seed)
    setup = training.build(config, world)
    setup.model.double()
    prepare_reference(config, RunFolder(config.run_folder), setup, QUIET)
    return setup


def taken(config: Config, setup: training.Setup, steps: int = STEPS) -> list[float]:
    """The loss of each step."""
    setup.optimizer = make_optimizer(config.optim, setup.model)
    setup.schedule = make_schedule(config.optim, setup.optimizer, 10)
    batches = itertools.islice(training.step_batches(config, setup, 0), steps)
    stats = [training.optimizer_step(config, setup, rows) for _, rows in batches]
    return [step.loss / step.count for step in stats]


@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_first_loss_is_that_of_equal_models(method: str, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    weights_that_matter(monkeypatch)
    config = config_of(project, f"method.type={method}", "task.dpo.label_smoothing=0.2")
    losses = taken(config, set_up(config))
    assert losses[0] == pytest.approx(math.log(2), abs=1e-12)
    assert abs(losses[1] - math.log(2)) > 1e-3


@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_reference_is_the_run_that_is_continued(
    method: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an adapter, it is the model with the adapter as the earlier run has trained it."""
    weights_that_matter(monkeypatch)
    kind = {"method": {"type": method}, "model": {"max_length": 64}}
    dialogues = [{"messages": [*row["prompt"], {"role": "assistant", "content": row["rejected"]}]} for row in ROWS]
    write_rows(project, "dialogues.jsonl", dialogues)
    project.train(project.config("chat", **kind, train={"device": "cpu"}, optim={"lr": 3e-2}), "run.name=sft")
    config = config_of(project, f"method.type={method}", "continue_from=runs/sft")
    setup = set_up(config)
    fresh = set_up(config_of(project, f"method.type={method}", "run.name=fresh"))
    assert abs(setup.task.reference.values - fresh.task.reference.values).max() > 1
    losses = taken(config, setup)
    assert losses[0] == pytest.approx(math.log(2), abs=1e-12)
    assert abs(losses[1] - math.log(2)) > 1e-3


def plain_loss(setup: training.Setup, reference: Any, rows: list[int], smoothing: float) -> Tensor:
    """The formula, for one text after the other, without batches."""
    losses = []
    for row in rows:
        ratios = []
        for index in setup.train.features_of(row):
            feature = setup.train.features[index]
            ids, labels = torch.tensor([feature.inputs["input_ids"]]), torch.tensor(feature.labels[1:])
            found = []
            for model in (setup.model, reference):
                logs = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
                found.append(logs[labels != IGNORE].gather(-1, labels[labels != IGNORE][:, None]).sum())
            ratios.append(found[0] - found[1].detach())
        right = (BETA * (ratios[0] - ratios[1])).sigmoid()
        losses.append(-(1 - smoothing) * right.log() - smoothing * (1 - right).log())
    return torch.stack(losses).mean()


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_loss_and_gradient_are_those_of_the_formula(
    smoothing: float, chunked: bool, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the output layer is computed in chunks, and whatever the micro-batches."""
    weights_that_matter(monkeypatch)
    monkeypatch.setattr(output_layer, "CHUNK", 3)
    monkeypatch.setattr(output_layer, "LARGE", 0 if chunked else 2**60)
    config = config_of(project, f"task.dpo.label_smoothing={smoothing}")
    setup = set_up(config)
    reference = copy.deepcopy(setup.model)
    with torch.no_grad():
        for parameter in setup.model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    rows = list(range(len(ROWS)))
    expected = plain_loss(setup, reference, rows, smoothing)
    names, parameters = zip(*setup.model.named_parameters(), strict=True)
    wanted = dict(zip(names, torch.autograd.grad(expected, parameters), strict=True))
    for budget in (1, 70, 10**6):
        copied, found = copy.deepcopy(setup), dict[str, Tensor]()
        copied.optimizer = make_optimizer(config.optim, copied.model)
        copied.schedule = make_schedule(config.optim, copied.optimizer, 10)
        copied.optimizer.register_step_pre_hook(
            lambda *_, model=copied.model, found=found: found.update(
                {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
            )
        )
        cut = config.model_copy(update={"train": config.train.model_copy(update={"micro_batch_tokens": budget})})
        step = training.optimizer_step(cut, copied, rows)
        assert step.loss / step.count == pytest.approx(float(expected.detach()), rel=1e-10)
        assert found.keys() == wanted.keys()
        for name, gradient in found.items():
            torch.testing.assert_close(gradient, wanted[name], rtol=1e-9, atol=1e-11, msg=name)


def test_evaluation_does_not_depend_on_batches_or_chunks(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    weights_that_matter(monkeypatch)
    config = config_of(project)
    setup = set_up(config)
    taken(config, setup, 2)
    found = []
    for budget, large in ((1, 2**60), (10**6, 2**60), (100, 0)):
        monkeypatch.setattr(output_layer, "LARGE", large)
        features = setup.train.features
        how: Any = {"budget": budget, "precision": "fp32"}
        result = infer(setup.model, setup.task, setup.tokenizer, features, "validation", **how)
        examples = setup.train.examples
        judged = setup.task.predictions(examples, features, result.decoded)
        metrics = setup.task.score(examples, judged).metrics
        margins = torch.tensor([one.margin for one in judged])
        assert metrics["reward_margin"] == pytest.approx(float(margins.mean()))
        assert metrics["preference_accuracy"] == float((margins > 0).double().mean())
        assert result.loss == pytest.approx(float(torch.nn.functional.softplus(-margins).mean()), rel=1e-6)
        found.append([result.loss, *margins.tolist()])
    for other in found[1:]:
        assert other == pytest.approx(found[0], rel=1e-10)


def steps(world: World, config: Config) -> Found:
    """What the first steps tell, and the weights after them, whole."""
    setup = set_up(config, world)
    batches = itertools.islice(training.step_batches(config, setup, 0), 5)  # more than an epoch
    stats = [training.optimizer_step(config, setup, rows) for _, rows in batches]
    weights = gather_full(setup.model.state_dict(), World(0, world.size))
    return stats, {name: at_least_fp32(tensor).numpy() for name, tensor in weights.items()}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its processes")
@pytest.mark.parametrize("overrides", [[], ["method.type=lora"], ["train.parallel=fsdp"]])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.usefixtures("exact")
def test_two_processes_take_the_steps_of_one(
    overrides: list[str], chunked: bool, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output_layer, "LARGE", 0 if chunked else 2**60)
    monkeypatch.setattr(output_layer, "CHUNK", 3)
    config = config_of(project, "train.batch_size=3", "train.clip_norm=0.5", "optim.lr=1e-4", *overrides)
    expected = steps(SINGLE_PROCESS, named(config, "one"))
    for found in both(steps, named(config, "two")):
        assert_same(found, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its processes")
@pytest.mark.usefixtures("exact")
def test_two_processes_train_resume_and_store_what_one_does(project: Project) -> None:
    config = config_of(project, "train.batch_size=3", "train.max_steps=4", "train.eval_every=2")
    assert trained(SINGLE_PROCESS, named(config, "one"))
    assert both(trained, named(config, "two")) == [True, True]
    assert in_two_processes(trained, named(config, "cut"), False, 3) == [False, False]
    assert both(trained, named(config, "cut"), True) == [True, True]
    for run in ("two", "cut"):
        assert_close_files("one", run, 1e-10)
        for record, other in zip(told(project, run), told(project, "one"), strict=True):
            assert record.keys() == other.keys()
            for name, value in record.items():
                assert value == (other[name] if isinstance(value, str) else pytest.approx(other[name], rel=1e-8))


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
@pytest.mark.parametrize("method", ["full", "lora"])
def test_steps_are_those_of_trl(
    method: str, architecture: str, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRL's DPOTrainer on the same rows in the same order: the losses and the weights after the last step.

    TRL computes log-probabilities in fp32, whatever the weights are in.
    """
    trl = pytest.importorskip("trl", reason="pip install trl datasets")
    datasets = pytest.importorskip("datasets", reason="pip install trl datasets")
    torch.manual_seed(0)
    words = [text for turns, *replies in PAIRS for text in (*turns, *replies)]
    tokenizer = tiny_tokenizer("tiny:gpt2", words * 2)
    tokenizer.chat_template = TEMPLATE
    model_config = tiny_config(architecture, tokenizer)
    model_config.update({"initializer_range": 0.3, "vocab_size": len(tokenizer)})
    AutoModelForCausalLM.from_config(model_config).save_pretrained("base")
    tokenizer.save_pretrained("base")
    config = config_of(project, "model.name=base", f"method.type={method}", "optim.lr=1e-3", "train.clip_norm=1")
    training.set_seed(config.train.seed)
    setup = training.build(config)
    model, reference = copy.deepcopy(setup.model), copy.deepcopy(setup.model) if method == "full" else None
    prepare_reference(config, RunFolder(config.run_folder), setup, QUIET)
    order = [*range(len(ROWS))]
    batches = [order[:4], order[4:]] * (STEPS // 2)
    setup.optimizer = make_optimizer(config.optim, setup.model)
    setup.schedule = make_schedule(config.optim, setup.optimizer, STEPS)
    stats = [training.optimizer_step(config, setup, rows) for rows in batches]

    rows = [{**row, **{side: [{"role": "assistant", "content": row[side]}] for side in ("chosen", "rejected")}}
            for row in ROWS]  # fmt: skip
    arguments = trl.DPOConfig(
        str(tmp_path / "trl"),
        beta=BETA,
        per_device_train_batch_size=4,
        max_steps=STEPS,
        max_grad_norm=1.0,
        max_length=64,
        logging_steps=1,
        train_sampling_strategy="sequential",
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        bf16=False,
        disable_tqdm=True,
        gradient_checkpointing=False,
    )
    optimizer = make_optimizer(config.optim, model)
    trainer = trl.DPOTrainer(
        model,
        reference,
        args=arguments,
        train_dataset=datasets.Dataset.from_list(json.loads(json.dumps(rows))),
        processing_class=setup.tokenizer,
        optimizers=(optimizer, make_schedule(config.optim, optimizer, STEPS)),
    )
    trainer.train()
    logged = [record for record in trainer.state.log_history if "rewards/margins" in record]
    assert [step.loss / step.count for step in stats] == pytest.approx([one["loss"] for one in logged], rel=1e-5)
    assert stats[-1].loss / stats[-1].count < 0.9 * math.log(2)
    before = dict((reference or AutoModelForCausalLM.from_pretrained("base")).named_parameters())
    got, changes = dict(setup.model.named_parameters()), []
    for name, parameter in trainer.model.named_parameters():
        if ".ref." in name:  # TRL's copy of the adapter
            continue
        torch.testing.assert_close(got[name], parameter, rtol=1e-4, atol=2e-6, msg=name)
        if name in before:
            changes.append(float((parameter.detach() - before[name].detach()).abs().max()))
    assert method == "lora" or max(changes) > 1e-3
