"""JointSpec -> what is planned: the places of the search, and the picks' trials with fresh seeds. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.kinds.joint.objectives import AXES
from bench.kinds.joint.space import Choices, fixed_choices, hyperparameters, quasi_random_choices
from bench.kinds.joint.spec import JointSpec
from bench.optimizers.space import Value
from bench.trials.identity import BEFORE_JOINT, digest
from bench.trials.phases import CONFIRM, SEARCH, Phase
from bench.trials.spec import FIRST_CONFIRM_SEED, Slot, TrialSpec
from bench.workloads.of_study import own_settings, workload_of
from bench.workloads.protocol import REPORT, SELECT, Assignment, Budget
from posemodel.config import LoaderSettings

WINDOWS = 8
"""Windows in which a trial's speed is measured, at least: the first is none of steady training."""
STEPS_PER_WINDOW = 10


@dataclass(frozen=True)
class Picked:
    """A configuration that the search found, to be trained again."""

    optimizer: str
    hyperparameters: Mapping[str, Value]
    loader: Mapping[str, Any]
    """num_workers, pin_memory, batch_size."""


def plan_search(spec: JointSpec) -> list[Slot]:
    """The places of the search, in the order in which they are taken; the fixed configurations come first.

    SettingsError names the field of a fixed configuration that does not fit the space.
    """
    study = digest(spec.as_first.identity())
    made = [fixed_choices(spec, place) for place in range(len(spec.fixed))]
    left = spec.trials - len(made)
    made += quasi_random_choices(spec, left) if spec.sampler == "quasi-random" else [{} for _ in range(left)]
    return [Slot(index=index, study=study, fixed=fixed) for index, fixed in enumerate(made)]


def searched_trial(spec: JointSpec, slot: Slot, choices: Choices) -> TrialSpec:
    """The trial of a place, once it is chosen what is tried there.

    Its seed is its place's: what the sampler likes is tried with other weights and another order of the data.
    """
    picked = Picked(str(choices["optimizer"]), hyperparameters(spec, choices), {axis: choices[axis] for axis in AXES})
    return _trial(spec, SEARCH, slot.index, picked, slot.index).model_copy(update={"slot": slot.id})


def plan_confirm(spec: JointSpec, picks: Sequence[Picked]) -> list[TrialSpec]:
    """The picks' trials: each on the same fresh seeds, seed by seed."""
    trials: list[TrialSpec] = []
    for number in range(spec.seeds):
        for picked in picks:
            trials.append(_trial(spec, CONFIRM, spec.trials + len(trials), picked, FIRST_CONFIRM_SEED + number))
    return trials


def _trial(spec: JointSpec, phase: Phase, index: int, picked: Picked, seed: int) -> TrialSpec:
    loader = LoaderSettings(**picked.loader, persistent_workers=picked.loader["num_workers"] > 0)
    steps, its = spec.steps(loader.batch_size), workload_of(spec)
    budget = Budget(seconds=spec.seconds)
    if steps is not None:
        budget = Budget(steps=steps, window=max(1, min(STEPS_PER_WINDOW, steps // WINDOWS)))
    assignment = Assignment(
        data=spec.data,
        split=SELECT if phase == SEARCH else REPORT,
        budget=budget,
        schedule=spec.schedule,
        precision=spec.precision,
        loader=loader,
        seed=seed,
        device=spec.device,
        time_limit=spec.trial_time_limit,
    )
    return TrialSpec(
        phase=phase,
        index=index,
        optimizer=picked.optimizer,
        hyperparameters=dict(picked.hyperparameters),
        weight_decay=spec.weight_decay,
        data_digest=spec.data_digest,
        weights_digest=spec.weights_digest,
        id_counts=BEFORE_JOINT,
        workload=its.name,
        train=its.plan(own_settings(spec), assignment),
    )
