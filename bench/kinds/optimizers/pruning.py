"""Prune hopeless tune trials with Optuna's pruners, comparing only the trials of one round of one tuning.

Pruning across optimizers would favour those that start fast; the protocol forbids it. So each round's trials form an
Optuna study of their own, built in memory from the ledger.

Which trials are pruned depends on the scores so far: with several workers therefore also on which worker is faster.
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
"""Maximum number of complete trials that the median pruner waits for before it ends one: Optuna's default."""
STARTUP_SHARE = 4
"""The median pruner waits until one in this many trials of the round is complete, as a small round has few."""
MIN_EVALUATIONS = 1
"""Hyperband's smallest resource: a trial may end at its first evaluation."""


def make_pruner(name: PrunerName, evaluations: int, trials: int) -> BasePruner:
    """Return Optuna's pruner for a round of ``trials``; the resource it hands out is a trial's ``evaluations``.

    ``median`` ends a trial whose best score so far is below the median of the complete trials at that evaluation, once
    a quarter of the trials (at least 1, at most 5) are complete.
    ``hyperband`` keeps the best third at each rung of its brackets (Li et al., JMLR 2018; reduction factor 3, Optuna's
    default).
    """
    if name == "median":
        return MedianPruner(n_startup_trials=min(max(1, trials // STARTUP_SHARE), STARTUP_TRIALS))
    return HyperbandPruner(min_resource=MIN_EVALUATIONS, max_resource=evaluations)


class TrialPruner:
    """Decides after each evaluation of one trial whether to end it.

    A trial that runs again after a kill starts over: its earlier scores do not count.
    """

    def __init__(
        self,
        ledger: Ledger,
        key: int,
        spec: TrialSpec,
        name: PrunerName,
        *,
        evaluations: int,
        trials: int,
        sign: int = 1,
    ) -> None:
        """Start with the trial ``spec``.

        Args:
            ledger: The study's ledger.
            key: The trial's number in the ledger.
            spec: The trial.
            name: The pruner.
            evaluations: Evaluations of a complete trial.
            trials: Trials of its round.
            sign: 1 if a higher score is better, -1 if a lower one is.
        """
        self.ledger, self.key, self.spec, self.sign = ledger, key, spec, sign
        self.pruner = make_pruner(name, evaluations, trials)
        self._scores: dict[int, float] = {}
        self._rungs: dict[str, Any] = {}
        ledger.begin_evaluations(key)

    def __call__(self, score: float) -> bool:
        """Record the next score, negative if it is minimized, and return whether to end the trial."""
        number, score = len(self._scores) + 1, self.sign * score
        self._scores[number] = score
        try:
            trials = self.ledger.trials_of_same_round(self.spec)
            hopeless, self._rungs = prune_decision(
                self.pruner, self.spec.optimizer, trials, self.key, self._scores, self._rungs
            )
            self.ledger.note_evaluation(self.key, number, score, self._rungs)
        except (SQLAlchemyError, StorageInternalError):
            return False  # as of an SQLite file that stays locked: this must not lose the trial
        return hopeless


def prune_decision(
    pruner: BasePruner,
    optimizer: str,
    trials: Sequence[FrozenTrial],
    key: int,
    scores: dict[int, float],
    rungs: dict[str, Any],
) -> tuple[bool, dict[str, Any]]:
    """Ask the pruner about the trial ``key``; return whether to end it, and the state that the pruner stores for it.

    Args:
        pruner: From `make_pruner`.
        optimizer: Name of the temporary Optuna study.
        trials: The trials of the same round in the plan's order, this one included: a trial's position is its number,
            from which Hyperband derives its bracket.
        key: The trial's number in the ledger.
        scores: Its scores by evaluation, from 1.
        rungs: The state that the pruner has stored for the trial so far.
    """
    study = optuna.create_study(storage=InMemoryStorage(), study_name=optimizer, direction="maximize", pruner=pruner)
    position = [trial._trial_id for trial in trials].index(key)
    for trial in trials:
        is_asked = trial._trial_id == key
        study.add_trial(
            create_trial(state=TrialState.RUNNING, intermediate_values=scores, system_attrs=rungs)
            if is_asked
            else _pruner_view(trial)
        )
    hopeless = bool(pruner.prune(study, study.get_trials(deepcopy=False)[position]))
    return hopeless, dict(study.get_trials()[position].system_attrs)


def _pruner_view(trial: FrozenTrial) -> FrozenTrial:
    """Return a trial as the pruner sees it: its state, scores and rungs."""
    complete = trial.state == TrialState.COMPLETE
    return create_trial(
        state=trial.state,
        value=trial.value if complete else None,
        intermediate_values=trial.intermediate_values,
        system_attrs=trial.user_attrs.get(RUNGS) or {},
    )
