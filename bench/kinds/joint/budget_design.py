"""Fit a joint study into a time: number of trials, their length and seeds, from measured costs. Pure.

docs/decisions.md, "How `--budget` spends its time", explains the order in which time is spent.
"""

import math
from collections.abc import Collection
from statistics import fmean
from typing import Any

from bench.kinds.joint.estimate import add_up, typical_batch
from bench.kinds.joint.spec import LEAST_STEPS as MEASURABLE_STEPS
from bench.kinds.joint.spec import JointSpec
from bench.report.wording import counted
from bench.study.prepared import Prepared
from bench.study.probe import Measured
from bench.study.sizing import ChosenSize, Numbers, largest_design, rounded_down

CHOSEN = ("trials", "startup_trials", "images", "seconds", "seeds")
"""Settings that the budget chooses unless the user gave them."""
MARGIN = 1.3
"""Factor by which a study may exceed its estimate: other batch sizes and optimizers differ from the measured one."""
LEAST_TRIALS, LEAST_SEEDS = 12, 2
"""Minimum numbers of search trials and of seeds: fewer trials hardly cover the settings, and one seed cannot show
luck."""
LEAST_STEPS = 100
"""Steps of the typical batch below which hardly any network has begun to learn."""
TRIALS = (20, 40, 100)
"""Numbers of search trials that are reached in turn, alternating with longer trials."""
STARTUP_SHARE, LEAST_STARTUP = 1 / 3, 4
"""Maximum share and minimum number of the trials that TPE draws at random."""


def choose_size(
    prepared: Prepared[JointSpec], measurements: Measured, choosable: Collection[str], seconds: float
) -> ChosenSize:
    """Choose the study's size for a time; see `StudyKind.choose_size`. ``measurements``: what was measured."""
    spec, measurements = prepared.spec, measurements.assumed(typical_batch(prepared.spec))
    length = "images" if spec.images is not None else "seconds"
    image_s = fmean(measurements.costs.step_s.values()) / typical_batch(spec)
    shipped = spec.images if spec.images is not None else math.ceil(spec.seconds or 0.0)
    images = max(LEAST_STEPS * typical_batch(spec), MEASURABLE_STEPS * max(spec.batch_size))
    if spec.images is not None:
        images = max(images, min(measurements.trained or 0, spec.images))
    short = images if spec.images is not None else max(1, math.ceil(images * image_s))
    enough = max(short, shipped)
    least = {"trials": max(LEAST_TRIALS, len(spec.fixed) + 1), length: short, "seeds": min(LEAST_SEEDS, spec.seeds)}
    least = {name: number for name, number in least.items() if name in choosable}
    few, more, many = TRIALS
    stages = [
        ("trials", few), ("seeds", spec.seeds), (length, enough), ("trials", more), (length, 2 * enough),
        ("trials", many),
    ]  # fmt: skip

    def duration(numbers: Numbers) -> float:
        return add_up(spec.model_copy(update=_values(spec, numbers, choosable)), measurements, prepared.workers).seconds

    numbers = largest_design(least, stages, lambda each: MARGIN * duration(each) <= seconds, length)
    if "images" in numbers:
        numbers["images"] = rounded_down(numbers["images"], least["images"])
    values = _values(spec, numbers, choosable)
    design = spec.model_copy(update=values)
    given_settings = [name for name in ("trials", length, "seeds") if name not in choosable]
    ways = [f"a smaller --{name}" for name in given_settings]
    ways += ["a smaller --size or --network"] if spec.size is not None else []
    return ChosenSize(
        values=values,
        seconds=duration(numbers),
        margin=MARGIN,
        text=f"{counted(design.trials, 'trial')} of {design.length_text()}, the picks with "
        f"{counted(design.seeds, 'seed')}",
        subject="search this space",
        smaller=", or ".join(ways) or "a smaller workload",
    )


def _values(spec: JointSpec, numbers: Numbers, choosable: Collection[str]) -> dict[str, Any]:
    """Return the settings of a design, including those that follow from others."""
    values: dict[str, Any] = dict(numbers)
    if "startup_trials" in choosable:
        trials = numbers.get("trials", spec.trials)
        values["startup_trials"] = max(LEAST_STARTUP, min(spec.startup_trials, int(STARTUP_SHARE * trials)))
    return values
