"""Integrated gradients are complete, exact where the answer is known, and independent of how passes are cut."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from conftest import Project

from finetune.data.rows import Row
from finetune.explain import attribution
from finetune.explain.attribution import baseline_token
from finetune.explain.explain import Explainer, finished
from finetune.explain.targets import Choice
from finetune.inference import infer
from finetune.run.folder import RunFolder
from finetune.run.saved_model import load_saved_model

METHODS = ["full", "head", "lora", "adalora", "ia3", "prefix", "prompt", "adapter"]
BY_DEFAULT = Choice()
ROWS: dict[str, dict[str, Any]] = {
    "text-classification": {"text": "a fine day and a grim day"},
    "multi-label-classification": {"text": "the invoice is wrong"},
    "regression": {"text": "very good indeed"},
    "ranking": {"query": "tea", "document": "green tea"},
    "retrieval": {"query": "something with horses", "document": "a farm with horses and more rooms"},
    "token-classification": {"text": "Ada Byron lives in Turin ."},
    "text-generation": {"prompt": "lamp , small and green"},
    "chat": {"messages": [{"role": "user", "content": "When do you open ?"}]},
    "translation": {"source": "the red house"},
}


@pytest.fixture(autouse=True)
def _strict(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Double the steps until the error is tiny; where the model is smooth."""
    monkeypatch.setattr(attribution, "RELATIVE", 0.0)
    monkeypatch.setattr(attribution, "ABSOLUTE", 1e-3 if "translation" in request.node.name else 1e-8)


def explainer(
    project: Project, task: str, budget: int = 512, overrides: Sequence[str] = (), **sections: Any
) -> Explainer:
    """Of a run of a few steps, in fp64."""
    project.train(project.config(task, train={"max_steps": 2, "device": "cpu"}, **sections), *overrides)
    saved = load_saved_model(RunFolder(project.folder / "runs/config").model)
    return Explainer(saved.task, saved.model.double(), saved.tokenizer, saved.max_length, budget)


def explained(one: Explainer, row: dict[str, Any], *methods: Any, choice: Choice = BY_DEFAULT) -> list[dict[str, Any]]:
    work = one.explain(*one.read(Row("row", row, row)), methods or ("gradients",), choice)
    targets: list[dict[str, Any]] = finished(work)["targets"]
    return targets


def require_complete(targets: list[dict[str, Any]], task: str = "") -> None:
    """The words sum to the difference of two forward passes.

    T5 has ReLU, whose kinks no quadrature likes, and computes the means of its norms in fp32.
    """
    assert targets
    for target in targets:
        difference = target["value"] - target["baseline"]
        assert abs(difference) > 1e-4
        within = 1e-3 if task == "translation" else 1e-8
        assert sum(word["gradients"] for word in target["words"]) == pytest.approx(difference, abs=within)


@pytest.mark.parametrize("task", ROWS)
def test_words_sum_to_the_difference(task: str, project: Project) -> None:
    choice = Choice(word=2) if task == "token-classification" else BY_DEFAULT
    require_complete(explained(explainer(project, task), ROWS[task], choice=choice), task)


@pytest.mark.parametrize("method", METHODS)
def test_with_each_method(method: str, project: Project) -> None:
    task = "text-classification"
    require_complete(explained(explainer(project, task, method={"type": method}), ROWS[task]))


@pytest.mark.parametrize("method", ["lora", "prefix", "prompt"])
@pytest.mark.parametrize("task", ["text-generation", "translation"])
def test_with_methods_of_models_that_generate(task: str, method: str, project: Project) -> None:
    require_complete(explained(explainer(project, task, method={"type": method}), ROWS[task]), task)


def test_a_decoder_that_classifies(project: Project) -> None:
    """It finds the last token by its id, which the baseline must not change."""
    task = "text-classification"
    targets = explained(explainer(project, task, model={"name": "tiny:gpt2"}), ROWS[task], "gradients", "occlusion")
    require_complete(targets)
    assert all(word["occlusion"] for word in targets[0]["words"])


@pytest.mark.parametrize("overflow", ["cut", "head_tail", "windows"])
def test_long_texts(overflow: str, project: Project) -> None:
    task, text = "text-classification", " ".join(f"a fine day {word}" for word in ("what", "song", "they", "laughed"))
    one = explainer(project, task, model={"max_length": 12, "overflow": overflow})
    targets = explained(one, {"text": text})
    require_complete(targets)
    found = [(word["start"], word["end"]) for word in targets[0]["words"]]
    assert found == sorted(set(found))
    assert (found[-1][1] == len(text)) == (overflow != "cut")


def test_long_sentences_of_words(project: Project) -> None:
    words = ["Ada", "Byron", "lives", "in", "Turin", "."] * 5
    one = explainer(project, "token-classification", model={"max_length": 12})
    for number in (1, 15, 30):
        require_complete(explained(one, {"tokens": words}, choice=Choice(word=number)))


