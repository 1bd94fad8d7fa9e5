"""Optuna's part: TPE (Bergstra et al. 2011), pruning, and the importance of keys (fANOVA, Hutter et al. 2014).

The study lives in memory, and is made of the recorded trials. Each proposal has a sampler of its own, seeded by its
number, so that it depends on the trials before it only: a sweep that was killed proposes what it would have.
"""

import warnings
from typing import Any

from ..packages import require_packages
from .settings import Plan, Range
from .space import Setting
from .state import State, Trial


class Study:
    """A study of Optuna with the trials of a sweep."""

    def __init__(self, plan: Plan, state: State) -> None:
        require_packages(f"{plan.file}: search {plan.sweep.search} with prune {plan.sweep.prune}", "optuna")
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        self._optuna, self._sweep = optuna, plan.sweep
        self._seed = plan.base.train.seed
        pruners: dict[str, Any] = {
            "median": optuna.pruners.MedianPruner,
            "hyperband": optuna.pruners.HyperbandPruner,
        }
        self._study = optuna.create_study(
            study_name="sweep",  # by which Hyperband assigns trials to its brackets
            direction="minimize" if state.lower_is_better else "maximize",
            pruner=pruners.get(plan.sweep.prune, optuna.pruners.NopPruner)(),
        )
        self._trials: dict[int, Any] = {}
        for trial in state.trials:
            self.begin(trial.number, trial.values)
            if trial.ending != "waiting":
                for number, (_, value) in enumerate(trial.runs[0].curve if plan.sweep.prune != "none" else ()):
                    self.should_prune(trial.number, number, value)
                self.end(trial)

    def propose(self, number: int) -> Setting:
        """TPE's setting for a new trial, which is begun."""
        several = self._sweep.parallel > 1  # a bad value is assumed of trials that are running
        self._study.sampler = self._optuna.samplers.TPESampler(seed=self._seed + number, constant_liar=several)
        self._trials[number] = self._study.ask(self._distributions())
        chosen = self._trials[number].params
        return {
            key: chosen[key] if isinstance(values, Range) else values[chosen[key]]
            for key, values in self._sweep.vary.items()
        }

    def begin(self, number: int, setting: Setting) -> None:
        """Tell the study of a trial whose setting is known."""
        self._study.enqueue_trial({key: self._inner(key, value) for key, value in setting.items()})
        self._trials[number] = self._study.ask(self._distributions())

    def should_prune(self, number: int, validation: int, value: float) -> bool:
        """Report the metric of a trial at a validation, by its number from 0; whether the trial should be stopped."""
        self._trials[number].report(value, validation)
        return bool(self._trials[number].should_prune())

    def end(self, trial: Trial) -> None:
        """Tell the result of a trial."""
        endings = self._optuna.trial.TrialState
        state = {"finished": endings.COMPLETE, "pruned": endings.PRUNED, "failed": endings.FAIL}[trial.ending]
        self._study.tell(self._trials[trial.number], trial.mean, state=state)

    def importances(self) -> dict[str, float]:
        """The share of each varied key in the variance of the metric, the largest first; empty if it is not known."""
        if len(self._study.get_trials(states=[self._optuna.trial.TrialState.COMPLETE])) < 2:
            return {}
        evaluator = self._optuna.importance.FanovaImportanceEvaluator(seed=0)
        try:
            found = self._optuna.importance.get_param_importances(
                self._study, evaluator=evaluator, params=self._sweep.varied
            )
        except (RuntimeError, ValueError):  # all trials are equal
            return {}
        return {key: float(share) for key, share in found.items()}

    def _distributions(self) -> dict[str, Any]:
        return {key: self._distribution(values) for key, values in self._sweep.vary.items()}

    def _distribution(self, values: tuple[Any, ...] | Range) -> Any:
        of = self._optuna.distributions
        if not isinstance(values, Range):
            return of.CategoricalDistribution(range(len(values)))  # a value may be a list, which Optuna does not take
        kind, (low, high) = values.given
        return of.IntDistribution(low, high) if kind == "int" else of.FloatDistribution(low, high, log=kind == "log")

    def _inner(self, key: str, value: Any) -> Any:
        """A value as Optuna knows it: of a list its number."""
        values = self._sweep.vary[key]
        return value if isinstance(values, Range) else values.index(value)
