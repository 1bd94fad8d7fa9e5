"""Every architecture that transformers has for a head trains and generates, or is refused by one sentence."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import architectures
import pytest
import torch
import transformers
from conftest import GOOD

from finetune.config.config import Model
from finetune.config.methods import Full
from finetune.data.batching import Padding
from finetune.data.rows import Row
from finetune.errors import UserError
from finetune.generate import generate
from finetune.model.forward import forward
from finetune.model.load import load_model
from finetune.model.requirements import require_architecture
from finetune.model.tiny import tiny_tokenizer
from finetune.run.saved_model import TASKS
from finetune.tasks import make_task

LENGTH = 16
SHORT = {"generation": {"max_new_tokens": 3}}
ROWS: dict[str, list[dict[str, Any]]] = {
    "text-classification": [{"text": GOOD[0], "label": "a"}, {"text": GOOD[2], "label": "b"}],
    "token-classification": [{"tokens": ["a", "fine"], "tags": ["O", "B-X"]}, {"tokens": ["a"], "tags": ["B-Y"]}],
    "retrieval": [{"query": "a", "document": "a fine day"}, {"query": "glad and", "document": "bright and warm"}],
    "text-generation": [{"prompt": "a", "completion": "fine day"}, {"prompt": "glad and", "completion": "warm"}],
    "translation": [{"source": "a fine day", "target": "glad"}, {"source": "warm", "target": "a lovely song"}],
}
CASES = [(head, kind) for head in architectures.HEADS for kind in architectures.architectures(head)]


@cache
def encoded(head: str) -> tuple[Any, Any, list[Any]]:
    """A task with this head, a tokenizer and the features of two examples of unequal length."""
    name = architectures.HEADS[head]
    task = make_task(TASKS.validate_python({"type": name, **(SHORT if "generation" in ROWS[name][0] else {})}))
    if task.generation:
        task.generation = task.generation.model_copy(update=SHORT["generation"])
    tokenizer = tiny_tokenizer("tiny:bert", GOOD)
    tokenizer.eos_token = tokenizer.sep_token
    examples = task.parse([Row("it:1", row, row) for row in ROWS[name]])
    task.fit(examples)
    return task, tokenizer, task.encode(examples, tokenizer, LENGTH).features


@torch.no_grad()
def assert_is_causal(model: Any, ids: torch.Tensor) -> None:
    """No logits depend on a later token, which would tell the model what it has to predict."""
    changed = ids.clone()
    changed[:, -1] += 1
    before, after = (model(input_ids=tokens, use_cache=False).logits[:, :-1] for tokens in (ids, changed))
    torch.testing.assert_close(before, after, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def assert_padding_changes_nothing(model: Any, task: Any, tokenizer: Any, features: list[Any]) -> None:
    """Two texts have the same loss together as one after the other; vectors are the same."""
    padding = Padding(tokenizer, task.batch_labels)
    if task.settings.compares_examples:
        rows = range(len(features))
        whole = forward(model, task, padding.make_batch(features, rows), precision="fp32")
        single = [forward(model, task, padding.make_batch(features, [row]), precision="fp32") for row in rows]
        torch.testing.assert_close(whole, torch.cat(single), rtol=2e-4, atol=2e-4)
        return
    batches = [padding.make_batch(features, rows) for rows in ([0, 1], [0], [1])]
    together, *alone = (
        float(task.loss(forward(model, task, batch, precision="fp32"), batch.labels)) for batch in batches
    )
    assert together == pytest.approx(sum(alone), rel=2e-4)


@pytest.mark.parametrize(("head", "kind"), CASES)
def test_an_architecture_trains_or_is_refused(head: str, kind: str, tmp_path: Path) -> None:
    """From a folder that plain transformers has saved, one step on two padded texts."""
    task, tokenizer, features = encoded(head)
    auto = getattr(transformers, head)
    try:
        require_architecture(task.settings, architectures.config_of_type(kind), "it")
    except UserError as error:
        refused = str(error)
    else:
        refused = ""
    if refused:
        named = architectures.config_of_type(kind).model_type
        assert refused.startswith(f"model.name: 'it' is a {named} model, which ")
        return
    if (package := architectures.PACKAGES.get(kind)) and not find_spec(package):
        pytest.skip(f"needs the package {package}")
    auto.from_config(architectures.tiny_config(kind, tokenizer)).save_pretrained(tmp_path)

    model, _, _ = load_model(Model(name=str(tmp_path), max_length=LENGTH), task, tokenizer, Full())
    batch = Padding(tokenizer, task.batch_labels).make_batch(features, range(len(features)))
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-2)
    loss = task.loss(forward(model.train(), task, batch, precision="fp32"), batch.labels)
    loss.backward()
    optimizer.step()
    assert loss.isfinite()
    assert any(not old.equal(new) for old, new in zip(before, model.parameters(), strict=True))
    if kind not in architectures.MIX_PADDING:
        assert_padding_changes_nothing(model.eval(), task, tokenizer, features)
    if head == "AutoModelForCausalLM":
        assert_is_causal(model.eval(), batch.inputs["input_ids"][:1])
    if task.generation:
        prompts = [feature.prompt for feature in features]
        texts = generate(
            model.eval(), tokenizer, prompts, task.generation, task.stop_tokens, budget=100, precision="fp32"
        )
        assert len(texts) == len(prompts)
