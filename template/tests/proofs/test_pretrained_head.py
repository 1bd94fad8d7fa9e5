"""Going on from a checkpoint with a head: its labels are matched by name, whatever their order."""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Project, build
from safetensors.torch import load_file
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PerceiverConfig,
)

from finetune.config.load import load_config
from finetune.errors import UserError
from finetune.model.head import output_layer
from finetune.model.layers import head_modules
from finetune.model.pretrained_head import fit_head, matching_rows
from finetune.run.saved_model import load_saved_model
from finetune.tasks.labels import label_options

SIZES = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 30,
    "max_position_embeddings": 40, "initializer_range": 0.5, "pad_token_id": 0,
}  # fmt: skip
DISTILBERT = {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 16, "vocab_size": 30, "pad_token_id": 0}
MODELS: dict[str, dict[str, Any]] = {
    "bert": SIZES, "roberta": SIZES, "distilbert": DISTILBERT, "modernbert": {**SIZES, "cls_token_id": 1},
    "deberta-v2": {**SIZES, "pooler_hidden_size": 16},
    "gpt2": {"n_embd": 16, "n_layer": 1, "n_head": 2, "vocab_size": 30, "pad_token_id": 0},
    "t5": {
        "d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2, "vocab_size": 30, "eos_token_id": 1,
        "decoder_start_token_id": 0, "initializer_factor": 2.0,
    },
}  # fmt: skip
AUTOS: dict[str, Any] = {
    "text-classification": AutoModelForSequenceClassification,
    "token-classification": AutoModelForTokenClassification,
}
NLI = ["contradiction", "Entailment", " neutral "]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("task", AUTOS)
def test_rows_of_a_permuted_head_are_permuted_logits(name: str, task: str, tmp_path: Path) -> None:
    auto = AUTOS[task]
    torch.manual_seed(0)
    config = AutoConfig.for_model(name, **MODELS[name], **label_options(NLI))
    auto.from_config(config).double().eval().save_pretrained(tmp_path)
    ids = torch.tensor([[5, 9, 7, 3, 1], [6, 8, 1, 0, 0]])
    inputs = {"input_ids": ids, "attention_mask": (ids != 0).long()}
    before = auto.from_pretrained(tmp_path, dtype=torch.float64).eval()(**inputs).logits
    checkpoint = AutoConfig.from_pretrained(tmp_path)
    for ours, expected in (
        (["neutral", "contradiction", "entailment"], [2, 0, 1]),
        (["entailment", "neutral"], [1, 2]),
    ):
        options = label_options(ours)
        assert matching_rows(checkpoint, options) == expected
        model, info = auto.from_pretrained(tmp_path, dtype=torch.float64, output_loading_info=True)
        head = fit_head(model, info, checkpoint, options, expected)
        assert head.taken
        assert [model.config.id2label[i] for i in range(len(ours))] == ours
        torch.testing.assert_close(model.eval()(**inputs).logits, before[..., expected], rtol=0, atol=1e-12)


def setup_from(project: Project, task: str, *overrides: str, **options: Any) -> Any:
    """What a training from the folder `base` works with, where it has the labels of `options`."""
    setup = build(load_config(project.config(task, train={"device": "cpu"})))
    kind = AUTOS.get(task, AutoModelForSequenceClassification)
    torch.manual_seed(3)
    model = kind.from_config(type(setup.model.config)(**{**setup.model.config.to_dict(), **options}))
    model.save_pretrained("base")
    setup.tokenizer.save_pretrained("base")
    again = build(load_config(project.config(task, train={"device": "cpu"}), ["model.name=base", *overrides]))
    return model, again


def rows_of(model: Any) -> torch.Tensor:
    """The weights of the output layer that is trained."""
    head = [name for name, module in model.named_modules() if name.endswith(("classifier", "classifier.default"))]
    return model.get_submodule(head[-1]).weight.detach()


@pytest.mark.parametrize("method", ["full", "lora", "head", "adapter"])
def test_a_training_starts_from_the_rows_of_the_same_names(method: str, project: Project) -> None:
    base, setup = setup_from(
        project, "text-classification", f"method.type={method}", **label_options(["GOOD", "so so", " bad"])
    )
    kept = ["head: the outputs of the frozen body are computed once and kept"] if method == "head" else []
    assert setup.start.notes == ["head: 2 of the 3 labels of the checkpoint, matched by name", *kept]
    assert setup.task.labels == ["bad", "good"]
    assert torch.equal(rows_of(setup.model), rows_of(base)[[2, 0]])


def test_lora_on_such_a_checkpoint_is_saved_with_the_head_that_it_trained(project: Project) -> None:
    """Its base model has another number of labels."""
    setup_from(project, "text-classification", **label_options(["GOOD", "so so", " bad"]))
    path = project.config("text-classification", method={"type": "lora"}, model={"name": "base"})
    project.train(path, "train.max_steps=2")
    [checkpoint] = Path("runs/config/checkpoints").iterdir()
    trained = load_file(checkpoint / "model.safetensors")
    saved = load_saved_model(Path("runs/config/best")).model
    assert saved.config.id2label == {0: "bad", 1: "good"}
    assert torch.equal(rows_of(saved), trained["base_model.model.classifier.modules_to_save.default.weight"])


