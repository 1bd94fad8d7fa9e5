"""Writes the lists in ``docs/methods.md``: architectures that train with each head, and why others do not.

What trains here, ``template/tests/proofs/test_architectures.py`` trains.

Usage: PYTHONPATH=template/src python -m tools.architecture_table
"""

import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import transformers
from finetune.errors import UserError
from finetune.model.requirements import require_architecture
from transformers import CONFIG_MAPPING

from tools.method_grid import PAGE, TASK_OF

START, END = "<!-- written by tools/architecture_table.py -->\n", "<!-- end of architectures -->\n"
HEADS = {
    "A class for the text, or a score": "text-classification",
    "A class for each word": "token-classification",
    "Text generation, chat": "text-generation",
    "Translation, summarization": "translation",
    "Vectors of texts": "retrieval",
}


def page(text: str) -> str:
    """The page with its lists as they are now."""
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    lists = "".join(_list(title, TASK_OF[task]) for title, task in HEADS.items())
    return f"{before}{START}\ntransformers {transformers.__version__}\n\n{lists}\n{END}{after}"


def _list(title: str, task: Any) -> str:
    kinds = sorted(getattr(transformers, task.auto_model)._model_mapping._model_mapping)
    refused: dict[str, list[str]] = defaultdict(list)
    for kind in kinds:
        if reason := _reason(kind, task):
            refused[reason].append(kind)
    trains = [kind for kind in kinds if not any(kind in others for others in refused.values())]
    lines = [f"- **{title}** ({len(trains)} of {len(kinds)}): {', '.join(trains)}"]
    lines += [f"  - which {reason}: {', '.join(kinds)}" for reason, kinds in sorted(refused.items())]
    return "".join(f"{line}\n" for line in lines)


def _reason(kind: str, task: Any) -> str:
    """Why a model of this type is refused; nothing if it trains."""
    try:
        require_architecture(task, object.__new__(CONFIG_MAPPING[kind]), "it")
    except UserError as error:
        return str(error).partition(", which ")[2].partition(":")[0]
    return ""


def main(path: Path = PAGE) -> None:
    path.write_text(page(path.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
