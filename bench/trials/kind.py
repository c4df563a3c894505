"""What the worker needs of a kind of study: one module of this package for each, by its name."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bench.ledger import Claim, Ledger, Told
from bench.record import Record, Status
from bench.spec import TrialSpec
from bench.trials.outcome import Outcome

Study = Mapping[str, Any]
"""A study's identity: its settings as plain data."""


class RunTrial(Protocol):
    """Runs one trial: see `bench.trials.optimizers.run_trial`, which most kinds build on."""

    def __call__(
        self,
        spec: TrialSpec,
        *,
        concurrent_trials: int = 1,
        on_step: Callable[[int, float], None] | None = None,
        should_prune: Callable[[float], bool] | None = None,
    ) -> Outcome:
        """Its record, curve and samples."""


def told_ap(record: Record, _study: Study) -> Told | None:
    """The AP of a complete trial; None: it has none."""
    ap = record.metrics.get("ap")
    return Told((ap,)) if record.status == Status.COMPLETE and ap is not None else None


@dataclass(frozen=True)
class TrialKind:
    """How trials of one kind of study are run."""

    run_trial: RunTrial
    told: Callable[[Record, Study], Told | None] = told_ap
    """What Optuna is told of a record."""
    choose: Callable[[Ledger, Claim, Study, Path, Record | None], TrialSpec] | None = None
    """Of a kind whose plan leaves open what is tried: chooses it, or restores what a record says was chosen."""


def trial_kind(kind: str) -> TrialKind:
    """The ``TRIALS`` of the module of that name."""
    found: TrialKind = importlib.import_module(f"bench.trials.{kind}").TRIALS
    return found
