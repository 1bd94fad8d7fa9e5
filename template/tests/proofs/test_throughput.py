"""Statistics of the steps between two lines of the log."""

import pytest

from finetune.train.throughput import StepStats, log_values


def test_sums_extremes_and_rates() -> None:
    stats = StepStats()
    stats.add(StepStats(loss=6.0, count=3, lr=0.1, grad_norm=2.0, examples=2, tokens=10, padded=16, seconds=1.5))
    stats.add(StepStats(loss=2.0, count=1, lr=0.2, grad_norm=1.0, examples=3, tokens=20, padded=24, seconds=0.5))
    assert stats == StepStats(loss=8.0, count=4, lr=0.2, grad_norm=2.0, examples=5, tokens=30, padded=40, seconds=2.0)
    assert log_values(stats) == pytest.approx(
        {
            **{"loss": 2.0, "lr": 0.2, "grad_norm": 2.0, "padding": 0.25},
            **{"examples_per_second": 2.5, "tokens_per_second": 15.0},
        }
    )
