"""The optimizers study that fits into a time: tunings, trials, steps, evaluations, by what its pieces take here. Pure.

In which order time is spent, and why: docs/decisions.md, "How `--budget` spends its time".
"""

import math
import tomllib
from collections.abc import Collection
from statistics import fmean
from typing import Any

from bench.kinds.optimizers.estimate import add_up
from bench.kinds.optimizers.spec import MOST_LOOKS, StudySpec
from bench.report.wording import counted
from bench.settings.presets import preset_path
from bench.study.prepared import Prepared
from bench.study.probe import Measured
from bench.study.sizing import Numbers, Sized, climb, rounded_down
from bench.trials.phases import CONFIRM, TUNE
from bench.workloads.protocol import REPORT

CHOSEN = ("tunings", "trials", "seeds", "tune_steps", "steps", "evaluations", "max_tunings")
"""The settings that are chosen, where nobody gave them."""
MARGIN = 1.15
"""How many times its estimate a study may take: docs/decisions.md has what was measured."""
LEAST_TUNINGS, LEAST_TRIALS = 3, 8
"""With fewer tunings nothing can be claimed; with fewer trials the search halves no gap."""
LEAST_STEPS, LEAST_TUNE_STEPS = 200, 100
"""Steps of a confirm trial and of a tune trial below which hardly any network has begun to learn."""
ENOUGH_STEPS, PASSES = 400, 2
"""Steps, and passes over the training images, that a confirm trial has before time goes into more trials."""
TRIALS, TUNINGS, LONGER, MOST_TUNINGS = 16, 4, 4, 6
"""What comes next: trials of a tuning, tunings, so many times as many steps, and tunings again."""
EVALUATION_SHARE, LEAST_EVALUATIONS = 0.25, 2
"""Share of a confirm trial's training that its evaluations may take, and how many there are at least."""


def sized(prepared: Prepared[StudySpec], found: Measured, free: Collection[str], seconds: float) -> Sized:
    """See `StudyKind.sized`; ``found``: what was measured."""
    ladder = _Ladder(prepared, found.assumed(prepared.spec.batch_size), free)
    numbers = climb(ladder.least, ladder.stages, lambda each: MARGIN * ladder.seconds(each) <= seconds, "steps")
    if "steps" in numbers:
        numbers["steps"] = rounded_down(numbers["steps"], ladder.least["steps"])
    values = ladder.values(numbers)
    return Sized(
        values=values,
        seconds=ladder.seconds(numbers),
        margin=MARGIN,
        text=design_text(prepared.spec.model_copy(update=values)),
        subject=f"compare {'these' if len(prepared.spec.optimizers) > 1 else 'this'} "
        f"{counted(len(prepared.spec.optimizers), 'optimizer')}",
        smaller=ladder.smaller(),
    )


def design_text(spec: StudySpec) -> str:
    """The numbers of a study that a budget may choose, in words."""
    tunings = counted(spec.tunings, "tuning")
    if spec.until_decided:
        tunings = f"{spec.tunings} to {spec.max_tunings} tunings"
    return (
        f"{tunings} x ({counted(spec.trials, 'tune trial')} of up to {spec.length_text(TUNE)} + "
        f"{counted(spec.seeds, 'confirm trial')} of {spec.length_text(CONFIRM)}, "
        f"{counted(spec.evaluations, 'evaluation')} each)"
    )


class _Ladder:
    """Designs of one study, from the least to the largest."""

    def __init__(self, prepared: Prepared[StudySpec], found: Measured, free: Collection[str]) -> None:
        self.prepared, self.spec, self.found, self.free = prepared, prepared.spec, found, free
        spec = self.spec
        self.tunings = "max_tunings" if spec.until_decided else "tunings"
        least = {self.tunings: LEAST_TUNINGS, "trials": LEAST_TRIALS, "seeds": 1}
        self.stages = [
            ("trials", TRIALS),
            ("seeds", spec.seeds),
            (self.tunings, TUNINGS),
            (self.tunings, min(MOST_TUNINGS, MOST_LOOKS)),
        ]
        if spec.steps is not None and spec.tune_steps is not None:
            self.ratio = spec.tune_steps / spec.steps if "steps" in free else _preset_ratio(spec)
            epoch = math.ceil((found.trained or 0) / spec.batch_size)
            tune_steps = spec.tune_steps if "tune_steps" not in free else 0
            least["steps"] = max(LEAST_STEPS, min(epoch, spec.steps), tune_steps)
            enough = max(least["steps"], ENOUGH_STEPS, min(PASSES * epoch, spec.steps))
            self.stages = [("steps", enough), *self.stages[:3], ("steps", LONGER * enough), *self.stages[3:]]
        self.least = {name: number for name, number in least.items() if name in free}

    def values(self, numbers: Numbers) -> dict[str, Any]:
        """The settings of a design, those that follow from others included."""
        spec, found = self.spec, dict(numbers)
        steps = numbers.get("steps", spec.steps)
        if steps is not None and "tune_steps" in self.free:
            assert spec.tune_steps is not None and spec.steps is not None
            wanted = rounded_down(round(steps * self.ratio), 1)
            found["tune_steps"] = min(steps, max(wanted, LEAST_TUNE_STEPS))
        if "evaluations" in self.free:
            one = self.found.evaluation_s(REPORT)
            training = steps * fmean(self.found.costs.step_s.values()) if steps is not None else spec.seconds or 0.0
            most = int(EVALUATION_SHARE * training / one) if one else spec.evaluations
            found["evaluations"] = max(min(most, spec.evaluations), min(LEAST_EVALUATIONS, spec.evaluations))
        return found

    def seconds(self, numbers: Numbers) -> float:
        """What a design takes; of a series all studies, the data made once."""
        values = self.values(numbers)
        if self.spec.until_decided:
            values["tunings"] = values.get("max_tunings", self.spec.max_tunings)
        found = add_up(self.spec.model_copy(update=values), self.found, self.prepared.workers)
        return found.data_s + len(self.prepared.specs) * (found.seconds - found.data_s)

    def smaller(self) -> str:
        """What would make the least design take less."""
        wanted = {self.tunings: LEAST_TUNINGS, "trials": LEAST_TRIALS, "seeds": 1, "steps": LEAST_STEPS}
        given = [name for name, least in wanted.items() if name not in self.free and _above(self.spec, name, least)]
        ways = [f"a smaller --{name.replace('_', '-')}" for name in given]
        ways += ["fewer --optimizers"] if len(self.spec.optimizers) > 2 else []
        ways += ["a smaller --size or --network"] if self.spec.size is not None else []
        return ", or ".join(ways) or "a smaller workload"


def _preset_ratio(spec: StudySpec) -> float:
    """Length of a tune trial relative to a confirm trial as the preset has it, where a budget in steps is typed."""
    preset = tomllib.loads(preset_path(spec.kind, spec.preset).read_text(encoding="utf-8"))
    if {"tune_steps", "steps"} <= {*preset}:
        return float(preset["tune_steps"] / preset["steps"])
    return 1.0


def _above(spec: StudySpec, name: str, least: int) -> bool:
    value = getattr(spec, name)
    return value is not None and value > least
