"""Fit an optimizers study into a time (`--budget`): tunings, trials, steps and evaluations by measured costs. Pure.

The order in which time is spent, and why: docs/decisions.md, "How `--budget` spends its time".
"""

import math
import tomllib
from collections.abc import Collection
from statistics import fmean
from typing import Any

from bench.kinds.optimizers.estimate import add_up
from bench.kinds.optimizers.spec import LAST_LOOK_TUNINGS, StudySpec
from bench.report.wording import counted
from bench.settings.presets import preset_path
from bench.study.prepared import Prepared
from bench.study.probe import Measured
from bench.study.sizing import ChosenSize, Numbers, largest_design, rounded_down
from bench.trials.phases import CONFIRM, TUNE
from bench.workloads.protocol import REPORT

CHOSEN = ("tunings", "trials", "seeds", "tune_steps", "steps", "evaluations", "max_tunings")
"""Settings that are chosen if the user has not set them."""
MARGIN = 1.15
"""Factor by which a study may exceed its estimate and must still fit; measured in docs/decisions.md."""
LEAST_TUNINGS, LEAST_TRIALS = 3, 8
"""Minimum numbers of tunings (fewer allow no claim) and of trials of a tuning (fewer cannot refine the learning
rate)."""
LEAST_STEPS, LEAST_TUNE_STEPS = 200, 100
"""Steps of a confirm trial and of a tune trial below which hardly any network begins to learn."""
ENOUGH_STEPS, PASSES = 400, 2
"""Steps, and passes over the training images, that a confirm trial gets before time is spent on more trials."""
TRIALS, TUNINGS, LONGER, MOST_TUNINGS = 16, 4, 4, 6
"""Targets of the further growth, in this order: trials of a tuning, tunings, factor on the steps, and more tunings."""
EVALUATION_SHARE, LEAST_EVALUATIONS = 0.25, 2
"""Share of a confirm trial's training time that its evaluations may take, and their minimum number."""


def choose_size(
    prepared: Prepared[StudySpec], measured_parts: Measured, choosable: Collection[str], seconds: float
) -> ChosenSize:
    """Choose the design that fits into ``seconds``, see `StudyKind.choose_size`.

    Args:
        prepared: The study.
        measured_parts: Measured costs of its trials' parts.
        choosable: Names of the settings that may be chosen.
        seconds: The time for the study.
    """
    ladder = _Ladder(prepared, measured_parts.assumed(prepared.spec.batch_size), choosable)
    numbers = largest_design(
        ladder.least, ladder.stages, lambda design: MARGIN * ladder.seconds(design) <= seconds, "steps"
    )
    if "steps" in numbers:
        numbers["steps"] = rounded_down(numbers["steps"], ladder.least["steps"])
    values = ladder.values(numbers)
    return ChosenSize(
        values=values,
        seconds=ladder.seconds(numbers),
        margin=MARGIN,
        text=design_text(prepared.spec.model_copy(update=values)),
        subject=f"compare {'these' if len(prepared.spec.optimizers) > 1 else 'this'} "
        f"{counted(len(prepared.spec.optimizers), 'optimizer')}",
        smaller=ladder.smaller(),
    )


def design_text(spec: StudySpec) -> str:
    """Describe the numbers of a study that `--budget` may choose."""
    tunings = counted(spec.tunings, "tuning")
    if spec.until_decided:
        tunings = f"{spec.tunings} to {spec.max_tunings} tunings"
    return (
        f"{tunings} x ({counted(spec.trials, 'tune trial')} of up to {spec.length_text(TUNE)} + "
        f"{counted(spec.seeds, 'confirm trial')} of {spec.length_text(CONFIRM)}, "
        f"{counted(spec.evaluations, 'evaluation')} each)"
    )


