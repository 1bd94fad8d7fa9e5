"""A task: preprocessing, training objective and evaluation, each of which is described in a file of its own."""

from .evaluation import Evaluation, P
from .objective import Objective
from .preprocessing import E, Preprocessing
from .settings import Settings
from .tabular import TabularFeatures

__all__ = ["E", "P", "Task"]


class Task(Preprocessing[E], Objective, Evaluation[E, P]):
    """All that training, evaluation and reports know of a task with examples `E` and predictions `P`.

    What is declared about it stands in its `settings`. It knows its labels after `fit` or `load_state`.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.tabular = TabularFeatures()
