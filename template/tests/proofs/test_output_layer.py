"""Chunked output layer and cross-entropy: loss, gradients and scores of tokens are those of whole logits."""

from functools import partial
from typing import Any

import pytest
import torch
import transformers
from architectures import tiny_config
from conftest import GOOD, WRITING, Project, build, weights_that_matter
from peft import LoraConfig, get_peft_model
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from finetune.config.load import load_config
from finetune.data.features import IGNORE
from finetune.model import output_layer
from finetune.model.forward import forward
from finetune.model.output_layer import ARCHITECTURES, token_scores
from finetune.model.tiny import tiny_tokenizer
from finetune.run.saved_model import TASKS
from finetune.tasks import make_task
from finetune.tasks.token_scores import TokenScores
from finetune.train import loop as training

AFTER = {"final_logit_softcapping": 3.0, "logit_scale": 0.3, "logits_scaling": 1.7}
"""What architectures do with logits, so strong that leaving it out is far off."""
HEADS = {"AutoModelForCausalLM": "text-generation", "AutoModelForSeq2SeqLM": "translation"}
CASES = [
    (architecture, head)
    for architecture in ARCHITECTURES
    for head in HEADS
    if architecture in getattr(transformers, head)._model_mapping._model_mapping
]
TOKENS = 8
Results = tuple[list[Any], dict[str, Tensor]]


@pytest.fixture(autouse=True)
def _several_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_layer, "CHUNK", 3)
    monkeypatch.setattr(output_layer, "LARGE", 0)


def model_of(architecture: str, head: str) -> Any:
    """In fp64, without dropout, with weights that matter, those of norms and biases included."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer("tiny:bert", GOOD)
    tokenizer.eos_token = tokenizer.sep_token
    config = tiny_config(architecture, tokenizer)
    config.update({name: value for name, value in AFTER.items() if hasattr(config, name)})
    model = getattr(transformers, head).from_config(config, dtype=torch.float64).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        if hasattr(model, "final_logits_bias"):
            model.final_logits_bias.normal_()
    return model


def batch() -> tuple[dict[str, Tensor], Tensor]:
    """Two rows, of which the second one is shorter; some tokens are not scored."""
    ids, labels = torch.randint(5, 60, (2, 2, TOKENS), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, 5:], labels[1, 5:], labels[0, 2] = 0, IGNORE, IGNORE
    return {"input_ids": ids, "attention_mask": mask}, labels


def results(model: Any, task: Any, output: Any, labels: Tensor) -> Results:
    """Of a forward pass: the loss, and the gradient of every trainable parameter that it reaches."""
    loss = task.loss(output, labels)
    model.zero_grad()
    (2 * loss).backward()  # a share of a step
    gradients = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    return [loss.detach()], gradients


def assert_same(found: Results, expected: Results) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def assert_exact(model: Any, task: Any) -> None:
    inputs, labels = batch()
    arguments = task.model_inputs(model, inputs, labels)
    scored = partial(task.scored, labels=labels)
    whole = results(model, task, model(**arguments).logits, labels)
    assert_same(results(model, task, token_scores(model, arguments, labels, scored), labels), whole)
    with torch.no_grad():
        expected = task.decode(model(**arguments).logits, labels)
        found = task.decode(token_scores(model, arguments, labels, scored), labels)
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("architecture", "head"), CASES)
def test_chunks_equal_whole_logits(architecture: str, head: str) -> None:
    task = make_task(TASKS.validate_python({"type": HEADS[head]}))
    assert_exact(model_of(architecture, head), task)


def test_every_architecture_that_is_named_is_proved() -> None:
    assert {architecture for architecture, _ in CASES} == {*ARCHITECTURES}


@pytest.mark.parametrize("targets", [["lm_head"], ["c_attn"]])
def test_lora_on_the_output_layer(targets: list[str]) -> None:
    """Tied to the embeddings in GPT-2; frozen, where LoRA is elsewhere."""
    model = get_peft_model(model_of("gpt2", "AutoModelForCausalLM"), LoraConfig(target_modules=targets)).double()
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter)
    assert_exact(model, make_task(TASKS.validate_python({"type": "text-generation"})))


@pytest.mark.parametrize("method", ["full", "lora", "prefix", "prompt", "adapter"])
@pytest.mark.parametrize("task", WRITING)
def test_every_method(task: str, method: str, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """On each task, as the training loop calls the model; with label smoothing, too."""
    weights_that_matter(monkeypatch)
    overrides = [f"method.type={method}", "train.device=cpu", "task.label_smoothing=0.1"]
    setup = build(load_config(project.config(task), overrides))
    model = setup.model.double().eval()
    made = setup.batching.make_batch(setup.train.features, range(3))
    run = partial(forward, model, setup.task, made, "fp32")
    assert isinstance(run(), TokenScores)
    assert_same(
        results(model, setup.task, run(), made.labels), results(model, setup.task, run(whole_logits=True), made.labels)
    )


def test_packed_rows(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    weights_that_matter(monkeypatch)
    setup = build(load_config(project.config("text-generation"), ["train.packing=true", "train.device=cpu"]))
    model = setup.model.double().eval()
    made = setup.batching.make_batch(setup.train.features, range(3))
    run = partial(forward, model, setup.task, made, "fp32")
    assert_same(
        results(model, setup.task, run(), made.labels), results(model, setup.task, run(whole_logits=True), made.labels)
    )


@pytest.mark.parametrize("frozen", [False, True])
def test_where_nothing_is_scored_the_gradient_is_zero(frozen: bool) -> None:
    """The backward pass must be there: other ranks wait for its exchanges."""
    model, (inputs, labels) = model_of("llama", "AutoModelForCausalLM"), batch()
    model.lm_head.requires_grad_(not frozen)
    task = make_task(TASKS.validate_python({"type": "text-generation"}))
    labels.fill_(IGNORE)
    scores = token_scores(model, inputs, labels, partial(task.scored, labels=labels))
    [loss], gradients = results(model, task, scores, labels)
    assert loss == 0
    assert not any(gradient.any() for gradient in gradients.values())
    assert ("lm_head.weight" in gradients) != frozen


class Largest(TorchDispatchMode):
    """The most rows of a tensor with a column for each token of the vocabulary; of weights it has `width`."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.vocabulary, self.width, self.rows = vocabulary, width, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor) and tensor.ndim and tensor.shape[-1] == self.vocabulary:
                rows = tensor.numel() // self.vocabulary
                self.rows = max(self.rows, rows if rows != self.width else 0)
        return made


