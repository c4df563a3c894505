"""Interface between a worker and a kind of study: how the kind's trials are run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bench.ledger.store import Claim, Ledger, OptunaValues
from bench.trials.checkpoint import TrialCheckpoint
from bench.trials.outcome import Outcome
from bench.trials.record import Record
from bench.trials.spec import TrialSpec
from bench.trials.status import Status
from bench.workloads import workload
from bench.workloads.of_study import name_of
from bench.workloads.score import Score

Study = Mapping[str, Any]
"""A study's identity: its settings as plain data."""


class RunTrial(Protocol):
    """Function that runs one trial, such as `bench.trials.training.run_trial`, on which most kinds build."""

    def __call__(
        self,
        spec: TrialSpec,
        *,
        concurrent_trials: int = 1,
        on_step: Callable[[int, float], None] | None = None,
        should_prune: Callable[[float], bool] | None = None,
        checkpoint: TrialCheckpoint | None = None,
    ) -> Outcome:
        """Run a trial and return its record, curve and samples.

        ``checkpoint``: state from which it goes on, and in which it is kept if it is interrupted.
        """


def score_of(study: Study) -> Score:
    """Return the score of a study's workload."""
    return workload(name_of(study.get("workload") or {})).score


def score_value(record: Record, study: Study) -> OptunaValues | None:
    """Return the score of a complete trial for Optuna, which maximizes: its AP, or that of its workload (negative if it
    is minimized). None if the trial is not complete or has no score."""
    score = score_of(study)
    value = record.metrics.get(score.name)
    return OptunaValues((score.sign * value,)) if record.status == Status.COMPLETE and value is not None else None


def never_pruned(_ledger: Ledger, _key: int, _spec: TrialSpec, _study: Study) -> None:
    """Return no pruner: trials are never ended early."""


@dataclass(frozen=True)
class TrialKind:
    """Functions that run the trials of one kind of study; picklable (module level), since workers are processes."""

    run_trial: RunTrial
    optuna_values: Callable[[Record, Study], OptunaValues | None] = score_value
    """Returns the values that Optuna gets for a record."""
    choose: Callable[[Ledger, Claim, Study, Path, Record | None], TrialSpec] | None = None
    """For kinds with slots (search trials whose configuration is chosen only when a worker takes them): chooses the
    trial of a claimed slot, or restores the choice from its record.

    The function's study settings include the paths of the study's files. The path argument is the data folder.
    """
    pruner: Callable[[Ledger, int, TrialSpec, Study], Callable[[float], bool] | None] = never_pruned
    """Returns a function that is called with each score of a trial and returns True to end it early; None: no pruning.

    The integer is the trial's key in the ledger.
    """