NAMES = ["I-PER", "B-PER", "O", "b-org", "I-ORG", "B-MISC", "I-MISC", "I-LOC", "B-LOC"]


def test_tags_and_several_labels_are_matched_as_well(project: Project) -> None:
    base, setup = setup_from(project, "token-classification", **label_options(NAMES))
    assert setup.task.labels == ["O", "B-LOC", "I-LOC", "B-ORG", "I-ORG", "B-PER", "I-PER"]
    assert torch.equal(rows_of(setup.model), rows_of(base)[[2, 8, 7, 3, 4, 1, 0]])
    options = label_options(["login", "billing"], problem_type="multi_label_classification")
    base, setup = setup_from(project, "multi-label-classification", **options)
    assert torch.equal(rows_of(setup.model), rows_of(base)[[1, 0]])


@pytest.mark.parametrize(
    ("task", "options", "said"),
    [
        ("text-classification", label_options(["pos", "neg"]), "new, the checkpoint has other labels (pos, neg)"),
        ("text-classification", label_options(list("abcdefg")), "other labels (a, b, c, d, e, ...)"),
        ("text-classification", label_options(["good", "awful"]), "new, the checkpoint has other labels (good, awful)"),
        (
            "text-classification",
            label_options(["LABEL_0", "LABEL_1"]),
            "new, the 2 labels of the checkpoint have no names",
        ),
        (
            "text-classification",
            label_options(["bad", "good"], problem_type="multi_label_classification"),
            "new, that of the checkpoint was trained for multi_label_classification",
        ),
        (
            "multi-label-classification",
            label_options(["billing", "login"], problem_type="single_label_classification"),
            "new, that of the checkpoint was trained for single_label_classification",
        ),
        ("token-classification", label_options(["O", "B-X", "I-X"]), "new, the checkpoint has other labels (O, B-X,"),
        (
            "regression",
            {"num_labels": 1, "problem_type": "multi_label_classification"},
            "new, that of the checkpoint was trained for multi_label_classification",
        ),
        ("ranking", label_options(["a", "b"]), "new, the checkpoint has other labels (a, b)"),
    ],
)
def test_a_head_with_other_labels_is_not_taken(task: str, options: dict[str, Any], said: str, project: Project) -> None:
    """Also where it has as many outputs."""
    base, setup = setup_from(project, task, **options)
    [note] = setup.start.notes
    assert said in note
    ours, theirs = rows_of(setup.model), rows_of(base)
    assert ours.shape != theirs.shape or not torch.isclose(ours, theirs).any()
    assert 0.01 < ours.std() < 0.1  # drawn with the scale of the config
    assert not setup.model.classifier.bias.any()


@pytest.mark.parametrize("task", ["regression", "ranking"])
def test_one_output_is_taken_as_it_is(task: str, project: Project) -> None:
    base, setup = setup_from(project, task, num_labels=1, problem_type=None)
    assert setup.start.notes == ["head: the output of the checkpoint"]
    assert torch.equal(rows_of(setup.model), rows_of(base))


def test_a_checkpoint_without_a_head_is_no_riddle(project: Project) -> None:
    setup = build(load_config(project.config("text-classification")))
    assert setup.start.notes == []  # a tiny model has random weights all over
    setup.model.bert.save_pretrained("base")
    setup.tokenizer.save_pretrained("base")
    for labels in ("bad, good", "x, y"):  # of a config that has names, but no weights
        AutoConfig.from_pretrained("base", **label_options(labels.split(", "))).save_pretrained("base")
        setup = build(load_config(project.config("text-classification"), ["model.name=base"]))
        assert setup.start.notes == ["head: new, the checkpoint has none for this task"]
        assert setup.model.config.id2label == {0: "bad", 1: "good"}


def test_exact_names_come_before_those_that_differ_in_case() -> None:
    checkpoint = AutoConfig.for_model("bert", **label_options(["a", "A", "b"]))
    assert matching_rows(checkpoint, label_options(["A", "b"])) == [1, 2]
    assert matching_rows(checkpoint, label_options(["A", "B"])) is None  # either of two is meant


def test_a_head_without_a_linear_layer_is_left_alone_or_refused() -> None:
    sizes = {"num_latents": 2, "d_latents": 8, "d_model": 8, "num_blocks": 1, "num_self_attends_per_block": 1}
    checkpoint = PerceiverConfig(**sizes, num_self_attention_heads=2, num_cross_attention_heads=2, **label_options(NLI))
    model = AutoModelForSequenceClassification.from_config(checkpoint)
    assert output_layer(model, head_modules(model)) == ("", [])
    info: dict[str, Any] = {"missing_keys": [], "mismatched_keys": []}
    assert fit_head(model, info, checkpoint, label_options(NLI), [0, 1, 2]).taken
    with pytest.raises(UserError, match="the head of a perceiver model cannot be changed"):
        fit_head(model, info, checkpoint, label_options(NLI[::-1]), [2, 1, 0])
