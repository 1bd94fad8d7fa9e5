"""Linear models of texts: logistic regression (one-vs-rest for several labels) and ridge regression.

Each yields what the task decodes from a transformer's logits, so that the task itself makes predictions of it.
"""

import warnings
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from ..tasks.base import Task
from ..tasks.multi_label_classification import MultiLabelClassificationTask
from ..tasks.probabilities import ProbabilityTask
from ..tasks.text_classification import TextClassificationTask
from ..tasks.texts import TextTask
from .text_features import TextFeatures

Array = NDArray[Any]
Apply = Callable[[Any], Array]
"""From a matrix of features to the outputs for each row."""

INVERSE_REGULARIZATION = 3.0
"""C of the logistic regression: on SST-2 as good as any from 1 to 10."""
REGULARIZATION = 1.0
"""alpha of the ridge regression."""
CHUNK = 5_000
"""Examples whose features are in memory at once while they are predicted."""
CERTAIN = 30.0
"""Log-odds of a label that is certain: a probability of 1 - 1e-13."""
HELD_OUT = 5
"""Of several labels, one in so many training examples chooses the threshold for the model of all the others."""


class LinearModel:
    """A linear model of TF-IDF features, fitted to the training examples of a task."""

    def __init__(self, task: TextTask[Any, Any], examples: Sequence[Any]) -> None:
        targets = np.array([task.target(example) for example in examples])
        self._task = task = copy(task)
        task.overflow = "cut"  # an output for each example, not for each window
        if isinstance(task, ProbabilityTask):  # the temperature is that of the transformer
            task.temperature = 1.0
            task.settings = task.settings.model_copy(update={"calibration": "none"})
        self.features = TextFeatures(task.tabular, outputs_of(task))
        self.features.fit(examples)
        rows = self.features.transform(examples)
        if isinstance(task, TextClassificationTask):
            self.name = "TF-IDF with logistic regression"
            weights = None if task.weights is None else np.array(task.weights)[targets[:, 0]]
            self._apply = _classifier(rows, targets[:, 0], len(task.labels), weights)
        elif isinstance(task, MultiLabelClassificationTask):
            self.name = "TF-IDF with logistic regression"
            task.threshold = _threshold(task, rows, targets, examples)
            self._apply = _one_vs_rest(rows, targets)
        else:
            self.name = "TF-IDF with ridge regression"
            self._apply = _ridge(rows, targets[:, 0])

    def predictions(self, examples: Sequence[Any]) -> list[Any]:
        """The task's own predictions."""
        parts = [examples[start : start + CHUNK] for start in range(0, len(examples), CHUNK)]
        outputs = [self._apply(self.features.transform(part)) for part in parts]
        return self._task.predictions(examples, (), np.concatenate(outputs).tolist())

    @property
    def described(self) -> str:
        """What was fitted."""
        return self.features.described


def outputs_of(task: Task[Any, Any]) -> int:
    """Numbers that a model predicts for an example: one for each label, or one."""
    return len(task.labels) if isinstance(task, TextClassificationTask | MultiLabelClassificationTask) else 1


def logistic(rows: Any, targets: Array, weights: Array | None = None, **options: Any) -> LogisticRegression:
    """Logistic regression, without a warning where it has not converged: 100 iterations will do for a baseline."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(**options).fit(rows, targets, weights)


def _classifier(rows: Any, targets: Array, labels: int, weights: Array | None) -> Apply:
    """Log-probabilities (rows, labels); a label that no training example has, as in further training, has -inf."""
    known = np.unique(targets)
    model = logistic(rows, targets, weights, C=INVERSE_REGULARIZATION) if len(known) > 1 else None

    def apply(features: Any) -> Array:
        logits = np.full((features.shape[0], labels), -np.inf)
        logits[:, known] = model.predict_log_proba(features) if model else 0.0
        return logits

    return apply


def _one_vs_rest(rows: Any, targets: Array) -> Apply:
    """Log-odds (rows, labels); a label that all training examples have, or none, is certain."""
    of_labels = [_classifier(rows, column.astype(int), 2, None) for column in targets.T]

    def apply(features: Any) -> Array:
        outputs = (one(features) for one in of_labels)
        return np.stack([np.clip(logits[:, 1] - logits[:, 0], -CERTAIN, CERTAIN) for logits in outputs], axis=1)

    return apply


def _threshold(task: MultiLabelClassificationTask, rows: Any, targets: Array, examples: Sequence[Any]) -> float:
    """The threshold with the best micro F1 on a part of the training examples, by a model of all the others."""
    is_held = np.arange(len(examples)) % HELD_OUT == HELD_OUT - 1
    if not is_held.any():
        return 0.5
    judge, first = copy(task), _one_vs_rest(rows[~is_held], targets[~is_held])
    held = [example for example, out in zip(examples, is_held, strict=True) if out]
    judge.calibrate(held, (), first(rows[is_held]).tolist())
    return judge.threshold


def _ridge(rows: Any, targets: Array) -> Apply:
    """Standardized numbers (rows,)."""
    model = Ridge(alpha=REGULARIZATION).fit(rows, targets)
    return lambda features: np.asarray(model.predict(features))
