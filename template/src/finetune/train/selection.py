"""Model selection: which validation is the best so far, and when early stopping begins to count."""

import math
from dataclasses import dataclass
from typing import Any

from ..config.config import Config
from ..dataset import Split
from ..errors import UserError
from ..inference import Inference
from ..tasks.base import Task
from .checkpoint import TrainingState


@dataclass(frozen=True, slots=True)
class Selection:
    """Compares validations by `train.metric`, and where it ties, by the validation loss."""

    metric: str
    """`train.metric`, or that of the task."""
    logged: str
    """Its name in the values of a validation."""
    lower_is_better: bool
    headline: str = ""
    """The name of the metric that the task reports first, in the values of a validation."""
    baseline: float | None = None
    """The metric of the weakest trivial baseline, if early stopping waits for the model to beat it.

    A model that has learnt only the most frequent label scores the same at every validation, and its loss fluctuates;
    with rare labels this lasts for several epochs, before the model begins to tell the labels apart.
    """

    @property
    def shown(self) -> list[str]:
        """The metrics of a validation's line in the log: the headline, and the one that chooses."""
        return [name for name in dict.fromkeys([self.headline, self.logged]) if name != "loss"]

    def update(self, state: TrainingState, values: dict[str, float]) -> bool:
        """Note the values of a validation in `state`; returns whether it is the best so far."""
        score, loss = self._score(values[self.logged]), values["loss"]
        if (
            state.best_score is None
            or score > state.best_score
            or (score == state.best_score and loss < state.best_loss)
        ):
            state.best_score, state.best_loss, state.stale = score, loss, 0
            return True
        if self.baseline is None or state.best_score > self._score(self.baseline):
            state.stale += 1
        return False

    def _score(self, value: float) -> float:
        """The metric as a number that rises as the model improves."""
        if math.isnan(value):
            return -math.inf
        return -value if self.lower_is_better else value


def make_selection(config: Config, task: Task[Any, Any], validation: Split | None) -> Selection:
    """How the validations of a training are compared."""
    metric = config.train.metric or task.selection_metric
    directions = {"loss": "min", **task.metrics}
    if metric not in directions:  # which metrics there are may depend on the training data
        raise UserError(
            f"train.metric is {metric}, which these data do not have: choose one of {', '.join(directions)}"
        )
    lower_is_better = directions[metric] == "min"
    if validation is None:
        return Selection(metric, metric, lower_is_better)
    examples = validation.examples[: task.generation_limit("validation") or None]
    scored = [
        task.score(examples, predictions).metrics
        for predictions in (task.baselines(examples, validation.features).values() if config.train.patience else ())
    ]
    known = [metrics[metric] for metrics in scored if metric in metrics]
    baseline = (max if lower_is_better else min)(known, default=None)
    headline = logged_name(task, task.main_metric, validation)
    return Selection(metric, logged_name(task, metric, validation), lower_is_better, headline, baseline)


def validation_values(selection: Selection, task: Task[Any, Any], split: Split, result: Inference) -> dict[str, float]:
    """Loss and metrics of a validation, the one that chooses first; the task also calibrates itself (a threshold)."""
    task.calibrate(split.examples, split.features, result.decoded)
    metrics = task.score(split.examples, task.predictions(split.examples, split.features, result.decoded)).metrics
    values = {"loss": result.loss, **{logged_name(task, name, split): value for name, value in metrics.items()}}
    return {"loss": result.loss, selection.logged: values[selection.logged], **values}


def logged_name(task: Task[Any, Any], metric: str, split: Split) -> str:
    """`bleu_first_200` for the BLEU of the first 200 examples, where texts are generated for these only."""
    limit = task.generation_limit("validation")
    is_part = metric in task.settings.text_metrics and limit is not None and limit < len(split.examples)
    return f"{metric}_first_{limit}" if is_part else metric
