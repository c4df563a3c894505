"""A trial of an optimizers study: a training, which a pruner may end early in the tune phase."""

from bench.engines.trial import Study, TrialKind
from bench.kinds.optimizers.pruning import TrialPruner
from bench.ledger.store import Ledger
from bench.trials.phases import TUNE
from bench.trials.spec import TrialSpec
from bench.trials.training import run_trial


def pruner(ledger: Ledger, key: int, spec: TrialSpec, study: Study) -> TrialPruner | None:
    """Who may end a trial early: nobody unless the study wants it, and nobody but in the tune phase."""
    if spec.phase != TUNE or study["pruner"] == "none":
        return None
    return TrialPruner(
        ledger,
        key,
        spec.optimizer,
        study["pruner"],
        evaluations=study["tune_evaluations"],
        trials=study["trials"],
    )


TRIALS = TrialKind(run_trial, pruner=pruner)
