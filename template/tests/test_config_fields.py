"""Every field of the config takes effect: set to a value other than its default, it arrives where it should.

A new field needs an entry here: a function marked with its name, in which an option handed on to torch, transformers
or peft, a number or a file shows the value.
"""

import itertools
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch
import transformers
from conftest import QUIET, WRITING, Project, build
from transformers import GenerationMixin

from finetune.cli import main
from finetune.config.config import Config, Optim
from finetune.config.load import load_config
from finetune.config.methods import QLora
from finetune.console import Notice
from finetune.dataset import new_task
from finetune.errors import UserError
from finetune.model import quantization
from finetune.model.activation_checkpointing import checkpoints_activations
from finetune.model.cpu_attention import CPU_ATTENTION
from finetune.section import Section
from finetune.train import loop as training
from finetune.train.optim import make_optimizer, make_schedule

TEXTS, TAGS = "text-classification", "token-classification"
CHECKS: dict[str, Callable[..., None]] = {}
"""The check of each field, by `Section.field`."""


def checks(*fields: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Mark a function as the check of these fields; it takes a `Case`."""

    def mark(check: Callable[..., None]) -> Callable[..., None]:
        CHECKS.update(dict.fromkeys(fields, check))
        return check

    return mark


def sections(annotation: Any) -> Iterator[type[Section]]:
    """The sections of the config in a type, and those inside them."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
        for field in annotation.model_fields.values():
            yield from sections(field.annotation)
    for part in get_args(annotation):
        yield from sections(part)


FIELDS = sorted(
    {
        f"{section.__name__}.{name}"
        for section in sections(Config)
        for name, field in section.model_fields.items()
        if name == "stages" or not any(sections(field.annotation))
    }
)


class Case(SimpleNamespace):
    """A project to try a field in."""

    project: Project
    patch: pytest.MonkeyPatch
    refused: Callable[..., str]

    def config(self, *overrides: str, task: str = TEXTS) -> Config:
        """A config of a task, on the CPU, with overrides."""
        return load_config(self.project.config(task, train={"device": "cpu"}), list(overrides))

    def build(self, *overrides: str, task: str = TEXTS) -> training.Setup:
        """What a training with these overrides works with."""
        return build(self.config(*overrides, task=task))

    def train(self, *overrides: str, task: str = TEXTS) -> list[dict[str, Any]]:
        """Train; returns the log."""
        assert training.train(self.config(*overrides, task=task), console=QUIET)
        return self.project.metrics("config")

    def calls(self, owner: Any, name: str) -> list[dict[str, Any]]:
        """The named arguments of all calls of a function, which still does its work."""
        made: list[dict[str, Any]] = []
        original = getattr(owner, name)

        def recorded(*arguments: Any, **options: Any) -> Any:
            made.append(options)
            return original(*arguments, **options)

        self.patch.setattr(owner, name, recorded)
        return made


def steps(log: list[dict[str, Any]], kind: str) -> list[int]:
    """The steps of the lines of a kind."""
    return [line["step"] for line in log if line["kind"] == kind]


# ------------------------------------------------------------------------------------------------------ model and data


@checks("Model.name")
def name_chooses_the_model(case: Case) -> None:
    assert case.build("model.name=tiny:gpt2").model.config.model_type == "gpt2"


@checks("Model.revision", "Model.trust_remote_code", "Model.attention")
def options_of_loading(case: Case) -> None:
    for attention, expected in {"auto": CPU_ATTENTION, "sdpa": "sdpa", "eager": "eager"}.items():
        setup = case.build(f"model.attention={attention}", "train.device=cpu")
        assert setup.model.config._attn_implementation == expected
    setup = case.build()
    for part in (setup.model, setup.tokenizer):
        part.save_pretrained("base")
    loaders = ("AutoTokenizer", "AutoConfig", "AutoModelForSequenceClassification")
    made = [case.calls(getattr(transformers, loader), "from_pretrained") for loader in loaders]
    commit = "abc123" + 34 * "0"
    pinned = [f"model.revision={commit}", "model.trust_remote_code=true", "model.attention=eager"]
    setup = case.build("model.name=base", *pinned)
    assert setup.model.config._attn_implementation == "eager"
    for calls in made:
        assert {(call["revision"], call["trust_remote_code"]) for call in calls} == {(commit, True)}


@checks("Model.dtype")
def frozen_weights_are_in_half_precision(case: Case) -> None:
    """That logits stay the same to the bit is proofs/test_frozen.py."""
    lora = ("method={type: lora}", "train.precision=bf16")
    for dtype, expected in (("auto", torch.bfloat16), ("bf16", torch.bfloat16), ("fp32", torch.float32)):
        setup = case.build(*lora, f"model.dtype={dtype}")
        dense = setup.model.get_base_model().bert.encoder.layer[0].intermediate.dense
        assert dense.base_layer.weight.dtype == expected
        assert {parameter.dtype for parameter in setup.trainable} == {torch.float32}
    assert case.build("method={type: lora}", "model.dtype=bf16").precision == "bf16"
    with pytest.raises(UserError, match=r"model\.dtype is bf16, but method\.type is full"):
        case.config("model.dtype=bf16")


@checks("Model.max_length")
def longer_texts_are_truncated(case: Case) -> None:
    lengths = [feature.length for feature in case.build("model.max_length=8").train.features]
    assert max(lengths) == 8 < max(feature.length for feature in case.build().train.features)


@checks("Model.overflow")
def long_texts_are_read_as_chosen(case: Case) -> None:
    found = {
        overflow: case.build("model.max_length=8", f"model.overflow={overflow}").train
        for overflow in ("cut", "head_tail", "windows")
    }
    assert len(found["windows"].features) > len(found["windows"].examples) == len(found["cut"].features)
    first, last = (found[overflow].features[4].inputs["input_ids"] for overflow in ("cut", "head_tail"))
    assert first != last


@checks("Data.features")
def other_columns_are_joined_to_the_text(case: Case) -> None:
    rows = [{"text": f"word {i}", "label": "ab"[i % 2], "price": i} for i in range(4)]
    case.project.write("priced.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    files = ("data.train=priced.jsonl", "data.validation=null", "data.test=null")
    setup = case.build(*files, "data.features={price: number}")
    assert [feature.extra for feature in setup.train.features] == [
        [pytest.approx((i - 1.5) / 1.25**0.5)] for i in range(4)
    ]
    assert hasattr(setup.model, "tabular_head")
    assert not hasattr(case.build(*files).model, "tabular_head")


@checks("Data.train", "Data.validation", "Data.test")
def files_are_those_of_the_config(case: Case) -> None:
    for name, count in (("a", 3), ("b", 4), ("c", 5)):
        rows = [{"text": f"word {i}", "label": "ab"[i % 2]} for i in range(count)]
        case.project.write(f"{name}.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    files = ("data.train=a.jsonl", "data.validation=b.jsonl", "data.test=c.jsonl")
    setup = case.build(*files)
    assert setup.validation
    assert (len(setup.train.examples), len(setup.validation.examples)) == (3, 4)
    case.train(*files, "train.max_steps=1")
    assert main(["evaluate", "runs/config", "--split", "test"]) == 0
    assert json.loads(Path("runs/config/evaluation-test.json").read_text())["examples"] == 5


@checks("Data.columns", "Data.header", "Data.where")
def columns_and_rows_are_chosen(case: Case) -> None:
    case.project.write("bare.tsv", "1\tfine day\tgood\n2\tgrim day\tbad\n3\tdark day\tbad\n")
    bare = ["data.train=bare.tsv", "data.validation=null", "data.test=null", "data.header=false"]
    examples = case.build(*bare, "data.columns={text: 1, label: 2}").train.examples
    assert [(example.text, example.label) for example in examples] == [
        ("fine day", "good"), ("grim day", "bad"), ("dark day", "bad")
    ]  # fmt: skip
    chosen = case.build(*bare, "data.columns={text: 1, label: 2}", "data.where={text: 'fine|dark'}").train.examples
    assert [example.text for example in chosen] == ["fine day", "dark day"]


@checks("Data.slices")
def the_columns_of_slices_must_be_there(case: Case) -> None:
    """What is shown of them needs error_analysis/."""
    case.build("data.slices=[label, length]")
    with pytest.raises(UserError, match=r"validation\.jsonl:1: no column 'mood', which data\.slices names .*or length"):
        case.build("data.slices=[mood]")


@checks("Data.template", "Data.skip_invalid")
def texts_are_made_and_invalid_rows_left_out(case: Case) -> None:
    case.project.write("items.csv", "name,colour,label\nscarf,red,good\nlamp,,bad\nmug,blue,\n")
    files = ["data.train=items.csv", "data.validation=null", "data.test=null", "data.template='a {colour} {name}'"]
    with pytest.raises(UserError, match=r"items\.csv:4"):
        case.build(*files)
    with pytest.warns(Notice, match="1 invalid row left out"):
        examples = case.build(*files, "data.skip_invalid=true").train.examples
    assert [example.text for example in examples] == ["a red scarf", "a  lamp"]


@checks("Data.labels")
def numbers_have_names(case: Case) -> None:
    case.project.write("numbers.csv", "text,label\nfine day,1\ngrim day,0\n")
    case.project.write("tags.jsonl", '{"tokens": ["Ada", "ran"], "tags": [1, 0]}\n')
    files = ("data.validation=null", "data.test=null")
    for names in ("[bad, good]", "{0: bad, 1.0: good}"):
        task = case.build("data.train=numbers.csv", *files, f"data.labels={names}").task
        assert task.labels == ["bad", "good"]
    assert case.build("data.train=tags.jsonl", *files, "data.labels=[O, B-PER]", task=TAGS).train.examples[0].tags == [
        "B-PER", "O"
    ]  # fmt: skip
    with pytest.raises(UserError, match=r"data\.labels is set, but regression has no labels with names"):
        case.config("data.labels=[a]", task="regression")


@checks("Data.encoding", "Data.separator", "Data.sheet", "Data.path")
def files_are_read_as_told(case: Case) -> None:
    from openpyxl import Workbook

    rows = [["text", "label"], ["żółw", "a"], ["łoś", "b"]]
    case.project.write("x.csv", "".join(f"{text}:{label}\n" for text, label in rows).encode("cp1250"))
    book = Workbook()
    sheet = book.create_sheet("mine")
    for row in rows:
        sheet.append(row)
    book.save("x.xlsx")
    listed = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    case.project.write("x.json", json.dumps({"a": {"no": [{"x": 1}], "yes": listed}}))
    for name, options in (
        ("x.csv", ["data.encoding=cp1250", 'data.separator=":"']),
        ("x.xlsx", ["data.sheet=mine"]),
        ("x.json", ["data.path=a.yes"]),
    ):
        examples = case.build(f"data.train={name}", "data.validation=null", "data.test=null", *options).train.examples
        assert [example.text for example in examples] == ["żółw", "łoś"], name


# ------------------------------------------------------------------------------------------------------------ training


@checks("Train.epochs", "Train.max_steps", "Train.batch_size")
def length_of_a_training(case: Case) -> None:
    """Of ten examples."""
    assert case.build("train.epochs=5", "train.batch_size=3").total_steps == 5 * math.ceil(10 / 3)
    assert steps(case.train("train.epochs=5", "train.max_steps=7"), "train")[-1] == 7
    beyond = case.train("train.epochs=1", "train.max_steps=7", "train.log_every=1")
    assert [line["epoch"] for line in beyond if line["kind"] == "train"] == [
        0.3333,
        0.6667,
        1,
        1.3333,
        1.6667,
        2,
        2.3333,
    ]


def shapes_of_a_step(config: Config, examples: int) -> list[torch.Size]:
    """(rows, tokens) of each forward pass of a step over the first examples."""
    found: list[torch.Size] = []
    setup = build(config)
    setup.model.register_forward_pre_hook(
        lambda _, __, inputs: found.append(inputs["input_ids"].shape), with_kwargs=True
    )
    training.optimizer_step(config, setup, range(examples))
    return found


@checks("Train.micro_batch_tokens")
def tokens_of_a_micro_batch(case: Case) -> None:
    for budget, passes in ((10**6, [1]), (40, range(2, 10)), (1, [10])):
        shapes = shapes_of_a_step(case.config(f"train.micro_batch_tokens={budget}"), 10)
        assert len(shapes) in passes
        assert all(rows == 1 or rows * tokens <= budget for rows, tokens in shapes)


@checks("Train.packing")
def packed_texts_share_a_row(case: Case) -> None:
    for packing, rows in (("false", 5), ("true", 1)):
        [shape] = shapes_of_a_step(case.config(f"train.packing={packing}", "model.max_length=64", task=TAGS), 5)
        assert shape[0] == rows


@checks("Train.precision")
def half_precision_in_the_forward_pass(case: Case) -> None:
    for precision, expected in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        found: list[torch.dtype] = []
        config = case.config(f"train.precision={precision}")
        setup = build(config)
        setup.model.classifier.register_forward_hook(lambda _, __, output, found=found: found.append(output.dtype))
        training.optimizer_step(config, setup, [0, 1])
        assert {*found} == {expected}
        assert {parameter.dtype for parameter in setup.model.parameters()} == {torch.float32}


@checks("Train.neftune_alpha")
def noise_on_embeddings_in_training(case: Case) -> None:
    setup = case.build("train.neftune_alpha=5", task="chat")
    embed, ids = setup.model.get_input_embeddings(), torch.tensor([[3, 4]])
    noisy = (embed(ids) - embed.weight[ids]).abs().max()
    assert 0 < noisy <= 5 / math.sqrt(2 * embed.embedding_dim)
    setup.model.eval()
    assert torch.equal(embed(ids), embed.weight[ids])


@checks("Train.device")
def device_is_the_one_that_is_asked_for(case: Case) -> None:
    assert case.build("train.device=cpu").model.device.type == "cpu"
    for device, module in (("cuda", torch.cuda), ("mps", torch.backends.mps)):
        case.patch.setattr(module, "is_available", lambda: False)
        with pytest.raises(UserError, match=f"'{device}' is not available here"):
            case.build(f"train.device={device}")


@checks("Train.parallel")
def sharding_needs_several_processes(case: Case) -> None:
    """That the model is sharded takes two: test_fsdp2_equals_single of proofs/test_distributed.py."""
    path = case.project.config(TEXTS, method={"type": "adalora"})
    assert "train.parallel is fsdp, but" in case.refused("train", path, "train.parallel=fsdp")


@checks("Train.checkpoint_format")
def shards_need_a_sharded_model(case: Case) -> None:
    """That each process writes its shard takes two: proofs/test_fsdp.py."""
    path = case.project.config(TEXTS)
    assert "train.checkpoint_format is sharded, but" in case.refused("train", path, "train.checkpoint_format=sharded")


@checks("Train.compile")
def layers_are_compiled(case: Case) -> None:
    """That they compute the same is test_compile_equals_eager of proofs/test_compilation.py."""
    case.patch.setattr(torch, "compile", lambda function, **_: function)
    made = case.calls(torch.nn.Module, "compile")
    case.build("train.compile=true")
    assert len(made) == 2, "the layers of tiny:bert"
    case.build()
    assert len(made) == 2


@checks("Train.activation_checkpointing")
def activations_are_recomputed(case: Case) -> None:
    """That gradients stay the same is proofs/test_activation_checkpointing.py."""
    for wanted, recomputed in (("true", True), ("false", False), ("auto", False)):
        config = case.config(f"train.activation_checkpointing={wanted}")
        calls = [0]
        setup = build(config)
        dense = setup.model.bert.encoder.layer[0].intermediate.dense
        dense.register_forward_hook(lambda *_, calls=calls: calls.__setitem__(0, calls[0] + 1))
        training.optimizer_step(config, setup, [0])
        assert calls[0] == 1 + recomputed
    of_qlora = SimpleNamespace(train=config.train, method=QLora(type="qlora"))
    assert checkpoints_activations(of_qlora)


@checks("Train.seed")
def seed_draws_weights_and_order(case: Case) -> None:
    first, second = (case.build(f"train.seed={seed}") for seed in (1, 2))
    assert not torch.equal(first.model.classifier.weight, second.model.classifier.weight)
    orders = [
        [rows for _, rows in training.step_batches(case.config(f"train.seed={seed}"), first, 0)] for seed in (1, 2)
    ]
    assert orders[0] != orders[1]


@checks("Train.seeds")
def a_run_for_each_seed(case: Case) -> None:
    assert main(["train", str(case.project.config(TEXTS)), "train.seeds=[1, 2]", "train.max_steps=1"]) == 0
    configs = [json.loads(Path(f"runs/config-seed{seed}/config.json").read_text()) for seed in (1, 2)]
    assert [config["train"]["seed"] for config in configs] == [1, 2]


@checks("Train.eval_every", "Train.log_every", "Train.keep_checkpoints")
def intervals(case: Case) -> None:
    log = case.train("train.max_steps=6", "train.eval_every=2", "train.log_every=3", "train.keep_checkpoints=2")
    assert (steps(log, "validation"), steps(log, "train")) == ([2, 4, 6], [3, 6])
    assert {path.name for path in Path("runs/config/checkpoints").iterdir()} == {"step-4", "step-6"}


def validations(case: Case, *values: tuple[float, float, float]) -> None:
    """Let the validations of a training have these values of accuracy, macro F1 and loss, whatever the model."""
    measured = iter(values)
    case.patch.setattr(
        training,
        "validation_values",
        lambda *_: dict(zip(("accuracy", "f1_macro", "loss"), next(measured), strict=True)),
    )


@checks("Train.metric")
def metric_that_chooses(case: Case) -> None:
    for metric, best in ("null", 3), ("accuracy", 1), ("loss", 2):
        validations(case, (0.9, 0.4, 0.5), (0.8, 0.6, 0.4), (0.7, 0.7, 0.6))
        log = case.train(f"train.metric={metric}", "train.eval_every=1", "train.max_steps=3")
        kept = [line["step"] for line in log if line.get("best")]
        assert kept[-1] == best, metric
        assert json.loads(Path("runs/config/checkpoints/step-3/progress.json").read_text())["best_step"] == best


@checks("Train.patience")
def early_stopping(case: Case) -> None:
    """Of five validation examples two have the label that is the most frequent one in training."""
    few = ("train.epochs=50", "train.eval_every=1", "train.patience=2", "train.metric=accuracy")
    validations(case, (0.6, 0, 1), (0.6, 0, 1), (0.5, 0, 0.9))
    assert steps(case.train(*few), "validation") == [1, 2, 3], "the first is the best, and two more are no better"
    validations(case, (0.6, 0, 1), (0.6, 0, 1), (0.6, 0, 0.9), (0.6, 0, 0.9), (0.3, 0, 0.1))
    assert steps(case.train(*few), "validation") == [1, 2, 3, 4, 5], "a tie with a lower loss is better"
    validations(case, (0.4, 0, 1), (0.2, 0, 1), (0.4, 0, 1), (0.4, 0, 2), (0.8, 0, 2), (0.7, 0, 1), (0.7, 0, 1))
    assert steps(case.train(*few), "validation") == [1, 2, 3, 4, 5, 6, 7], "counted from the first above the baseline"


@checks("Train.clip_norm")
def gradient_clipping(case: Case) -> None:
    """Plain gradient descent with rate 1 moves the weights by the norm of the gradient."""
    for clip, expected in ("0.001", 0.001), ("null", None):
        plain = ["optim.name=sgd", "optim.momentum=0", "optim.lr=1", "optim.weight_decay=0", "optim.warmup=0"]
        config = case.config(*plain, f"train.clip_norm={clip}")
        setup = build(config)
        before = torch.nn.utils.parameters_to_vector(setup.model.parameters()).detach().clone()
        norm = training.optimizer_step(config, setup, [0, 1]).grad_norm
        moved = (torch.nn.utils.parameters_to_vector(setup.model.parameters()) - before).norm().item()
        assert norm > 0.01
        assert moved == pytest.approx(expected or norm, rel=1e-3)


# ----------------------------------------------------------------------------------------------------------- optimizer


def moved_by(optim: Optim, gradients: list[float]) -> float:
    """Where a weight matrix of one number, 2, ends after steps with these gradients."""
    model = torch.nn.Linear(1, 1, bias=False).double()
    torch.nn.init.constant_(model.weight, 2.0)
    optimizer = make_optimizer(optim, model)
    for gradient in gradients:
        model.weight.grad = torch.full_like(model.weight, gradient)
        optimizer.step()
    return model.weight.item()


@checks("Optim.name", "Optim.lr", "Optim.beta1", "Optim.beta2", "Optim.eps", "Optim.weight_decay")
def adamw_by_hand(case: Case) -> None:
    """AdamW (Loshchilov and Hutter 2019), with gradients of 1 and 3."""
    optim = Optim(lr=0.1, beta1=0.5, beta2=0.75, eps=0.5, weight_decay=0.2)
    weight, mean, square = 2.0, 0.0, 0.0
    for step, gradient in enumerate((1.0, 3.0), 1):
        mean, square = 0.5 * mean + 0.5 * gradient, 0.75 * square + 0.25 * gradient**2
        update = (mean / (1 - 0.5**step)) / (math.sqrt(square / (1 - 0.75**step)) + 0.5)
        weight -= 0.1 * (update + 0.2 * weight)
    assert moved_by(optim, [1.0, 3.0]) == pytest.approx(weight)
    setup = case.build("optim={lr: 0.1, beta1: 0.5, beta2: 0.75, eps: 0.5, weight_decay: 0.2}")
    assert isinstance(setup.optimizer, torch.optim.AdamW)
    for group, decay in zip(setup.optimizer.param_groups, (0.2, 0), strict=True):
        assert (group["initial_lr"], group["betas"], group["eps"]) == (0.1, (0.5, 0.75), 0.5)
        assert group["weight_decay"] == decay
    assert isinstance(case.build("optim.name=sgd").optimizer, torch.optim.SGD)


@checks("Optim.embeddings")
def embeddings_frozen_or_trained(case: Case) -> None:
    for method, trained in (("full", True), ("lora", False)):
        for embeddings, expected in (("trained", trained), ("frozen", False)):
            config = case.config(f"method.type={method}", f"optim.embeddings={embeddings}", "optim.warmup=0")
            setup = build(config)
            table = setup.model.get_input_embeddings().weight
            before, others = table.detach().clone(), setup.model.get_submodule("classifier")
            training.optimizer_step(config, setup, range(4))
            assert torch.equal(table, before) == (not expected), (method, embeddings)
            assert next(others.parameters()).grad is None


@checks("Optim.frozen_layers")
def lower_layers_stay_as_they_are(case: Case) -> None:
    config = case.config("optim.frozen_layers=1", "optim.warmup=0")
    setup = build(config)
    before = {name: parameter.detach().clone() for name, parameter in setup.model.named_parameters()}
    training.optimizer_step(config, setup, range(4))
    same = {name for name, parameter in setup.model.named_parameters() if torch.equal(parameter, before[name])}
    assert same == {name for name in before if "embeddings." in name or "layer.0." in name}
    assert config.freezes
    assert not case.config().freezes


@checks("Optim.layer_decay", "Optim.lora_plus")
def rates_by_layer_and_matrix(case: Case) -> None:
    """BERT's classifier and pooler learn at lr, the layers below them slower; with LoRA+, B faster than A."""
    depths = {"classifier": 0, "pooler": 0, "layer.1.": 1, "layer.0.": 2, "embeddings.": 3}
    for name, rate in rates_by_name(case.build("optim.lr=0.016", "optim.layer_decay=0.5")).items():
        depth = next(depth for part, depth in depths.items() if part in name)
        assert rate == 0.016 * 0.5**depth, name
    low_rank = rates_by_name(case.build("method.type=lora", "optim.lr=0.001", "optim.lora_plus=16"))
    for name, rate in low_rank.items():
        assert rate == (0.016 if "lora_B" in name else 0.001), name


@checks("Optim.momentum")
def momentum_by_hand(case: Case) -> None:
    moved = moved_by(Optim(name="sgd", lr=0.1, momentum=0.5, weight_decay=0), [1.0, 3.0])
    assert moved == pytest.approx(2 - 0.1 * 1 - 0.1 * (0.5 * 1 + 3))


def rates_by_name(setup: training.Setup) -> dict[str, float]:
    """The peak learning rate of each trainable parameter."""
    names = {id(parameter): name for name, parameter in setup.model.named_parameters()}
    return {names[id(p)]: group["initial_lr"] for group in setup.optimizer.param_groups for p in group["params"]}


@checks("Optim.head_lr")
def the_head_learns_at_its_own_rate(case: Case) -> None:
    rates = rates_by_name(case.build("optim.lr=0.001", "optim.head_lr=0.02"))
    assert {name for name, rate in rates.items() if rate == 0.02} == {"classifier.weight", "classifier.bias"}
    assert {*rates.values()} == {0.001, 0.02}


def rates(optim: Optim, total: int) -> list[float]:
    """The learning rate of each step."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=optim.lr)
    schedule = make_schedule(optim, optimizer, total)
    found = []
    for _ in range(total):
        found.append(float(schedule.get_last_lr()[0]))
        optimizer.step()
        schedule.step()
    return found


@checks("Optim.schedule", "Optim.warmup")
def schedules_by_formula(case: Case) -> None:
    """A share of steps is rounded up: 0.25 of 10 are 3."""
    shares = {
        "linear": lambda done: 1 - done,
        "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
        "constant": lambda done: 1.0,
        "plateau": lambda done: 1.0,
    }
    for schedule, share in shares.items():
        for warmup, steps in ((0.25, 3), (4, 4), (1, 1), (0, 0)):
            expected = [i / steps if i < steps else share((i - steps) / (10 - steps)) for i in range(10)]
            optim = Optim(schedule=schedule, warmup=warmup, lr=2.0)
            assert rates(optim, 10) == pytest.approx([2 * value for value in expected]), (schedule, warmup)
    log = case.train("optim={lr: 0.01, warmup: 2, schedule: constant}", "train.max_steps=3", "train.log_every=1")
    assert [line["lr"] for line in log if line["kind"] == "train"] == pytest.approx([0, 0.005, 0.01])


@checks("Optim.plateau_patience", "Optim.plateau_factor")
def plateau_by_hand(case: Case) -> None:
    """The score is best at once: the rate falls after the third validation without improvement, that of step 4."""
    optim = "optim={schedule: plateau, plateau_patience: 2, plateau_factor: 0.25, lr: 1.0e-9, warmup: 1}"
    validations(case, (0.9, 0, 1), *[(0.9, 0, 1.1)] * 5)
    log = case.train(optim, "train.eval_every=1", "train.max_steps=6", "train.log_every=1")
    assert [line["lr"] for line in log if line["kind"] == "train"] == pytest.approx([0] + [1e-9] * 3 + [2.5e-10] * 2)


@checks("Run.name", "Run.dir")
def folder_of_a_run(case: Case) -> None:
    case.project.train(case.project.config(TEXTS), "run.name=mine", "run.dir=out", "train.max_steps=1")
    assert Path("out/mine/config.json").is_file()


@checks("Run.track")
def trackers_of_a_run(case: Case) -> None:
    """test_track.py trains with one."""
    assert case.config("run.track=[wandb, mlflow, wandb]").run.trackers == ["wandb", "mlflow"]
    assert case.config("run.track=trackio").run.trackers == ["trackio"]


# -------------------------------------------------------------------------------------------------------------- methods


@checks("Full.type", "Head.type", "Lora.type", "AdaLora.type", "Ia3.type", "Prefix.type", "Prompt.type", "Adapter.type")
def methods_train_what_they_add(case: Case) -> None:
    added = {"full": "", "head": "none", "lora": "lora_", "adalora": "lora_", "ia3": "ia3_", "prefix": "prompt_encoder",
             "prompt": "prompt_encoder", "adapter": "adapter"}  # fmt: skip
    for method, mark in added.items():
        model = case.build(f"method.type={method}").model
        trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        beside = {name for name in trained if mark not in name}
        assert all("classifier" in name or "Norm" in name for name in beside), method
        assert any(mark in name for name in trained) == (method != "head")
        assert any("Norm" in name for name in beside) == (method == "adapter")


@checks("Lora.alpha", "Lora.dropout", "Lora.targets", "Lora.r")
def lora_in_the_words_of_peft(case: Case) -> None:
    model = case.build("method={type: lora, r: 3, alpha: 6, dropout: 0.25, targets: [query]}").model
    layers = {name: module for name, module in model.named_modules() if hasattr(module, "lora_A")}
    assert {name.split(".")[-1] for name in layers} == {"query"}
    for layer in layers.values():
        assert layer.scaling["default"] == 6 / 3
        assert (layer.r["default"], layer.lora_A["default"].out_features) == (3, 3)
        assert layer.lora_dropout["default"].p == 0.25


@checks("Lora.rank_stabilized")
def rank_stabilized_scale(case: Case) -> None:
    for stabilized, expected in ((False, 12 / 9), (True, 12 / 3)):
        setup = case.build("method={type: lora, r: 9, alpha: 12}", f"method.rank_stabilized={stabilized}")
        found = {module.scaling["default"] for module in setup.model.modules() if hasattr(module, "lora_A")}
        assert found == {expected}


@checks("AdaLora.alpha", "AdaLora.dropout", "AdaLora.targets", "AdaLora.init_r", "AdaLora.target_r", "AdaLora.begin",
        "AdaLora.end")  # fmt: skip
def adalora_in_the_words_of_peft(case: Case) -> None:
    """peft counts `tfinal` from the end of the training."""
    method = "{type: adalora, init_r: 6, target_r: 3, alpha: 5, dropout: 0.25, targets: [query], begin: 0.2, end: 0.6}"
    model = case.build(f"method={method}", "train.epochs=9", "train.max_steps=20").model
    found = model.peft_config["default"]
    assert (found.init_r, found.target_r, found.lora_alpha, found.lora_dropout) == (6, 3, 5, 0.25)
    assert (found.total_step, found.tinit, found.tfinal) == (20, 4, 20 - 12)
    layers = {name: module for name, module in model.named_modules() if hasattr(module, "lora_E")}
    assert {name.split(".")[-1] for name in layers} == {"query"}
    assert all(len(layer.lora_A["default"]) == 6 for layer in layers.values())


@checks("AdaLora.orthogonality")
def penalty_of_adalora_by_hand(case: Case) -> None:
    """The mean over all factors of the Frobenius norm of P'P - I (Zhang et al. 2023, equation 4)."""
    setup = case.build("method={type: adalora, orthogonality: 0.3}")
    distances = []
    for name, parameter in setup.model.named_parameters():
        factor = parameter.detach().numpy()
        if "lora_A" in name or "lora_B" in name:
            product = factor @ factor.T if "lora_A" in name else factor.T @ factor
            distances.append(sum((product[i][j] - (i == j)) ** 2 for i in range(12) for j in range(12)) ** 0.5)
    assert setup.allocation
    assert float(setup.allocation.penalty().detach()) == pytest.approx(0.3 * sum(distances) / len(distances), rel=1e-4)


@checks(*(f"QLora.{name}" for name in QLora.model_fields))
def qlora_in_the_words_of_peft_and_bitsandbytes(case: Case) -> None:
    from finetune.model.methods import peft_config

    method = QLora(type="qlora", r=3, alpha=6, dropout=0.25, targets=["query"], quantization="fp4", compute="fp16")
    model = case.build().model
    found = peft_config(method, model, ["classifier"], 10)
    assert (found.peft_type.value, found.r, found.lora_alpha, found.lora_dropout) == ("LORA", 3, 6, 0.25)
    assert {name.split(".")[-1] for name in found.target_modules} == {"query"}
    case.patch.setattr(quantization, "BitsAndBytesConfig", dict)
    made = quantization.quantization_config(method, transformers.AutoModelForSequenceClassification, model.config)
    assert (made["bnb_4bit_quant_type"], made["bnb_4bit_compute_dtype"]) == ("fp4", torch.float16)
    assert "classifier" in made["llm_int8_skip_modules"], "the head starts from random weights"


@checks("Prefix.tokens", "Prompt.tokens")
def added_tokens(case: Case) -> None:
    for method in ("prefix", "prompt"):
        model = case.build(f"method={{type: {method}, tokens: 5}}").model
        [encoder] = {name: p for name, p in model.named_parameters() if "prompt_encoder" in name}.values()
        assert len(encoder) == 5


@checks("Adapter.width", "Adapter.dropout")
def adapters_in_every_layer(case: Case) -> None:
    setup = case.build("method={type: adapter, width: 7, dropout: 0.9}")
    narrow = [module.adapter for module in setup.model.modules() if hasattr(module, "adapter")]
    assert len(narrow) == 4
    assert {adapter.down.out_features for adapter in narrow} == {7}
    assert {adapter.dropout.p for adapter in narrow} == {0.9}


@pytest.mark.parametrize("method", ["{type: adapter, dropout: 0.9}", "{type: lora, dropout: 0.9}"])
def test_dropout_of_a_method_is_active_in_training_only(
    method: str, project: Project, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]
) -> None:
    setup = Case(project=project, patch=monkeypatch, refused=refused).build(f"method={method}")
    for name, parameter in setup.model.named_parameters():
        if "adapter.up" in name or "lora_B" in name:  # starts at 0, where dropout changes nothing
            torch.nn.init.normal_(parameter)
    for module in setup.model.modules():  # the dropout of the model itself is not in question
        if isinstance(module, torch.nn.Dropout) and module.p != 0.9:
            module.p = 0.0
    inputs = {"input_ids": torch.tensor([setup.train.features[0].inputs["input_ids"]])}
    for training_mode in (True, False):
        setup.model.train(training_mode)
        with torch.no_grad():
            first, second = (setup.model(**inputs).logits for _ in range(2))
        assert torch.equal(first, second) != training_mode


# ---------------------------------------------------------------------------------------------------------------- tasks


@checks(*(field for field in FIELDS if field.endswith(".type") and field not in CHECKS))
def a_type_chooses_its_section(case: Case) -> None:
    """Of tasks and of ways to go on; the config is refused where a key of another type stands beside it."""
    unions = {name: [*sections(Config.model_fields[name].annotation)] for name in ("task", "continual", "method")
              if name in Config.model_fields}  # fmt: skip
    for name, choices in unions.items():
        for section in choices:
            if "type" in section.model_fields:
                [wanted] = get_args(section.model_fields["type"].annotation)
                values = case.config().model_dump(mode="json")
                values[name] = {"type": wanted}
                values["model"]["name"], values["model"]["max_length"] = "some/model", 256
                if wanted in WRITING or wanted not in values["task"]["type"]:
                    values["method"] = {"type": "lora"} if name == "task" else values["method"]
                assert type(getattr(Config.model_validate(values), name)) is section


@checks("TextClassification.calibration", "MultiLabelClassification.calibration", "TokenClassification.calibration")
def calibration_chooses_a_temperature(case: Case) -> None:
    """How it is chosen is test_probabilities.py."""
    case.train()
    case.train("task.calibration=none", "run.name=off")
    states = [json.loads(Path("runs", run, "best/finetune.json").read_text())["state"] for run in ("config", "off")]
    assert states[0]["temperature"] != 1 == states[1]["temperature"]


@checks("TextClassification.class_weights")
def class_weights_scale_the_loss(case: Case) -> None:
    """Of equally unsure predictions, the loss of each is ln 2."""
    task = case.build("task.class_weights={good: 3}").task
    labels = torch.tensor([task.labels.index(label) for label in ("bad", "good", "good")])
    assert float(task.loss(torch.zeros(3, 2), labels)) == pytest.approx((1 + 3 + 3) * math.log(2))


@checks(
    *(f"{task}.{name}" for task in ("TokenClassification", "MultiLabelClassification") for name in
      ("class_weights", "label_smoothing", "focal_gamma")),
    *(f"TextClassification.{name}" for name in ("label_smoothing", "focal_gamma")),
    *(f"{task}.label_smoothing" for task in ("TextGeneration", "Chat", "Translation", "Summarization")),
)  # fmt: skip
def losses_change(case: Case) -> None:
    """By which formula is in test_losses.py."""
    for task in (TEXTS, TAGS, "multi-label-classification", *WRITING):
        settings = ["task.label_smoothing=0.1"]
        if task not in WRITING:
            weights = {TAGS: "{O: 3}", TEXTS: "{good: 3}"}.get(task, "{login: 3}")
            settings += ["task.focal_gamma=2", f"task.class_weights={weights}"]
        losses = [training.optimizer_step(case.config(*one, task=task), case.build(*one, task=task), [0, 1]).loss
                  for one in ([], *([setting] for setting in settings))]  # fmt: skip
        assert len({*losses}) == len(losses), task


@checks("TokenClassification.stride")
def windows_share_tokens(case: Case) -> None:
    """A long sentence in windows of 8 tokens, two of which are special tokens."""
    whole = case.build("model.max_length=64", task=TAGS).train.features[1].length - 2
    for stride in (0, 3):
        features = case.build(f"task.stride={stride}", "model.max_length=8", task=TAGS).train.features
        windows = [feature.inputs["input_ids"][1:-1] for feature in features if feature.example == 1]
        assert len(windows) > 1
        for before, after in itertools.pairwise(windows):
            assert before[len(before) - stride :] == after[:stride]
        assert sum(map(len, windows)) == whole + stride * (len(windows) - 1)


@checks("Regression.loss", "Ranking.loss")
def losses_by_name(case: Case) -> None:
    """An error of 3: its square, or Huber's 3 - 1/2. A relevant document at 0: ln 2 by itself, 0 in a list of one."""
    for loss, expected in (("mse", 9.0), ("huber", 2.5)):
        task = case.build(f"task.loss={loss}", task="regression").task
        assert float(task.loss(torch.tensor([[3.0]]), torch.tensor([0.0]))) == pytest.approx(expected)
    for loss, expected in (("pointwise", math.log(2)), ("listwise", 0.0)):
        setup = case.build(f"task.loss={loss}", task="ranking")
        labels = torch.tensor([[0, setup.task.highest]], dtype=torch.float64)
        assert float(setup.task.loss(torch.tensor([[0.0]]), labels)) == pytest.approx(expected)


@checks("Retrieval.pooling", "Retrieval.temperature", "Prefixes.query", "Prefixes.document")
def vectors_of_texts(case: Case) -> None:
    """The first token's vector or the last one's; similarities of 1 and 0 divided by the temperature; prefixes."""
    states, mask = torch.tensor([[[3.0, 0], [0, 2.0]]]), {"attention_mask": torch.ones(1, 2, dtype=torch.long)}
    for pooling, expected in (("cls", [1, 0]), ("last", [0, 1]), ("mean", [3 / 13**0.5, 2 / 13**0.5])):
        task = case.build(f"task.pooling={pooling}", task="retrieval").task
        vector = task.logits(SimpleNamespace(last_hidden_state=states), mask)
        assert vector[0].tolist() == pytest.approx(expected)
    labels = torch.tensor([[0, 0, 1, 1], [0, 1, 1, 2], [1, 2, 3, 3]])
    for temperature in (1.0, 0.5):
        task = case.build(f"task.temperature={temperature}", task="retrieval").task
        loss = task.loss(torch.tensor([[1.0, 0], [1.0, 0], [0, 1.0]]), labels)
        assert float(loss) == pytest.approx(math.log1p(math.exp(-1 / temperature)), rel=1e-4)
    setup = case.build("task.prefixes={query: 'q ', document: 'd '}", task="retrieval")
    written = [setup.tokenizer.decode(feature.inputs["input_ids"][1:-1]) for feature in setup.train.features[:3]]
    assert [text.split()[0] for text in written] == ["q", "d", "d"]


@checks("TextGeneration.separator")
def separator_ends_the_prompt(case: Case) -> None:
    setup = case.build("task.separator=' => '", task="text-generation")
    assert setup.tokenizer.decode(setup.train.features[2].prompt) == "mug => "


@checks("Translation.prefix", "Summarization.prefix", "Translation.max_target_length",
        "Summarization.max_target_length")  # fmt: skip
def sources_and_targets(case: Case) -> None:
    for task in ("translation", "summarization"):
        setup = case.build("task.prefix='to X: '", "task.max_target_length=3", task=task)
        sources = [setup.tokenizer.decode(f.inputs["input_ids"]) for f in setup.train.features]
        assert all(source.startswith("to X: ") for source in sources)
        assert max(len(feature.labels) for feature in setup.train.features) == 3


@checks("Translation.bleu_tokenizer")
def chinese_is_split_into_characters(case: Case) -> None:
    case.project.write("zh.jsonl", '{"source": "fine", "target": "今天天气很好"}\n')
    task = case.build("task.bleu_tokenizer=zh", task="translation").task
    assert task.text_metrics(["今天天气很好"], ["今天天气很好"])["bleu"] == pytest.approx(100)
    assert task.text_metrics(["今天天气很好吗"], ["今天天气很好"])["bleu"] > 50, "as one word it would score 0"


def generated(case: Case, task: str, *overrides: str) -> list[dict[str, Any]]:
    """What transformers is asked for when a run with these settings predicts."""
    case.train("train.max_steps=1", *overrides, task=task)
    calls = case.calls(GenerationMixin, "generate")
    assert main(["predict", "runs/config", "--text", "a fine day"]) == 0
    assert calls
    return [{**(call.get("generation_config") or transformers.GenerationConfig()).to_dict(), **call} for call in calls]


@checks("Dpo.beta", "Dpo.label_smoothing")
def replies_are_compared(case: Case) -> None:
    """Log-ratios of 1 and -1, of which the rewards are the half."""
    task = new_task(case.config("task.dpo={beta: 0.5, label_smoothing: 0.1}", task="chat"))
    labels = torch.tensor([[-3.0, 1.0], [-1.0, 1.0]], dtype=torch.float64)
    of_tokens = task.loss_of_tokens(labels)
    assert of_tokens
    expected = 0.9 * math.log1p(math.exp(-1)) + 0.1 * math.log1p(math.exp(1))
    assert float(of_tokens(torch.tensor([2.0, 2.0], dtype=torch.float64))) == pytest.approx(expected)


@checks("Generation.max_new_tokens", "Generation.beams")
def beam_search(case: Case) -> None:
    for task in WRITING:
        for call in generated(case, task, "task.generation={max_new_tokens: 5, beams: 3}"):
            assert (call["max_new_tokens"], call["num_beams"], call["do_sample"]) == (5, 3, False)


@checks("Generation.temperature", "Generation.top_p")
def sampling(case: Case) -> None:
    for task in WRITING:
        for call in generated(case, task, "task.generation={max_new_tokens: 5, temperature: 0.7, top_p: 0.8}"):
            assert (call["temperature"], call["top_p"], call["do_sample"]) == (0.7, 0.8, True)
            assert call["top_k"] == 0, "transformers would draw from the 50 likeliest"


@checks("Generation.validation_examples", "Generation.samples")
def texts_of_a_validation(case: Case) -> None:
    overrides = ["task.generation={max_new_tokens: 3, validation_examples: 2, samples: 3}", "train.max_steps=1"]
    calls = case.calls(GenerationMixin, "generate")
    for task, texts in (("translation", 2), ("text-generation", 0)):
        calls.clear()
        case.train(*overrides, task=task)
        assert sum(len(call["input_ids"]) for call in calls) == texts
        assert main(["evaluate", "runs/config", "--split", "train"]) == 0
        tables = json.loads(Path("runs/config/evaluation-train.json").read_text())["tables"]
        assert [len(table["rows"]) for table in tables if table["title"] == "Samples"] == [3]


# ------------------------------------------------------------------------------------------------------------ continual


def further(case: Case, continual: str = "{type: none}", *overrides: str, task: str = TEXTS) -> training.Setup:
    """What a training works with that goes on from a short one."""
    case.train("train.max_steps=2", task=task)
    more = ["run.name=further", "continue_from=runs/config", f"continual={continual}"]
    return case.build(*more, *overrides, task=task)


@checks("Config.continue_from")
def a_run_goes_on(case: Case) -> None:
    from safetensors.torch import load_file

    model = further(case).model
    kept = load_file("runs/config/best/model.safetensors")
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in kept.items())


@checks("Replay.budget", "Replay.share")
def replay_keeps_and_mixes(case: Case) -> None:
    setup = further(case, "{type: replay, budget: 3, share: 0.25}", "train.batch_size=8")
    assert len(Path("runs/config/replay/replay.jsonl").read_text().splitlines()) == 3
    assert len(setup.train.examples) == 10 + 3
    config = case.config("train.batch_size=8")
    first = next(iter(training.step_batches(config, setup, 0)))[1]
    assert sum(row >= 10 for row in first) == round(0.25 * 8)
    assert len(first) == 8


@checks("Ewc.strength", "Ewc.examples")
def ewc_by_hand(case: Case) -> None:
    """Half the strength times the Fisher information times the squared distance; a backward pass for each example."""
    from safetensors.torch import load_file

    passes = 0
    backward = torch.Tensor.backward

    def counted(*arguments: Any, **options: Any) -> None:
        nonlocal passes
        passes += 1
        backward(*arguments, **options)

    case.train("train.max_steps=2")
    case.patch.setattr(torch.Tensor, "backward", counted)
    more = ["run.name=further", "continue_from=runs/config", "continual={type: ewc, strength: 6, examples: 3}"]
    setup = case.build(*more)
    assert passes == 3
    fisher = load_file("runs/config/ewc/fisher.safetensors")
    with torch.no_grad():
        for parameter in setup.model.parameters():
            parameter += 0.5
    expected = 6 / 2 * sum(float(tensor.double().sum()) for tensor in fisher.values()) * 0.5**2
    assert setup.penalty
    assert float(setup.penalty.penalty().detach()) == pytest.approx(expected, rel=1e-3)


@checks("Distillation.weight", "Distillation.temperature")
def gradient_of_distillation_by_hand(case: Case) -> None:
    """By the logits z, and t of the old model: softmax(z) - y, and weight * T * (softmax(z / T) - softmax(t / T))."""
    setup = further(case, "{type: distillation, weight: 0.3, temperature: 4}")
    setup.model.eval()
    inputs = {name: torch.tensor([values]) for name, values in setup.train.features[0].inputs.items()}
    old = setup.model(**inputs).logits[0].detach()
    torch.nn.init.constant_(setup.model.classifier.bias, 0.5)
    with torch.no_grad():
        setup.model.classifier.bias[0] = -1.5
    new = setup.model(**inputs).logits[0].detach()
    found: list[torch.Tensor] = []
    setup.optimizer.register_step_pre_hook(lambda *_: found.append(setup.model.classifier.bias.grad.clone()))
    training.optimizer_step(case.config("train.clip_norm=null"), setup, [0])
    truth = torch.nn.functional.one_hot(torch.tensor(setup.train.features[0].labels[0]), 2)
    pull = 0.3 * 4 * ((new / 4).softmax(-1) - (old / 4).softmax(-1))
    torch.testing.assert_close(found[0], new.softmax(-1) - truth + pull, rtol=1e-4, atol=1e-5)


@checks("Config.stages", "Stage.name")
def stages_follow_each_other(case: Case) -> None:
    path = case.project.config(TEXTS, train={"max_steps": 1})
    text = path.read_text()
    start = text.index("data:")
    shared = text[:start] + text[text.index("train:\n", start) :]
    stages = [
        {"name": name, "data": {"train": "train.jsonl", "test": "validation.jsonl"}, "optim": {"lr": rate}}
        for name, rate in (("old", 0.001), ("new", 0.002))
    ]
    path.write_text(f"{shared}stages: {json.dumps(stages)}\n")
    assert main(["train", str(path)]) == 0
    configs = {p.parent.name: json.loads(p.read_text()) for p in Path("runs/config/stages").glob("*/config.json")}
    assert {name: config["optim"]["lr"] for name, config in configs.items()} == {"1-old": 0.001, "2-new": 0.002}
    assert Path(configs["2-new"]["continue_from"]) == Path("runs/config/stages/1-old")


# ---------------------------------------------------------------------------------------------------------------- tests


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_has_a_check(field: str) -> None:
    assert field in CHECKS, f"nothing here shows that {field} takes effect: add a check"


def test_every_check_is_of_a_field() -> None:
    there = {field.split(".")[0] for field in FIELDS}  # sections of an optional folder may be gone
    assert {field for field in CHECKS if field.split(".")[0] in there} <= {*FIELDS}


@pytest.mark.parametrize("check", {CHECKS[field]: 0 for field in FIELDS if field in CHECKS}, ids=lambda c: c.__name__)
def test_fields_take_effect(
    check: Callable[..., None], project: Project, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]
) -> None:
    check(Case(project=project, patch=monkeypatch, refused=refused))