@pytest.mark.parametrize(
    ("task", "budget"), [("text-classification", 1), ("token-classification", 1), ("retrieval", 32)]
)
def test_the_budget_changes_nothing(task: str, budget: int, project: Project) -> None:
    one = explainer(project, task, budget=budget)
    row, choice = ROWS[task], Choice(word=2) if task == "token-classification" else Choice()
    methods = "gradients", "occlusion"
    alone = explained(one, row, *methods, choice=choice)
    other = Explainer(one.task, one.model, one.tokenizer, one.max_length, 100_000)
    for first, second in zip(alone, explained(other, row, *methods, choice=choice), strict=True):
        for left, right in zip(first["words"], second["words"], strict=True):
            assert [left[name] for name in methods] == pytest.approx([right[name] for name in methods], abs=1e-12)


@pytest.mark.parametrize("name", ["tiny:bert", "tiny:gpt2"])
@pytest.mark.parametrize("prefixes", ["{}", "{query: 'query: ', document: 'passage:'}"])
def test_a_similarity_of_texts_with_prefixes(prefixes: str, name: str, project: Project) -> None:
    """The prefix stays, in the baseline too: words of both texts are explained, without it."""
    overrides = [f"task.prefixes={prefixes}", *(["task.pooling=last"] if name == "tiny:gpt2" else [])]
    one = explainer(project, "retrieval", overrides=overrides, model={"name": name})
    row = {**ROWS["retrieval"], "negatives": ["no"]}
    [target] = explained(one, row, "gradients", "occlusion")
    require_complete([target])
    rows = [row["query"], row["document"]]
    vectors = [
        infer(one.model, one.task, one.tokenizer, features, "prediction", budget=512, precision="fp32").decoded[0]
        for features in (
            one.task.encode_texts([text], role, one.tokenizer, one.max_length).features
            for text, role in zip(rows, ("query", "document"), strict=True)
        )
    ]
    assert target["value"] == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-12)
    words = [(word["part"], word["text"]) for word in target["words"] if word["text"].strip()]
    assert words == [("query", word) for word in rows[0].split()] + [("document", word) for word in rows[1].split()]
    assert all(word["occlusion"] for word in target["words"] if word["text"].isalpha())


class Linear(torch.nn.Module):
    """Logits that are linear in the token embeddings."""

    def __init__(self, table: torch.nn.Embedding, labels: int) -> None:
        super().__init__()
        self.table, self.output = table, torch.nn.Linear(table.embedding_dim, labels, dtype=torch.float64)
        self.config, self.device = type("Config", (), {"is_encoder_decoder": False})(), torch.device("cpu")

    def get_input_embeddings(self) -> torch.nn.Embedding:
        return self.table

    def forward(self, input_ids: Any, attention_mask: Any, **_: Any) -> Any:
        summed = (self.table(input_ids) * attention_mask[..., None]).sum(1)
        return type("Output", (), {"logits": self.output(summed)})()


def test_of_a_linear_model_both_are_gradient_times_input(project: Project) -> None:
    one = explainer(project, "text-classification")
    torch.manual_seed(0)
    table = torch.nn.Embedding(len(one.tokenizer), 8, dtype=torch.float64)
    linear = Linear(table, 2)
    one = Explainer(one.task, linear, one.tokenizer, one.max_length, 512)
    [target] = explained(one, ROWS["text-classification"], "gradients", "occlusion", choice=Choice(label="good"))
    assert target["steps"] == attribution.FEWEST
    direction = (linear.output.weight[1] - linear.output.weight[0]).detach() / one.task.temperature  # of the log-odds
    mask = table.weight[baseline_token(one.tokenizer)]
    for word in target["words"]:
        ids = one.tokenizer(word["text"], add_special_tokens=False)["input_ids"]
        expected = float(((table.weight[ids] - mask) @ direction).sum())
        assert word["gradients"] == pytest.approx(expected, abs=1e-12)
        assert word["occlusion"] == pytest.approx(expected, abs=1e-12)


def test_occlusion_is_what_two_predictions_differ_by(project: Project) -> None:
    one = explainer(project, "regression")
    text = "very good indeed"
    [target] = explained(one, {"text": text}, "gradients", "occlusion")
    for word in target["words"]:
        masked = f"{text[: word['start']]}{one.tokenizer.mask_token}{text[word['end'] :]}"
        [without] = explained(one, {"text": masked})
        tokens = len(one.tokenizer(word["text"], add_special_tokens=False)["input_ids"])
        if tokens == 1:
            assert word["occlusion"] == pytest.approx(target["value"] - without["value"], abs=1e-10)


def test_passes_can_be_interleaved(project: Project) -> None:
    """A server answers others between two passes."""
    one, row = explainer(project, "text-classification"), ROWS["text-classification"]
    reading = one.read(Row("row", row, row))
    works = [one.explain(*reading, ("gradients",), Choice(label=label)) for label in ("good", "bad")]
    for work in works * 2:
        next(work)
    interleaved = [finished(work)["targets"] for work in works]
    assert interleaved == [explained(one, row, choice=Choice(label=label)) for label in ("good", "bad")]
    require_complete(interleaved[0])
