"""Whether a tune trial is hopeless: Optuna's own pruners decide, among the trials of its tuning's round alone.

A choice between optimizers on the way would spend more on those that start fast; the protocol forbids it. So each
round's trials are a study of their own, put together in memory from what the ledger holds.

Which trials are pruned depends on what the others have scored so far: with several workers, on who is faster.
"""

from collections.abc import Sequence
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import SQLAlchemyError

from bench.kinds.optimizers.spec import PrunerName
from bench.ledger.format import RUNGS
from bench.ledger.store import Ledger
from bench.trials.spec import TrialSpec

STARTUP_TRIALS = 5
"""Complete trials of an optimizer before the median prunes, at most: Optuna's default."""
STARTUP_SHARE = 4
"""One trial in so many comes before the median prunes: five are more than a small study has."""
MIN_EVALUATIONS = 1
"""Hyperband's smallest resource: a trial may end at its first evaluation."""


def make_pruner(name: PrunerName, evaluations: int, trials: int) -> BasePruner:
    """Optuna's pruner for a round's ``trials``; the resource that it hands out is a trial's ``evaluations``.

    ``median`` ends a trial whose best score so far is below the median of the complete trials at that evaluation, once
    a quarter of the trials (at least 1, at most 5) are complete.
    ``hyperband`` keeps the best third at each rung of its brackets (Li et al., JMLR 2018; reduction factor 3, Optuna's
    default).
    """
    if name == "median":
        return MedianPruner(n_startup_trials=min(max(1, trials // STARTUP_SHARE), STARTUP_TRIALS))
    return HyperbandPruner(min_resource=MIN_EVALUATIONS, max_resource=evaluations)


class TrialPruner:
    """Follows one trial from its first evaluation on.

    A trial that is run again after a kill begins anew: what it scored before counts for nothing.
    """

    def __init__(
        self, ledger: Ledger, key: int, spec: TrialSpec, name: PrunerName, *, evaluations: int, trials: int
    ) -> None:
        """``key``: of the trial in the ledger; ``evaluations``: of a whole trial; ``trials``: of its round."""
        self.ledger, self.key, self.spec = ledger, key, spec
        self.pruner = make_pruner(name, evaluations, trials)
        self._scores: dict[int, float] = {}
        self._rungs: dict[str, Any] = {}
        ledger.storage.set_trial_user_attr(key, RUNGS, {})

    def __call__(self, score: float) -> bool:
        """Whether the trial is hopeless now that it has this score (higher is better)."""
        number = len(self._scores) + 1
        self._scores[number] = score
        try:
            trials = self.ledger.trials_beside(self.spec)
            hopeless, self._rungs = ask(self.pruner, self.spec.optimizer, trials, self.key, self._scores, self._rungs)
            self.ledger.note_evaluation(self.key, number, score, self._rungs)
        except (SQLAlchemyError, StorageInternalError):
            return False  # a database that is away for a moment is no reason to lose a trial
        return hopeless


def ask(
    pruner: BasePruner,
    optimizer: str,
    trials: Sequence[FrozenTrial],
    key: int,
    scores: dict[int, float],
    rungs: dict[str, Any],
) -> tuple[bool, dict[str, Any]]:
    """Whether the trial ``key`` is hopeless by its ``scores``, and the notes that the pruner keeps of it.

    ``trials``: of the same round, in the plan's order, this one included; ``rungs``: the notes so far. A trial's
    place in the plan is its number, by which Hyperband gives it a bracket.
    """
    study = optuna.create_study(storage=InMemoryStorage(), study_name=optimizer, direction="maximize", pruner=pruner)
    place = [trial._trial_id for trial in trials].index(key)
    for trial in trials:
        own = trial._trial_id == key
        study.add_trial(
            create_trial(state=TrialState.RUNNING, intermediate_values=scores, system_attrs=rungs)
            if own
            else _as_known(trial)
        )
    hopeless = bool(pruner.prune(study, study.get_trials(deepcopy=False)[place]))
    return hopeless, dict(study.get_trials()[place].system_attrs)


def _as_known(trial: FrozenTrial) -> FrozenTrial:
    """A trial as a pruner sees it: its state, scores and rungs."""
    complete = trial.state == TrialState.COMPLETE
    return create_trial(
        state=trial.state,
        value=trial.value if complete else None,
        intermediate_values=trial.intermediate_values,
        system_attrs=trial.user_attrs.get(RUNGS) or {},
    )