@pytest.mark.parametrize("trains", [True, False])
def test_no_more_logits_than_those_of_a_chunk(trains: bool) -> None:
    model, (inputs, labels) = model_of("llama", "AutoModelForCausalLM"), batch()
    task = make_task(TASKS.validate_python({"type": "text-generation"}))
    with Largest(model.config.vocab_size, model.config.hidden_size) as largest, torch.set_grad_enabled(trains):
        scores = token_scores(model, inputs, labels, partial(task.scored, labels=labels))
        if trains:
            scores.loss.backward()
    assert largest.rows == output_layer.CHUNK


def test_in_bf16_the_loss_is_as_close_as_that_of_whole_logits(project: Project) -> None:
    setup = build(load_config(project.config("text-generation"), ["train.device=cpu"]))
    model = setup.model.eval()
    made = setup.batching.make_batch(setup.train.features, range(4))
    [exact], by_weights = results(model, setup.task, forward(model, setup.task, made, "fp32"), made.labels)
    [loss], found = results(model, setup.task, forward(model, setup.task, made, "bf16"), made.labels)
    assert loss == pytest.approx(float(exact), rel=1e-3)
    for name, gradient in by_weights.items():
        assert (found[name] - gradient).norm() < 0.03 * gradient.norm()


def test_whole_logits_where_they_are_needed(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a task of one's own, by an architecture that is not proved, and where they are small."""
    setup = build(load_config(project.config("text-generation"), ["train.device=cpu"]))
    made = setup.batching.make_batch(setup.train.features, range(2))

    def is_whole() -> bool:
        return isinstance(forward(setup.model, setup.task, made, "fp32"), Tensor)

    assert not is_whole()
    with monkeypatch.context() as patched:
        patched.setattr(type(setup.task), "loss", lambda *arguments: training.math.inf)
        assert is_whole()
    with monkeypatch.context() as patched:
        patched.setattr(output_layer, "ARCHITECTURES", ())
        assert is_whole()
    monkeypatch.setattr(output_layer, "LARGE", made.labels.numel() * setup.model.config.vocab_size + 1)
    assert is_whole()
