"""StudySpec (and the settings that the tune phase chose) -> TrialSpecs: pure, the same on every machine."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from bench.kinds.optimizers.controls import LIMIT, control_name, controlled, limit_settings
from bench.kinds.optimizers.spec import StudySpec
from bench.optimizers.space import Value, from_document, point, searched
from bench.statistics.quasi_random import halton
from bench.trials.phases import CONFIRM, TUNE, Phase
from bench.trials.spec import FIRST_CONFIRM_SEED, TrialSpec
from bench.workloads.of_study import own_settings, workload_of
from bench.workloads.protocol import REPORT, SELECT, Assignment, Budget
from posemodel.config import LoaderSettings

FIRST_TUNE_SEED = 0


@dataclass(frozen=True)
class Chosen:
    """What the tune phase chose for one optimizer, and which of it sits at the border of its range."""

    hyperparameters: Mapping[str, Value]
    at_border: tuple[str, ...] = ()


def plan_tune(spec: StudySpec) -> list[TrialSpec]:
    """The tune trials: quasi-random points of each optimizer's space, in turn, so that a half-done phase is balanced.

    Scrambled Halton points (Owen, 2017): any number of them covers the space evenly, and the number of dimensions
    alone decides them, so that SGD with momentum and with Nesterov's are tried at the same points. A point that comes
    again (a space of a few values, or of fixed ones) is tried with the next seed: it is another trial.
    """
    points = {name: _points(spec, name) for name in spec.optimizers}
    seen: Counter[str] = Counter()
    trials: list[TrialSpec] = []
    for number in range(spec.trials):
        for name in spec.optimizers:
            hyperparameters = points[name][number]
            key = json.dumps([name, hyperparameters], sort_keys=True)
            seed = FIRST_TUNE_SEED + seen[key]
            seen[key] += 1
            trials.append(_trial(spec, TUNE, len(trials), name, Chosen(hyperparameters), seed))
    return trials


def _points(spec: StudySpec, optimizer: str) -> list[dict[str, Value]]:
    """The points of an optimizer's space that are tried, in order."""
    space = from_document(spec.spaces[optimizer], f"spaces.{optimizer}")
    dimensions = searched(space)
    if not dimensions:
        return [point(space, [])] * spec.trials
    return [point(space, unit) for unit in halton(dimensions, spec.trials, spec.plan_seed)]


def plan_confirm(spec: StudySpec, chosen: Mapping[str, Chosen]) -> list[TrialSpec]:
    """The confirm trials: each optimizer with its chosen settings, on the same fresh seeds, seed by seed.

    The controls of a seed come after its optimizers.
    """
    first = spec.trials * len(spec.optimizers)
    trials: list[TrialSpec] = []
    for number in range(spec.seeds):
        seed = FIRST_CONFIRM_SEED + number
        for name in spec.optimizers:
            trials.append(_trial(spec, CONFIRM, first + len(trials), name, chosen[name], seed))
        for name in controlled(spec.optimizers, spec.spaces, controls=spec.controls):
            limit = Chosen(limit_settings(name, chosen[name].hyperparameters))
            trial = _trial(spec, CONFIRM, first + len(trials), control_name(name), limit, seed)
            trials.append(trial.model_copy(update={"built_by": LIMIT, "control_of": name}))
    return trials


def total_trials(spec: StudySpec) -> int:
    """Trials of both phases, controls included."""
    controls = len(controlled(spec.optimizers, spec.spaces, controls=spec.controls))
    return (spec.trials + spec.seeds) * len(spec.optimizers) + spec.seeds * controls


def _budget(spec: StudySpec, phase: Phase) -> Budget:
    """How long a phase's trials train, and how often they are evaluated.

    A tune trial is scored once, at its end, unless a pruner wants to look at it before.
    """
    amount, _ = spec.length(phase)
    tune_evaluations = 1 if spec.pruner == "none" else spec.tune_evaluations
    evaluations = tune_evaluations if phase == TUNE else spec.evaluations
    if spec.steps is None:
        return Budget(seconds=amount, evaluations=evaluations)
    return Budget(steps=int(amount), evaluations=evaluations)


def _trial(spec: StudySpec, phase: Phase, index: int, optimizer: str, chosen: Chosen, seed: int) -> TrialSpec:
    its = workload_of(spec)
    assignment = Assignment(
        data=spec.data,
        split=SELECT if phase == TUNE else REPORT,
        budget=_budget(spec, phase),
        schedule=spec.schedule,
        precision=spec.precision,
        loader=LoaderSettings(
            batch_size=spec.batch_size,
            num_workers=spec.num_workers,
            pin_memory=spec.pin_memory,
            persistent_workers=spec.num_workers > 0,
        ),
        seed=seed,
        device=spec.device,
        time_limit=spec.trial_time_limit,
    )
    return TrialSpec(
        phase=phase,
        index=index,
        optimizer=optimizer,
        hyperparameters=dict(chosen.hyperparameters),
        at_border=chosen.at_border,
        weight_decay=spec.weight_decay,
        data_digest=spec.data_digest,
        workload=its.name,
        train=its.plan(own_settings(spec), assignment),
    )
