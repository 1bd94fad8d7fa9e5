"""TRL's SFTTrainer, packed: windows of the same texts, cut from what stands behind each other."""

from typing import Any

import transformers
from finetune.config.config import Config

from .huggingface import HuggingFace, Row, training_arguments

INSTALL = "pip install trl datasets"


def is_installed() -> bool:
    """Whether TRL can be imported."""
    try:
        import trl  # noqa: F401
        from trl import SFTTrainer  # noqa: F401
    except (ImportError, RuntimeError):  # the latter for a package that it needs
        return False
    return True


class Sft(HuggingFace):
    """The SFTTrainer on the tokens that `finetune` reads, without its default activation checkpointing.

    "wrapped" is its only packing that does without a kernel of FlashAttention: rows are full, and attention reaches
    from one text into the next.
    """

    def __init__(
        self, model: Any, task: Any, tokenizer: Any, rows: dict[str, list[Row]], config: Config, **options: Any
    ) -> None:
        from datasets import Dataset, disable_progress_bars

        disable_progress_bars()
        tokens = {split: [{"input_ids": row["input_ids"]} for row in part] for split, part in rows.items()}
        self.datasets = {split: Dataset.from_list(part) for split, part in tokens.items()}
        options.pop("train_sampling_strategy", None)  # rows are of one length
        super().__init__(model, task, tokenizer, rows, config, **{"gradient_checkpointing": False, **options})

    def make(self, steps: int) -> Any:
        from trl import SFTConfig, SFTTrainer

        _, tokenizer, _, config, folder = self.parts
        arguments = SFTConfig(
            folder,
            packing=True,
            packing_strategy="wrapped",
            max_length=config.model.max_length,
            **{**training_arguments(config), **self.options, "max_steps": steps},
        )
        splits = {"train_dataset": self.datasets["train"], "eval_dataset": self.datasets["validation"]}
        trainer = SFTTrainer(self.model, arguments, processing_class=tokenizer, **splits)
        trainer.remove_callback(transformers.PrinterCallback)
        return trainer