class _Ladder:
    """Designs of one study, from the smallest to the largest."""

    def __init__(self, prepared: Prepared[StudySpec], measured_parts: Measured, choosable: Collection[str]) -> None:
        self.prepared, self.spec, self.measured_parts, self.choosable = (
            prepared,
            prepared.spec,
            measured_parts,
            choosable,
        )
        spec = self.spec
        self.tunings = "max_tunings" if spec.until_decided else "tunings"
        least = {self.tunings: LEAST_TUNINGS, "trials": LEAST_TRIALS, "seeds": 1}
        self.stages = [
            ("trials", TRIALS),
            ("seeds", spec.seeds),
            (self.tunings, TUNINGS),
            (self.tunings, min(MOST_TUNINGS, LAST_LOOK_TUNINGS)),
        ]
        if spec.steps is not None and spec.tune_steps is not None:
            self.ratio = spec.tune_steps / spec.steps if "steps" in choosable else _preset_ratio(spec)
            epoch = math.ceil((measured_parts.trained or 0) / spec.batch_size)
            tune_steps = spec.tune_steps if "tune_steps" not in choosable else 0
            least["steps"] = max(LEAST_STEPS, min(epoch, spec.steps), tune_steps)
            enough = max(least["steps"], ENOUGH_STEPS, min(PASSES * epoch, spec.steps))
            self.stages = [("steps", enough), *self.stages[:3], ("steps", LONGER * enough), *self.stages[3:]]
        self.least = {name: number for name, number in least.items() if name in choosable}

    def values(self, numbers: Numbers) -> dict[str, Any]:
        """Return the settings of a design, including those that follow from others."""
        spec, values = self.spec, dict(numbers)
        steps = numbers.get("steps", spec.steps)
        if steps is not None and "tune_steps" in self.choosable:
            assert spec.tune_steps is not None and spec.steps is not None
            scaled = rounded_down(round(steps * self.ratio), 1)
            values["tune_steps"] = min(steps, max(scaled, LEAST_TUNE_STEPS))
        if "evaluations" in self.choosable:
            seconds_each = self.measured_parts.evaluation_s(REPORT)
            training = (
                steps * fmean(self.measured_parts.costs.step_s.values()) if steps is not None else spec.seconds or 0.0
            )
            affordable = int(EVALUATION_SHARE * training / seconds_each) if seconds_each else spec.evaluations
            values["evaluations"] = max(min(affordable, spec.evaluations), min(LEAST_EVALUATIONS, spec.evaluations))
        return values

    def seconds(self, numbers: Numbers) -> float:
        """Return the estimated seconds of a design; for a series, of all its studies, with the data made once."""
        values = self.values(numbers)
        if self.spec.until_decided:
            values["tunings"] = values.get("max_tunings", self.spec.max_tunings)
        design_estimate = add_up(self.spec.model_copy(update=values), self.measured_parts, self.prepared.workers)
        return design_estimate.data_s + len(self.prepared.specs) * (design_estimate.seconds - design_estimate.data_s)

    def smaller(self) -> str:
        """Say which settings would make the smallest design shorter."""
        least_values = {self.tunings: LEAST_TUNINGS, "trials": LEAST_TRIALS, "seeds": 1, "steps": LEAST_STEPS}
        reducible = [
            name
            for name, least in least_values.items()
            if name not in self.choosable and _above(self.spec, name, least)
        ]
        remedies = [f"a smaller --{name.replace('_', '-')}" for name in reducible]
        remedies += ["fewer --optimizers"] if len(self.spec.optimizers) > 2 else []
        remedies += ["a smaller --size or --network"] if self.spec.size is not None else []
        return ", or ".join(remedies) or "a smaller workload"


def _preset_ratio(spec: StudySpec) -> float:
    """Return the preset's length of a tune trial relative to a confirm trial, for a budget typed in steps."""
    preset = tomllib.loads(preset_path(spec.kind, spec.preset).read_text(encoding="utf-8"))
    if {"tune_steps", "steps"} <= {*preset}:
        return float(preset["tune_steps"] / preset["steps"])
    return 1.0


def _above(spec: StudySpec, name: str, least: int) -> bool:
    value = getattr(spec, name)
    return value is not None and value > least
