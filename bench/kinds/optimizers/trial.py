"""Run one trial of an optimizers study: a training that a pruner may end early in the tune phase."""

from collections.abc import Callable

from bench.engines.trial import Study, TrialKind
from bench.kinds.optimizers.pruning import TrialPruner
from bench.kinds.optimizers.search import rounds_of
from bench.ledger.store import Ledger
from bench.trials import training
from bench.trials.checkpoint import TrialCheckpoint
from bench.trials.outcome import Outcome
from bench.trials.phases import CONFIRM, TUNE
from bench.trials.score_scale import SELECT_SUFFIX
from bench.trials.spec import TrialSpec
from bench.workloads import workload
from bench.workloads.protocol import SELECT, Trained


def run_trial(
    spec: TrialSpec,
    *,
    concurrent_trials: int = 1,
    on_step: Callable[[int, float], None] | None = None,
    should_prune: Callable[[float], bool] | None = None,
    checkpoint: TrialCheckpoint | None = None,
) -> Outcome:
    """Run one trial.

    A confirm trial is also scored on the select split (`ap_select` for AP, and `val_loss_select` with its reference
    where its workload has losses): this chooses the finalist whose settings are shown.
    """

    def on_trained(trained: Trained) -> dict[str, float]:
        if spec.phase != CONFIRM:
            return {}
        losses = {} if trained.losses_on is None else trained.losses_on(SELECT)
        return {f"{workload(spec.workload).score.name}{SELECT_SUFFIX}": trained.score_on(SELECT)} | {
            f"{name}{SELECT_SUFFIX}": loss for name, loss in losses.items()
        }

    return training.run_trial(
        spec,
        concurrent_trials=concurrent_trials,
        on_step=on_step,
        should_prune=should_prune,
        checkpoint=checkpoint,
        on_trained=on_trained,
    )


def pruner(ledger: Ledger, key: int, spec: TrialSpec, study: Study) -> TrialPruner | None:
    """Return the pruner of a tune trial; None in the confirm phase and in studies without pruning."""
    if spec.phase != TUNE or study["pruner"] == "none":
        return None
    round_trials = rounds_of(study["trials"])[spec.round or 0]
    sign = workload(spec.workload).score.sign
    evaluations = study["tune_evaluations"]
    return TrialPruner(ledger, key, spec, study["pruner"], evaluations=evaluations, trials=round_trials, sign=sign)


TRIALS = TrialKind(run_trial, pruner=pruner)
