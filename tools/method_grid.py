"""Writes the grids in ``docs/methods.md``: which method learns which task, on which architecture, and why not.

Nothing in it is typed by hand: each cell asks the package, with a small model of the architecture.

Usage: PYTHONPATH=template/src python -m tools.method_grid
"""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, get_args

import transformers
from finetune.config.methods import AnyMethod
from finetune.errors import UserError
from finetune.model.layers import head_modules
from finetune.model.methods import apply_method
from finetune.model.requirements import require_architecture
from finetune.tasks.settings import AnyTask

PAGE = Path(__file__).resolve().parents[1] / "docs" / "methods.md"
START, END = "<!-- written by tools/method_grid.py -->\n", "<!-- end -->\n"


def _named(settings: Iterable[Any]) -> dict[str, Any]:
    """Sections of the config by their `type`."""
    return {get_args(section.model_fields["type"].annotation)[0]: section for section in settings}


METHODS = _named(get_args(get_args(AnyMethod)[0]))
TASK_OF = dict(sorted(_named(get_args(get_args(AnyTask)[0])).items()))
TOKENS = {"vocab_size": 50, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
STACK = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
BART = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32,
        "encoder_attention_heads": 2, "decoder_attention_heads": 2}  # fmt: skip
CONFIGS: dict[str, Callable[[], Any]] = {
    "BERT": lambda: transformers.BertConfig(**TOKENS, **STACK),
    "RoBERTa": lambda: transformers.RobertaConfig(**TOKENS, **STACK),
    "DeBERTa-v2": lambda: transformers.DebertaV2Config(**TOKENS, **STACK),
    "DistilBERT": lambda: transformers.DistilBertConfig(**TOKENS, dim=16, n_layers=1, n_heads=2, hidden_dim=32),
    "ModernBERT": lambda: transformers.ModernBertConfig(**TOKENS, **STACK, cls_token_id=1, sep_token_id=2),
    "GPT-2": lambda: transformers.GPT2Config(**TOKENS, n_embd=16, n_layer=1, n_head=2),
    "Llama": lambda: transformers.LlamaConfig(**TOKENS, **STACK),
    "Qwen2": lambda: transformers.Qwen2Config(**TOKENS, **STACK, num_key_value_heads=1),
    "T5": lambda: transformers.T5Config(**TOKENS, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2),
    "BART": lambda: transformers.BartConfig(**TOKENS, **BART),
    "Marian": lambda: transformers.MarianConfig(**TOKENS, **BART),
}
KINDS = {
    "a class for the text": TASK_OF["text-classification"],
    "a class for each word": TASK_OF["token-classification"],
    "writes": TASK_OF["text-generation"],
    "writes, an encoder reads": TASK_OF["translation"],
    "vectors of texts": TASK_OF["retrieval"],
}


class Notes:
    """Reasons, numbered as they come."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def cell(self, method: str, reason: str) -> str:
        """A cell of a grid: yes, or the number of the reason why not."""
        if not reason:
            return "GPU" if method == "qlora" else "yes"
        if reason not in self.reasons:
            self.reasons.append(reason)
        return f"no ({self.reasons.index(reason) + 1})"


def of_tasks(notes: Notes) -> list[list[str]]:
    """A row for each task."""
    return [
        [name, *(notes.cell(method, _by_task(task, method)) for method in METHODS)] for name, task in TASK_OF.items()
    ]


def of_architectures(notes: Notes) -> list[list[str]]:
    """A row for each architecture with each kind of head that is made for it."""
    rows = []
    for kind, task in KINDS.items():
        for name, make in CONFIGS.items():
            if _is_made_for(task, make()):
                reasons = {method: _by_task(task, method) or _by_model(task, method, make()) for method in METHODS}
                rows.append([f"{name}: {kind}", *(notes.cell(*pair) for pair in reasons.items())])
    return rows


def _is_made_for(task: Any, config: Any) -> bool:
    try:
        require_architecture(task, config, "it")
    except UserError:
        return False
    return True


def _by_task(task: Any, method: str) -> str:
    """Why the method cannot learn the task; nothing if it can."""
    return str(task.refused_methods.get(method, "")).removeprefix("but ")


def _by_model(task: Any, name: str, config: Any) -> str:
    """Why the method does not work on the architecture; nothing if it does."""
    name = name.replace("qlora", "lora")  # 4 bits need a GPU; which layers they are for does not
    model = getattr(transformers, task.auto_model).from_config(config)
    try:
        apply_method(METHODS[name](type=name), model, head_modules(model) if task.new_head else [])
    except UserError as error:
        sentence = str(error).removeprefix("method.type: ")
        return sentence.replace(f"a {config.model_type} model", "such a model")
    return ""


def page(text: str) -> str:
    """The page with its grids as they are now."""
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    notes = Notes()
    grids = [_table("task", of_tasks(notes)), _table("architecture", of_architectures(notes))]
    reasons = "".join(f"{number}. {reason}\n" for number, reason in enumerate(notes.reasons, 1))
    return f"{before}{START}\n{grids[0]}\n{grids[1]}\nWhy not:\n\n{reasons}\n{END}{after}"


def _table(first: str, rows: list[list[str]]) -> str:
    lines = [[first, *METHODS], ["---"] * (len(METHODS) + 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main(path: Path = PAGE) -> None:
    path.write_text(page(path.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
