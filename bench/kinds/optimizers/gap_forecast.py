"""Forecast the smallest difference that a study detects in 4 of 5 cases, before it runs, and with one more tuning."""

from dataclasses import dataclass

from bench.kinds.optimizers.measure import AP, Measure, measure_of
from bench.kinds.optimizers.spec import StudySpec
from bench.kinds.optimizers.study_score import margin_scale
from bench.report.wording import counted, duration_text
from bench.statistics.looks import LOOK_MARGIN, LOOKS, detectable_gap, level_after
from bench.statistics.nested import MARGIN
from bench.workloads import POSE
from bench.workloads.of_study import name_of, workload_of

MEASURED_SPREAD = {"small": 0.012}
"""Standard deviation of one tuning's mean AP by preset, pooled over its optimizers; measured in reports/optimizers-cpu.
"""


@dataclass(frozen=True)
class GapForecast:
    """The smallest difference that a study with so many tunings detects.

    Attributes:
        tunings: Tunings of each optimizer.
        gap_sds: Difference of two procedures that is detected in four of five studies, in standard deviations of one
            tuning's mean, before the margin.
        margin: Difference up to which optimizers count as equal, in the score's unit.
        spread: Standard deviation of one tuning's mean score; None: not known.
        measure: The measure of the study.
    """

    tunings: int
    gap_sds: float
    margin: float
    spread: float | None
    measure: Measure = AP

    @property
    def gap(self) -> float | None:
        """Detectable difference in the score; None where the spread is not known."""
        return None if self.spread is None else self.gap_sds * self.spread + self.margin

    def document(self) -> dict[str, float | None]:
        """Return it as JSON."""
        return {
            "tunings": self.tunings,
            "gap_sds": round(self.gap_sds, 2),
            "margin": self.margin,
            "spread": self.spread,
            "gap_ap": self.gap if self.measure.is_ap else None,
            **({"gap_skill": self.gap} if self.measure.is_loss else {}),
            **({"gap_score": self.gap} if self.measure.is_own else {}),
        }


def gap_forecast(spec: StudySpec, tunings: int | None = None) -> GapForecast | None:
    """Forecast what a study can detect; None with fewer than two optimizers or tunings.

    Args:
        spec: The study.
        tunings: Tunings of each optimizer; None: the maximum number that the study has.
    """
    most = spec.max_tunings if spec.until_decided else spec.tunings
    tunings = most if tunings is None else tunings
    if tunings < 2 or len(spec.optimizers) < 2:
        return None
    level, margin = (LOOKS[tunings], LOOK_MARGIN) if spec.until_decided else (level_after(len(spec.looks)), MARGIN)
    measure = measure_of(spec.score, workload_of(spec))
    margin *= margin_scale(measure.own)
    measured = MEASURED_SPREAD.get(spec.preset) if measure.is_ap and name_of(spec.workload) == POSE else None
    spread = spec.assume_spread or measured
    return GapForecast(tunings, detectable_gap(tunings, len(spec.optimizers), alpha=level), margin, spread, measure)


def gap_forecast_text(spec: StudySpec, tuning_s: float | None = None) -> str:
    """Say what the study can detect; ``tuning_s``: seconds that one more tuning of all optimizers takes."""
    forecast = gap_forecast(spec)
    if forecast is None:
        return "No claim will be possible: that needs two optimizers, and two tunings of each."
    measure = forecast.measure
    text = f"With {counted(forecast.tunings, 'tuning')} the study finds {_gap_text(forecast)} in 4 of 5 cases"
    if forecast.spread is None:
        text += f" (give --assume-spread, say {2 * forecast.measure.own.scale / 100:g}, to see it in {measure.name})"
    more = None if spec.until_decided else gap_forecast(spec, forecast.tunings + 1)
    if more is None:
        return f"{text}."
    cost = f" in {duration_text(tuning_s)} more" if tuning_s is not None else ""
    return f"{text}; with one more tuning: {_gap_text(more)}{cost}."


def _gap_text(forecast: GapForecast) -> str:
    measure = forecast.measure
    if forecast.gap is None:
        sds = f"{forecast.gap_sds:.1f} standard deviations of one tuning's mean"
        return f"a gap of {sds} + {measure.gap_text(forecast.margin)} {measure.unit}"
    return (
        f"a gap of {measure.gap_text(forecast.gap)} {measure.unit} "
        f"(standard deviation of one tuning's mean: {measure.gap_text(forecast.spread or 0.0)})"
    )
