"""A trial of a joint study: what is tried is chosen when a worker takes it, and not tried where it cannot fit."""

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
from bench.trials.outcome import Outcome
from bench.trials.phases import CONFIRM, SEARCH
from bench.trials.record import Record, make_record
from bench.trials.spec import Slot, TrialSpec
from bench.trials.status import Status
from bench.workloads import workload
from bench.workloads.protocol import SELECT, Trained

MEMORY, SHARED_MEMORY = "memory", "shared_memory"
"""Constraints: what is needed of what a trial may take, less 1. Above 0 it does not fit."""
OF_THE_SEARCH = "of_the_search"
"""Constraint that a pick's trial with a fresh seed does not satisfy: Optuna's samplers then leave it out."""
NEED = "need_share_"
"""Metrics of a record that begin so are the needs behind the constraints."""
BEYOND = 1.0
"""How far a constraint is missed where nobody knows: of memory by a trial that ran out of it, say."""


def run_trial(
    spec: TrialSpec,
    *,
    concurrent_trials: int = 1,
    on_step: Callable[[int, float], None] | None = None,
    should_prune: Callable[[float], bool] | None = None,
) -> Outcome:
    """Run one trial; one that would need more memory or /dev/shm than there is, is recorded as `skipped`.

    A confirm trial is scored on the select split as well (`ap_select`): the search has chosen by it.
    """
    needs, why = needed(spec)
    if why and spec.phase == SEARCH:  # a pick has run before: a shortage that passes is nothing to judge it by
        record = make_record(
            spec, Status.SKIPPED, steps_done=0, metrics=needs, error=why, concurrent_trials=concurrent_trials
        )
        return Outcome(record, [])

    def on_trained(trained: Trained) -> dict[str, float]:
        return needs | ({"ap_select": trained.score_on(SELECT)} if spec.phase == CONFIRM else {})

    return training.run_trial(
        spec,
        concurrent_trials=concurrent_trials,
        on_step=on_step,
        should_prune=should_prune,
        on_trained=on_trained,
    )


def needed(spec: TrialSpec) -> tuple[dict[str, float], str]:
    """What a trial is predicted to need, as shares of what it may take; and why it cannot fit, "" where it can."""
    loading = workload(spec.workload).loading(spec.train)
    found = None if loading is None else _look(loading, with_workers=spec.run.loader.num_workers > 0)
    if found is None:
        return {}, ""  # nobody knows: the trial itself will say
    need, free = predict(found, configuration(**spec.run.loader.model_dump())), limits()
    shares = {f"{NEED}{MEMORY}": need.memory_bytes / (RESERVE * max(free.memory_free_bytes, 1))}
    if free.shm_free_bytes is not None:
        shares[f"{NEED}{SHARED_MEMORY}"] = need.shm_bytes / (RESERVE * max(free.shm_free_bytes, 1))
    return shares, shortfall(need, free)


@functools.cache
def _look(loading: Workload, *, with_workers: bool) -> Probe | None:
    """One look at a sample, a step and a worker, in processes of their own; once in each process that runs trials."""
    answer = probe(loading, with_workers=with_workers)
    found: Probe | None = answer.value if answer.status == MeasurementStatus.COMPLETE else None
    if found is None:
        log(f"posebench: what a trial needs of memory cannot be predicted: {answer.error}")
    return found


def optuna_values(record: Record, study: Study) -> OptunaValues:
    """The objectives' values of a record, and its constraints; without an AP above 0 it is the worst, however fast.

    A pick's trial with a fresh seed is none of the search: a study that is extended must not be led by it.
    """
    spec = JointSpec.of_identity(study, Path())
    reached = record.metrics if record.status == Status.COMPLETE and record.metrics.get("ap", 0.0) > 0 else {}
    constraints = {
        name.removeprefix(NEED): value - 1 for name, value in record.metrics.items() if name.startswith(NEED)
    }
    if record.status == Status.OUT_OF_MEMORY:
        constraints[SHARED_MEMORY if "shared memory" in record.error else MEMORY] = BEYOND
    if record.phase == CONFIRM:
        constraints[OF_THE_SEARCH] = BEYOND
    return OptunaValues(tuple(reached.get(name, 0.0) for name in spec.objectives), constraints)


def chosen(ledger: Ledger, claim: Claim, study: Study, data: Path, record: Record | None) -> TrialSpec:
    """The trial of a place: asked of the sampler, or restored from its record where the ledger was lost."""
    assert isinstance(claim.spec, Slot)
    spec = JointSpec.of_identity(study, data)
    if record is not None:
        values = {name: as_value(value) for name, value in json.loads(record.hyperparameters).items()}
        loader = {axis: getattr(record, axis) for axis in AXES}
        ledger.fix(claim.key, choices_made(spec, record.optimizer, values, loader))
    return choose(ledger, claim.key, claim.spec, spec)


TRIALS = TrialKind(run_trial, optuna_values, chosen)
