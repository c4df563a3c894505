"""What a study will be able to see, told before it runs: the gap found in four of five cases, what more brings."""

from dataclasses import dataclass

from bench.kinds.optimizers.analysis.measure import MEASURES, Measure
from bench.kinds.optimizers.spec import StudySpec
from bench.report.wording import ap_text, counted, duration_text
from bench.statistics.looks import LOOK_MARGIN, LOOKS, detectable_gap, level_after
from bench.statistics.nested import MARGIN
from bench.trials.score_names import AP_SCORE, ScoreName

MEASURED_SPREAD = {"small": 0.012}
"""Standard deviation of one tuning's mean AP by preset, pooled over its optimizers: reports/optimizers-cpu."""


@dataclass(frozen=True)
class Sight:
    """What so many tunings of each optimizer can show.

    Attributes:
        tunings: Of each optimizer.
        gap_sds: Difference of two procedures that is found in four of five studies, in standard deviations of one
            tuning's mean, before the margin.
        margin: What a difference must exceed, in the score.
        spread: Standard deviation of one tuning's mean score; None where nobody has said.
    """

    tunings: int
    gap_sds: float
    margin: float
    spread: float | None
    score: ScoreName = AP_SCORE

    @property
    def gap(self) -> float | None:
        """The difference in the score."""
        return None if self.spread is None else self.gap_sds * self.spread + self.margin

    def document(self) -> dict[str, float | None]:
        """It as JSON."""
        return {
            "tunings": self.tunings,
            "gap_sds": round(self.gap_sds, 2),
            "margin": self.margin,
            "spread": self.spread,
            "gap_ap": self.gap if self.score == AP_SCORE else None,
            **({} if self.score == AP_SCORE else {"gap_skill": self.gap}),
        }


def sight(spec: StudySpec, tunings: int | None = None) -> Sight | None:
    """What a study can see, with another number of ``tunings`` if that is given; None where nothing can be claimed."""
    most = spec.max_tunings if spec.until_decided else spec.tunings
    tunings = most if tunings is None else tunings
    if tunings < 2 or len(spec.optimizers) < 2:
        return None
    level, margin = (LOOKS[tunings], LOOK_MARGIN) if spec.until_decided else (level_after(len(spec.looks)), MARGIN)
    measured = MEASURED_SPREAD.get(spec.preset) if spec.score == AP_SCORE else None
    spread = spec.assume_spread or measured
    return Sight(tunings, detectable_gap(tunings, len(spec.optimizers), alpha=level), margin, spread, spec.score)


def sight_text(spec: StudySpec, tuning_s: float | None = None) -> str:
    """What it can see, in words; ``tuning_s``: how long one tuning of all optimizers takes."""
    found = sight(spec)
    if found is None:
        return "It can claim nothing: that takes two optimizers, and two tunings of each."
    measure = MEASURES[spec.score]
    text = f"With {counted(found.tunings, 'tuning')} it finds {_gap_text(found, measure)} in 4 of 5 cases"
    if found.spread is None:
        text += f" (--assume-spread 0.02, say, tells it in {measure.name})"
    more = None if spec.until_decided else sight(spec, found.tunings + 1)
    if more is None:
        return f"{text}."
    cost = f" in {duration_text(tuning_s)} more" if tuning_s is not None else ""
    return f"{text}; one more tuning: {_gap_text(more, measure)}{cost}."


def _gap_text(found: Sight, measure: Measure) -> str:
    if found.gap is None:
        sds = f"{found.gap_sds:.1f} standard deviations of one tuning's mean"
        return f"a gap of {sds} + {ap_text(found.margin)} {measure.unit}"
    return f"a gap of {ap_text(found.gap)} {measure.unit} (a tuning's mean spreads by {ap_text(found.spread or 0.0)})"
