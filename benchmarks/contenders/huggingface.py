"""The Hugging Face Trainer, on the features that `finetune` makes of the same examples."""

import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import peft
import torch
import transformers
from finetune.config.config import Config
from finetune.config.methods import QLora
from finetune.data.features import IGNORE, Feature
from finetune.model.methods import peft_config
from finetune.tasks import text_classification, token_classification
from transformers.trainer_pt_utils import get_length_grouped_indices

from .base import Contender, Timing, timed, trainable

Row = dict[str, Any]
AT_ITS_BEST: dict[str, Any] = {
    "per_device_eval_batch_size": 64,
    "optim": "adamw_torch_fused",
    "train_sampling_strategy": "group_by_length",
}


def rows_of(task: Any, features: Sequence[Feature]) -> list[Row]:
    """Features as the Trainer takes them."""
    whole = task.settings.auto_model == "AutoModelForSequenceClassification"
    return [{**f.inputs, "labels": f.labels[0] if whole else f.labels, "length": f.length} for f in features]


def collator(task: Any, tokenizer: Any) -> Any:
    """What pads a batch."""
    if task.settings.auto_model == "AutoModelForSequenceClassification":
        return transformers.DataCollatorWithPadding(tokenizer)
    return transformers.DataCollatorForTokenClassification(tokenizer, label_pad_token_id=IGNORE)


def headline(task: Any, logits: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> float:
    """The main metric. The Trainer evaluates in an order of its own: the truth is what it hands over too."""
    best = logits.argmax(-1)
    if task.settings.type == "token-classification":
        kept = [row != IGNORE for row in labels]
        true = [[task.labels[i] for i in row[keep]] for row, keep in zip(labels, kept, strict=True)]
        predicted = [[task.labels[i] for i in row[keep]] for row, keep in zip(best, kept, strict=True)]
        examples: list[Any] = [token_classification.Example(tags, tags) for tags in true]
        predictions: list[Any] = [token_classification.Prediction(tags, []) for tags in predicted]
    else:
        examples = [text_classification.Example("", None, task.labels[i]) for i in labels]
        predictions = [text_classification.Prediction(task.labels[i], []) for i in best]
    return float(task.score(examples, predictions).metrics[task.settings.main_metric])


class GroupedTrainer(transformers.Trainer):  # type: ignore[misc]
    """Sorts 50 batches at a time by length, as the Trainer does only where there are 200 batches or more; one epoch."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        lengths = [row["length"] for row in self.train_dataset]
        return get_length_grouped_indices(lengths, self.args.train_batch_size, mega_batch_mult=50)


def training_arguments(config: Config) -> dict[str, Any]:
    """The settings of a config by their names in transformers, without output."""
    return {
        "num_train_epochs": config.train.epochs,
        "per_device_train_batch_size": config.train.batch_size,
        "learning_rate": config.optim.lr,
        "weight_decay": config.optim.weight_decay,
        "warmup_steps": config.optim.warmup,
        "lr_scheduler_type": {"constant": "constant_with_warmup"}.get(config.optim.schedule, config.optim.schedule),
        "seed": config.train.seed,
        "use_cpu": not torch.cuda.is_available(),
        "report_to": [],
        "disable_tqdm": True,
        "logging_strategy": "no",
        "save_strategy": "no",
        "dataloader_pin_memory": False,
    }


def make_trainer(
    model: Any,
    task: Any,
    tokenizer: Any,
    rows: dict[str, list[Row]],
    config: Config,
    folder: str,
    kind: Any = transformers.Trainer,
    **options: Any,
) -> Any:
    """A Trainer with the settings of a config; `options` are further training arguments."""
    trainer = kind(
        model,
        transformers.TrainingArguments(folder, **{**training_arguments(config), **options}),
        train_dataset=rows["train"],
        eval_dataset=rows["validation"],
        data_collator=collator(task, tokenizer),
        compute_metrics=(
            None
            if task.generation
            else lambda result: {"headline": headline(task, result.predictions, result.label_ids)}
        ),
        processing_class=tokenizer,
    )
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer


def with_peft(config: Config, device: torch.device, weights: dict[str, torch.Tensor], half: bool) -> Any:
    """The model of a config with an adapter of peft as a user makes it, which starts with `weights`.

    `half`: weights loaded in bf16 instead of fp32; with QLoRA they are quantized either way.
    """
    options: dict[str, Any] = {"dtype": torch.bfloat16 if half else torch.float32}
    if isinstance(config.method, QLora):
        options["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
        )
    model = transformers.AutoModelForCausalLM.from_pretrained(config.model.name, **options)
    if isinstance(config.method, QLora):
        model = peft.prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    model = peft.get_peft_model(model.to(device), peft_config(config.method, model, [], 1))
    model.load_state_dict(weights, strict=False)
    return model


class HuggingFace(Contender):
    """The Trainer, timed from its first step to its last, without what it sets up before."""

    def __init__(
        self, model: Any, task: Any, tokenizer: Any, rows: dict[str, list[Row]], config: Config, **options: Any
    ) -> None:
        self.model, self.rows, self.options = model, rows, options
        self.predicts = not task.generation
        self.initial = trainable(model)
        self.folder = tempfile.TemporaryDirectory()
        if task.generation:
            self.options["prediction_loss_only"] = True
        self.parts = (task, tokenizer, rows, config, self.folder.name)
        self.trainer = self.make(-1)

    def make(self, steps: int) -> Any:
        """A trainer for so many steps; -1 is a whole pass."""
        return make_trainer(self.model, *self.parts, GroupedTrainer, **self.options, max_steps=steps)

    def train(self, steps: int | None = None) -> Timing:
        self.trainer = self.make(steps or -1)
        timing = Timing()
        self.trainer.add_callback(StepTimer(timing))
        self.trainer.train()
        return timing

    def evaluate(self) -> tuple[Timing, float, float]:
        timing = Timing()
        with timed(timing):
            result = self.trainer.evaluate()
        return timing, result["eval_loss"], result.get("eval_headline", float("nan"))

    def predict(self) -> Timing:
        self.trainer.compute_metrics = None
        timing = Timing()
        with timed(timing):
            self.trainer.predict(self.rows["validation"]).predictions.argmax(-1)
        return timing


class StepTimer(transformers.TrainerCallback):  # type: ignore[misc]
    """Times from the first step to the end of the last one, the making of batches included."""

    def __init__(self, timing: Timing) -> None:
        self.timing = timing

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        self.block = timed(self.timing)
        self.block.__enter__()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        self.block.__exit__(None, None, None)
