"""Trials of a joint study: configured when a worker takes their slot in the ledger, skipped if memory is too small."""

import functools
import json
from collections.abc import Callable
from pathlib import Path

from bench.engines.trial import Study, TrialKind
from bench.kinds.joint.objectives import AXES
from bench.kinds.joint.sampler import choose
from bench.kinds.joint.space import choices_made
from bench.kinds.joint.spec import JointSpec
from bench.ledger.store import Claim, Ledger, OptunaValues
from bench.measure.limits import limits
from bench.measure.loader.configuration import configuration
from bench.measure.loader.outcome import MeasurementStatus
from bench.measure.loader.prediction import RESERVE, predict, shortfall
from bench.measure.loader.probe import Probe, probe
from bench.measure.loader.workload import Workload
from bench.optimizers.space import as_value
from bench.storage.printing import log
from bench.trials import training
from bench.trials.checkpoint import TrialCheckpoint
from bench.trials.outcome import Outcome
from bench.trials.phases import CONFIRM, SEARCH
from bench.trials.record import Record, make_record
from bench.trials.score_scale import SELECT_SUFFIX
from bench.trials.spec import Slot, TrialSpec
from bench.trials.status import Status
from bench.workloads import workload
from bench.workloads.protocol import SELECT, Trained

MEMORY, SHARED_MEMORY = "memory", "shared_memory"
"""Names of constraints: predicted need divided by the memory that a trial may take, minus 1. A trial above 0 does not
fit."""
OF_THE_SEARCH = "of_the_search"
"""Name of the constraint that confirm trials violate, so that Optuna's samplers leave them out."""
NEED_PREFIX = "need_share_"
"""Prefix of the record metrics that hold the needs behind the constraints."""
UNKNOWN_EXCESS = 1.0
"""Constraint value if the missing amount of memory is unknown, as for a trial that ran out of memory."""


def run_trial(
    spec: TrialSpec,
    *,
    concurrent_trials: int = 1,
    on_step: Callable[[int, float], None] | None = None,
    should_prune: Callable[[float], bool] | None = None,
    checkpoint: TrialCheckpoint | None = None,
) -> Outcome:
    """Run one trial; a search trial that would need more memory or /dev/shm than there is becomes `skipped`.

    A confirm trial (a pick on a fresh seed) is also scored on the select split (`ap_select` of the score `ap`), by
    which the search chose.
    """
    needs, why = predicted_needs(spec)
    if why and spec.phase == SEARCH:  # a pick has already run: a passing shortage must not stop it
        record = make_record(
            spec, Status.SKIPPED, steps_done=0, metrics=needs, error=why, concurrent_trials=concurrent_trials
        )
        return Outcome(record, [])

    on_select = f"{workload(spec.workload).score.name}{SELECT_SUFFIX}"

    def on_trained(trained: Trained) -> dict[str, float]:
        return needs | ({on_select: trained.score_on(SELECT)} if spec.phase == CONFIRM else {})

    return training.run_trial(
        spec,
        concurrent_trials=concurrent_trials,
        on_step=on_step,
        should_prune=should_prune,
        checkpoint=checkpoint,
        on_trained=on_trained,
    )


def predicted_needs(spec: TrialSpec) -> tuple[dict[str, float], str]:
    """Predict a trial's memory needs as shares of what it may take, and why it cannot fit.

    The reason is "" if the trial fits; both are empty if nothing can be predicted.
    """
    loading = workload(spec.workload).loading(spec.train)
    probed = None if loading is None else _probe_once(loading, with_workers=spec.run.loader.num_workers > 0)
    if probed is None:
        return {}, ""  # not predictable: the trial itself will show
    need, free = predict(probed, configuration(**spec.run.loader.model_dump())), limits()
    shares = {f"{NEED_PREFIX}{MEMORY}": need.memory_bytes / (RESERVE * max(free.memory_free_bytes, 1))}
    if free.shm_free_bytes is not None:
        shares[f"{NEED_PREFIX}{SHARED_MEMORY}"] = need.shm_bytes / (RESERVE * max(free.shm_free_bytes, 1))
    return shares, shortfall(need, free)


@functools.cache
def _probe_once(loading: Workload, *, with_workers: bool) -> Probe | None:
    """Probe a sample, a step and a worker in separate processes; cached for each process that runs trials."""
    answer = probe(loading, with_workers=with_workers)
    probed: Probe | None = answer.value if answer.status == MeasurementStatus.COMPLETE else None
    if probed is None:
        log(f"posebench: a trial's need of memory cannot be predicted: {answer.error}")
    return probed


def optuna_values(record: Record, study: Study) -> OptunaValues:
    """Return a record's objective values and constraints for Optuna.

    The score counts by how much it is better than chance; a trial that is not counts as the worst, however fast. A
    confirm trial is marked as no part of the search, so that it does not influence the sampler of an extended study.
    """
    spec = JointSpec.from_identity(study, Path())
    measure = spec.measure
    score = record.metrics.get(measure.column)
    gain = measure.above_chance(score) if record.status == Status.COMPLETE and score is not None else 0.0
    reached = {**record.metrics, measure.column: gain} if gain > 0 else {}
    constraints = {
        name.removeprefix(NEED_PREFIX): value - 1
        for name, value in record.metrics.items()
        if name.startswith(NEED_PREFIX)
    }
    if record.status == Status.OUT_OF_MEMORY:
        constraints[SHARED_MEMORY if "shared memory" in record.error else MEMORY] = UNKNOWN_EXCESS
    if record.phase == CONFIRM:
        constraints[OF_THE_SEARCH] = UNKNOWN_EXCESS
    return OptunaValues(tuple(reached.get(name, 0.0) for name in spec.objectives), constraints)


def choose_trial(ledger: Ledger, claim: Claim, study: Study, data: Path, record: Record | None) -> TrialSpec:
    """Return the trial of a claimed slot: chosen by the sampler, or restored from its record if the ledger was lost."""
    assert isinstance(claim.spec, Slot)
    spec = JointSpec.from_identity(study, data)
    if record is not None:
        values = {name: as_value(value) for name, value in json.loads(record.hyperparameters).items()}
        loader = {axis: getattr(record, axis) for axis in AXES}
        ledger.fix_parameters(claim.key, choices_made(spec, record.optimizer, values, loader))
    return choose(ledger, claim.key, claim.spec, spec)


TRIALS = TrialKind(run_trial, optuna_values, choose_trial)
"""How workers run the trials of a joint study."""
