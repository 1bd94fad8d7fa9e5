"""MLflow. The server is named by MLFLOW_TRACKING_URI, the experiment by MLFLOW_EXPERIMENT_NAME."""

import os
from collections.abc import Sequence

from .tracker import TIMEOUT, About, Point

VARIABLES = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": str(TIMEOUT),
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
}
"""Read when MLflow is imported."""
PARAMETERS, METRICS, LENGTH = 100, 1000, 6000
"""Limits of MLflow: parameters and metrics of a request, characters of a parameter."""


class Tracker:
    """A run of MLflow, which drops a metric that it has already, by name, time, step and value."""

    def __init__(self, about: About, known: str | None) -> None:
        os.environ |= VARIABLES | os.environ
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self._client, self._started = MlflowClient(), about.started
        self._last = Point(0, 0.0, {})
        if known:
            self.id = known
            self._client.update_run(known, status="RUNNING")
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", about.project)
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self._client.create_experiment(name)
        run = self._client.create_run(experiment, about.started, about.tags, about.name)
        self.id = str(run.info.run_id)
        parameters = [Param(key, str(value)[:LENGTH]) for key, value in about.settings.items()]
        for start in range(0, len(parameters), PARAMETERS):
            self._client.log_batch(self.id, params=parameters[start : start + PARAMETERS])

    def log(self, points: Sequence[Point]) -> None:
        from mlflow.entities import Metric

        self._last = points[-1]
        metrics = [
            Metric(name, value, self._started + round(1000 * point.seconds), point.step)
            for point in points
            for name, value in point.values.items()
        ]
        for start in range(0, len(metrics), METRICS):
            self._client.log_batch(self.id, metrics=metrics[start : start + METRICS])

    def finish(self, summary: dict[str, float]) -> None:
        if summary:
            self.log([Point(self._last.step, self._last.seconds, summary)])
        self._client.set_terminated(self.id)
