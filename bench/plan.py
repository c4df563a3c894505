"""StudySpec (and the settings that the tune phase chose) -> TrialSpecs: pure, the same on every machine."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scipy.stats import qmc

from bench.space import from_document, point
from bench.spec import CONFIRM, TUNE, Phase, StudySpec, TrialSpec, augment_settings
from posemodel.config import LoaderSettings, TrainSettings

TUNE_SEED = 0
FIRST_CONFIRM_SEED = 1001
"""Confirm seeds are fresh: no tune trial has seen them."""


@dataclass(frozen=True)
class Chosen:
    """What the tune phase chose for one optimizer, and which of it sits at the border of its range."""

    hyperparameters: Mapping[str, float]
    at_border: tuple[str, ...] = ()


def plan_tune(spec: StudySpec) -> list[TrialSpec]:
    """The tune trials: quasi-random points of each optimizer's space, in turn, so that a half-done phase is balanced.

    Scrambled Halton points (Owen, 2017): any number of them covers the space evenly, and the number of dimensions
    alone decides them, so that SGD with momentum and with Nesterov's are tried at the same points.
    """
    points = {}
    for name in spec.optimizers:
        space = from_document(spec.spaces[name], f"spaces.{name}")
        units = qmc.Halton(len(space), rng=spec.plan_seed).random(spec.trials)
        points[name] = [point(space, unit.tolist()) for unit in units]
    return [
        _trial(spec, TUNE, number * len(spec.optimizers) + place, name, Chosen(points[name][number]), TUNE_SEED)
        for number in range(spec.trials)
        for place, name in enumerate(spec.optimizers)
    ]


def plan_confirm(spec: StudySpec, chosen: Mapping[str, Chosen]) -> list[TrialSpec]:
    """The confirm trials: each optimizer with its chosen settings, on the same fresh seeds, seed by seed."""
    first = spec.trials * len(spec.optimizers)
    return [
        _trial(
            spec,
            CONFIRM,
            first + number * len(spec.optimizers) + place,
            name,
            chosen[name],
            FIRST_CONFIRM_SEED + number,
        )
        for number in range(spec.seeds)
        for place, name in enumerate(spec.optimizers)
    ]


def total_trials(spec: StudySpec) -> int:
    """Trials of both phases."""
    return (spec.trials + spec.seeds) * len(spec.optimizers)


def _trial(spec: StudySpec, phase: Phase, index: int, optimizer: str, chosen: Chosen, seed: int) -> TrialSpec:
    steps = spec.tune_steps if phase == TUNE else spec.steps
    evaluate_every = steps if phase == TUNE else math.ceil(steps / spec.evaluations)
    return TrialSpec(
        phase=phase,
        index=index,
        optimizer=optimizer,
        hyperparameters=dict(chosen.hyperparameters),
        at_border=chosen.at_border,
        weight_decay=spec.weight_decay,
        data_digest=spec.data_digest,
        train=TrainSettings(
            data=spec.data,
            val_split="select" if phase == TUNE else "report",
            hold_out_select=True,
            skip_bad=spec.skip_bad,
            network=spec.network,
            size=spec.size,
            steps=steps,
            schedule=spec.schedule,
            foreground_weight=spec.foreground_weight,
            precision=spec.precision,
            augment=augment_settings(spec),
            loader=LoaderSettings(
                batch_size=spec.batch_size,
                num_workers=spec.num_workers,
                pin_memory=spec.pin_memory,
                persistent_workers=spec.num_workers > 0,
            ),
            seed=seed,
            device=spec.device,
            val_every=evaluate_every,
            ap_every=evaluate_every,
            time_limit=spec.trial_time_limit,
        ),
    )
