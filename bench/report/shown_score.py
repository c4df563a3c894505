"""The score of a workload as reports show it: its words in sentences, tables and figures; how its values compare."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from bench.report.cells import interval_cell, number_cell
from bench.statistics.interval import Interval
from bench.trials.score_scale import SELECT_SUFFIX
from bench.workloads.score import COLLAPSE_SHARE, Score

AP_NAME = "ap"
"""Name of the score that is written in capitals."""
_N = TypeVar("_N", float, np.ndarray)
DECIMALS = 3
"""Decimals of a score that ranges over 1; a range ten times as large has one less."""


@dataclass(frozen=True)
class ShownScore:
    """The score of a workload, in its own unit."""

    score: Score
    samples: str
    """What is trained on, plural."""
    of_pose: bool = False
    """Whether it is that of pose networks, whose size is in pixels."""

    @property
    def is_ap(self) -> bool:
        """Whether it is called AP: COCO's, or that of a workload whose score has this name too."""
        return self.score.name == AP_NAME

    @property
    def column(self) -> str:
        """Column of the records with the score on the split that the trial was scored on."""
        return self.score.name

    @property
    def select_column(self) -> str:
        """Column of the records with a confirm trial's score on the select split."""
        return f"{self.score.name}{SELECT_SUFFIX}"

    def above_chance(self, value: _N) -> _N:
        """Return by how much a score is better than chance; of AP the AP itself."""
        return self.score.sign * (value - self.score.chance)

    def value_of(self, above_chance: _N) -> _N:
        """Return the score that is better than chance by so much."""
        return self.score.chance + self.score.sign * above_chance

    @property
    def floor(self) -> float:
        """The score that separates runs that have learned something from those that have not: 0.02 for AP."""
        return self.value_of(self.least)

    @property
    def least(self) -> float:
        """By how much a run that has learned something is better than chance, at least."""
        return COLLAPSE_SHARE * self.score.scale

    def has_learned(self, value: float) -> bool:
        """Return whether a score reaches the floor."""
        return self.above_chance(value) >= self.least

    @property
    def name(self) -> str:
        """Its name before a number, `AP 0.292`, and in running text."""
        return "AP" if self.is_ap else self.score.name

    @property
    def title(self) -> str:
        """The name at the beginning of a sentence."""
        return self.name[:1].upper() + self.name[1:]

    @property
    def best(self) -> str:
        """`highest`, or `lowest`."""
        return "highest" if self.score.sign > 0 else "lowest"

    @property
    def speed(self) -> str:
        """Unit of speed: `images/s`."""
        return f"{self.samples}/s"

    @property
    def speed_subject(self) -> str:
        """`speed` at the beginning of a sentence."""
        return self.speed[:1].upper() + self.speed[1:]

    def line(self, metrics: Mapping[str, float]) -> str:
        """Return `AP 0.123` for a progress line, or an empty text if the metrics have no score."""
        return f"{self.name} {self.text(metrics[self.column])}" if self.column in metrics else ""

    def speed_line(self, metrics: Mapping[str, float]) -> str:
        """Return `118.3 images/s` for a progress line, or an empty text if the metrics have no speed."""
        speed = metrics.get("images_per_s")
        return f"{speed:.1f} {self.speed}" if speed else ""

    def text(self, value: float) -> str:
        """Return a score with as many decimals as its range asks for."""
        return number_cell(value, self._form)

    def cell(self, value: float | None) -> str:
        """Return a score as `0.312`, or `-`."""
        return number_cell(value, self._form)

    def difference(self, value: float) -> str:
        """Return a difference of scores with its sign."""
        return f"{value:+{self._form}}"

    def interval(self, interval: Interval) -> str:
        """Return a score with its interval as `0.312 [0.290, 0.330]`."""
        return interval_cell(interval.estimate, interval.low, interval.high, self._form)

    def clipped(self, interval: Interval) -> Interval:
        """Return the interval with its ends kept within what the score can be."""
        return interval.clipped(self.score.low, self.score.high)

    @property
    def floor_text(self) -> str:
        """`0.02`."""
        return f"{self.floor:g}"

    @property
    def side_of_floor(self) -> str:
        """`under`, where scores of runs that have learned nothing lie; `over` where less is better."""
        return "under" if self.score.sign > 0 else "over"

    @property
    def below_floor(self) -> str:
        """`AP under 0.02`: the score of a run that has learned nothing."""
        return f"{self.name} {self.side_of_floor} {self.floor_text}"

    @property
    def failure_text(self) -> str:
        """`AP 0`: the score that a run without a result counts as."""
        return f"{self.name} {self.score.failure:g}"

    @property
    def chance_text(self) -> str:
        """`AP 0`: the score at which a run is no better than chance."""
        return f"{self.name} {self.score.chance:g}"

    @property
    def _form(self) -> str:
        return f".{max(0, DECIMALS - round(float(np.log10(self.score.scale))))}f"

    def document(self) -> dict[str, Any]:
        """Return name and direction for the JSON document."""
        return {"name": self.score.name, "direction": self.score.direction}


AP = ShownScore(Score(AP_NAME), "images", of_pose=True)
"""The measure of pose networks."""
UNKNOWN = ShownScore(Score("score"), "samples")
"""The measure of a workload that cannot be loaded here."""
