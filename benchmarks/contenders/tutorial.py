"""The loop of a tutorial: every text padded to one length, fp32, AdamW as a plain loop."""

from typing import Any

import torch
from torch.utils.data import DataLoader

from .base import Contender, Timing, timed, trainable
from .huggingface import Row, headline

LENGTH = 128


class Tutorial(Contender):
    """Pads all texts to 128 tokens beforehand."""

    def __init__(self, model: Any, task: Any, tokenizer: Any, rows: dict[str, list[Row]], config: Any) -> None:
        self.model, self.task, self.config = model, task, config
        self.initial = trainable(model)
        words = config.task.type == "token-classification"
        self.rows = {split: [_padded(row, tokenizer, words) for row in part] for split, part in rows.items()}

    def train(self, steps: int | None = None) -> Timing:
        torch.manual_seed(self.config.train.seed)
        optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=self.config.optim.lr,
            weight_decay=self.config.optim.weight_decay,
            foreach=False,
            fused=False,
        )
        timing = Timing()
        self.model.train()
        with timed(timing):
            for step, batch in enumerate(DataLoader(self.rows["train"], self.config.train.batch_size, shuffle=True)):  # type: ignore
                if step == steps:
                    break
                self.model(**_on(batch, self.model.device)).loss.backward()
                optimizer.step()
                optimizer.zero_grad()
        return timing

    def evaluate(self) -> tuple[Timing, float, float]:
        timing = Timing()
        with timed(timing):
            logits, labels, loss = self._logits()
            metric = headline(self.task, logits, labels)
        return timing, loss, metric

    def predict(self) -> Timing:
        timing = Timing()
        with timed(timing):
            self._logits()
        return timing

    @torch.no_grad()
    def _logits(self) -> tuple[Any, Any, float]:
        self.model.eval()
        outputs, labels, losses = [], [], []
        for batch in DataLoader(self.rows["validation"], self.config.train.batch_size):  # type: ignore
            output = self.model(**_on(batch, self.model.device))
            outputs.append(output.logits.cpu())
            labels.append(batch["labels"])
            losses.append(float(output.loss))
        return torch.cat(outputs).numpy(), torch.cat(labels).numpy(), sum(losses) / len(losses)


def _on(batch: dict[str, Any], device: Any) -> dict[str, Any]:
    return {name: values.to(device) for name, values in batch.items()}


def _padded(row: Row, tokenizer: Any, words: bool) -> dict[str, Any]:
    missing = LENGTH - row["length"]
    padded = {"input_ids": row["input_ids"] + [tokenizer.pad_token_id] * missing}
    padded["attention_mask"] = [1] * row["length"] + [0] * missing
    if "token_type_ids" in row:
        padded["token_type_ids"] = row["token_type_ids"] + [0] * missing
    labels = row["labels"] + [-100] * missing if words else row["labels"]
    return {name: torch.tensor(values[:LENGTH]) for name, values in padded.items()} | {
        "labels": torch.tensor(labels[:LENGTH] if words else labels)
    }
