"""Plan a joint study: slots of the search (chosen when a worker takes them), then the picks on fresh seeds. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.kinds.joint.objectives import AXES
from bench.kinds.joint.space import Choices, fixed_choices, hyperparameters, quasi_random_choices
from bench.kinds.joint.spec import JointSpec
from bench.optimizers.space import Value
from bench.trials.identity import SETTINGS_BEFORE_JOINT, digest
from bench.trials.own_schedules import other_schedules, schedule_of
from bench.trials.phases import CONFIRM, SEARCH, Phase
from bench.trials.spec import FIRST_CONFIRM_SEED, Slot, TrialSpec
from bench.workloads.of_study import own_settings, workload_of
from bench.workloads.protocol import REPORT, SELECT, Assignment, Budget
from posemodel.config import LoaderSettings

WINDOWS = 8
"""Minimum number of windows in which a trial's speed is measured; the first is not steady training."""
STEPS_PER_WINDOW = 10


@dataclass(frozen=True)
class PickedConfiguration:
    """A configuration that the search picked, to be trained again."""

    optimizer: str
    hyperparameters: Mapping[str, Value]
    loader: Mapping[str, Any]
    """num_workers, pin_memory, batch_size."""


def plan_search(spec: JointSpec) -> list[Slot]:
    """Return the slots of the search in the order in which they are taken, fixed configurations first.

    SettingsError names the field of a fixed configuration that does not fit the space.
    """
    study = digest(spec.before_extension.identity())
    choices = [fixed_choices(spec, index_of_fixed) for index_of_fixed in range(len(spec.fixed))]
    remaining = spec.trials - len(choices)
    choices += (
        quasi_random_choices(spec, remaining) if spec.sampler == "quasi-random" else [{} for _ in range(remaining)]
    )
    return [Slot(index=index, study=study, fixed=fixed) for index, fixed in enumerate(choices)]


def searched_trial(spec: JointSpec, slot: Slot, choices: Choices) -> TrialSpec:
    """Return the trial of a slot from the choices made for it.

    The seed is the slot's index: choices that the sampler repeats are tried with other weights and another order of the
    data.
    """
    configuration = PickedConfiguration(
        str(choices["optimizer"]), hyperparameters(spec, choices), {axis: choices[axis] for axis in AXES}
    )
    return _trial(spec, SEARCH, slot.index, configuration, slot.index).model_copy(update={"slot": slot.id})


def plan_confirm(spec: JointSpec, picks: Sequence[PickedConfiguration]) -> list[TrialSpec]:
    """Return the confirm trials: each pick on the same fresh seeds, seed by seed."""
    trials: list[TrialSpec] = []
    for number in range(spec.seeds):
        for configuration in picks:
            trials.append(_trial(spec, CONFIRM, spec.trials + len(trials), configuration, FIRST_CONFIRM_SEED + number))
    return trials


def _trial(spec: JointSpec, phase: Phase, index: int, configuration: PickedConfiguration, seed: int) -> TrialSpec:
    loader = LoaderSettings(**configuration.loader, persistent_workers=configuration.loader["num_workers"] > 0)
    steps, own_workload = spec.steps(loader.batch_size), workload_of(spec)
    budget = Budget(seconds=spec.seconds)
    if steps is not None:
        budget = Budget(steps=steps, window=max(1, min(STEPS_PER_WINDOW, steps // WINDOWS)))
    assignment = Assignment(
        data=spec.data,
        split=SELECT if phase == SEARCH else REPORT,
        budget=budget,
        schedule=schedule_of(spec, configuration.optimizer),
        precision=spec.precision,
        loader=loader,
        seed=seed,
        device=spec.device,
        time_limit=spec.trial_time_limit,
    )
    return TrialSpec(
        phase=phase,
        index=index,
        optimizer=configuration.optimizer,
        hyperparameters=dict(configuration.hyperparameters),
        weight_decay=spec.weight_decay,
        data_digest=spec.data_digest,
        weights_digest=spec.weights_digest,
        id_counts=SETTINGS_BEFORE_JOINT,
        workload=own_workload.name,
        own_schedule=other_schedules(spec).get(configuration.optimizer),
        train=own_workload.plan(own_settings(spec), assignment),
    )
