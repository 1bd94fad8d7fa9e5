"""What a sequence of trainings has learnt and forgotten, from the scores of the model after each of them on all data.

`matrix[i][j]` is the score on stage j of the model after stage i, both from 0 on; None where the model does not know
the labels of stage j yet. Average accuracy and backward transfer are those of Lopez-Paz and Ranzato (2017), forgetting
is that of Chaudhry et al. (2018).
"""

from collections.abc import Sequence

Matrix = Sequence[Sequence[float | None]]


def average(matrix: Matrix) -> float:
    """Mean score of the last model on all stages up to its own."""
    last = [_known(score) for score in matrix[-1][: len(matrix)]]
    return sum(last) / len(last)


def backward_transfer(matrix: Matrix) -> float | None:
    """Mean change of the score of a stage by later stages; negative: they harmed it (Lopez-Paz and Ranzato 2017)."""
    changes = [_known(matrix[-1][j]) - _known(matrix[j][j]) for j in range(len(matrix) - 1)]
    return sum(changes) / len(changes) if changes else None


def forgetting(matrix: Matrix) -> float | None:
    """Mean loss of score on earlier stages, compared with the best earlier model (Chaudhry et al. 2018)."""
    losses = [
        max(score for row in matrix[:-1] if (score := row[j]) is not None) - _known(matrix[-1][j])
        for j in range(len(matrix) - 1)
    ]
    return sum(losses) / len(losses) if losses else None


def _known(score: float | None) -> float:
    """The model knows the labels of all stages up to its own."""
    assert score is not None
    return score
