"""What the worker needs of a kind of study: how its trials are run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bench.ledger.store import Claim, Ledger, OptunaValues
from bench.trials.outcome import Outcome
from bench.trials.record import Record
from bench.trials.spec import TrialSpec
from bench.trials.status import Status

Study = Mapping[str, Any]
"""A study's identity: its settings as plain data."""


class RunTrial(Protocol):
    """Runs one trial: see `bench.trials.training.run_trial`, which most kinds build on."""

    def __call__(
        self,
        spec: TrialSpec,
        *,
        concurrent_trials: int = 1,
        on_step: Callable[[int, float], None] | None = None,
        should_prune: Callable[[float], bool] | None = None,
    ) -> Outcome:
        """Its record, curve and samples."""


def ap_value(record: Record, _study: Study) -> OptunaValues | None:
    """The AP of a complete trial; None: it has none."""
    ap = record.metrics.get("ap")
    return OptunaValues((ap,)) if record.status == Status.COMPLETE and ap is not None else None


def never_pruned(_ledger: Ledger, _key: int, _spec: TrialSpec, _study: Study) -> None:
    """Nobody may end a trial early."""


@dataclass(frozen=True)
class TrialKind:
    """How trials of one kind of study are run; functions of modules, since workers are other processes."""

    run_trial: RunTrial
    optuna_values: Callable[[Record, Study], OptunaValues | None] = ap_value
    """What Optuna is told of a record."""
    choose: Callable[[Ledger, Claim, Study, Path, Record | None], TrialSpec] | None = None
    """Of a kind whose plan leaves open what is tried: chooses it, or restores what a record says was chosen.

    Here the study's settings have the places of its files, too.
    """
    pruner: Callable[[Ledger, int, TrialSpec, Study], Callable[[float], bool] | None] = never_pruned
    """Who is asked with each score of the trial of a key whether it may end early; None: nobody."""
