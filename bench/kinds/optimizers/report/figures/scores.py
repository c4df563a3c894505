"""Figure: score of each confirm trial, by optimizer, tuning and seed."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bench.kinds.optimizers.measure import Measure
from bench.kinds.optimizers.report.figures.score_axis import set_score_axis
from bench.kinds.optimizers.report.result import StudyResult
from bench.report.cells import known
from bench.report.style import BAND_ALPHA, HEADROOM, INK, QUIET, RC, WIDTH, SeriesStyle, legend_below, series_style
from bench.storage.visible import visible
from bench.trials.columns import rows_of
from bench.trials.status import Status

ROW, TUNING, FRAME = 0.3, 0.13, 1.2
"""Height in inches of an optimizer's row without its tunings, of one tuning, and of everything below the rows."""
FAR = 0.5
"""If all scores are above this share of the highest, the axis begins near the lowest score instead of at 0."""
FILLED = 0.8
"""Share of its row's height that an optimizer's mean and interval fill."""


def has_scores(result: StudyResult) -> bool:
    """Return whether a confirm trial scored above 0."""
    return bool((result.analysis.seeds["ap_counted"] > result.measure.chance).any())


def scores(result: StudyResult) -> Figure:
    """Draw AP of each confirm trial: a row an optimizer, a line a tuning, with mean and interval behind."""
    analysis = result.analysis
    rows = [row for row in rows_of(analysis.summary) if row["name"] in analysis.tuned.names]
    tunings = int(analysis.tuned.scores.shape[1])
    with plt.rc_context(RC):
        figure, axis = plt.subplots(figsize=(WIDTH, FRAME + len(rows) * (ROW + TUNING * max(tunings, 2))))
        failed_at = 0.0
        if result.measure.is_own:
            failed_at = set_score_axis(axis, _values(analysis.seeds, rows, result.measure), result.measure, side="x")
        else:
            axis.set_xlim(_limits(analysis.seeds, rows))
        shifts = FILLED * ((np.arange(tunings) + 0.5) / tunings - 0.5)
        for position, row in enumerate(rows):
            style = series_style(result.spec.optimizers.index(row["name"]))
            _draw_mean(axis, position, row, style, result.measure)
            trials = analysis.seeds[analysis.seeds["optimizer"] == row["name"]]
            _draw_trials(
                axis, position + shifts[trials["tuning"].to_numpy(int)], trials, style, result.measure, failed_at
            )
        for border in range(1, len(rows)):
            axis.axhline(border - 0.5, color=QUIET, linewidth=0.6, alpha=0.5)
        axis.set_yticks(range(len(rows)), [visible(analysis.names[row["name"]]) for row in rows])
        axis.tick_params(axis="y", length=0, pad=9)  # leaves room for half a mark at AP 0
        axis.set_ylim(len(rows) - 0.5, -0.5)
        axis.set_xlabel(result.measure.axis_label("report"))
        _losses_above(axis, result)
        axis.grid(visible=False, axis="y")
        legend_below(figure, _legend(analysis.seeds, rows, tunings, result.measure))
    return figure


def _losses_above(axis: Axes, result: StudyResult) -> None:
    """Add an axis above with the validation losses that the skills correspond to."""
    reference = result.reference_loss
    if not result.measure.is_loss or reference is None:
        return
    above = axis.secondary_xaxis(
        "top",
        functions=(lambda skill: reference * (1 - np.asarray(skill)), lambda loss: 1 - np.asarray(loss) / reference),
    )
    above.set_xlabel("validation loss")


def _values(seeds: pd.DataFrame, rows: list[dict[str, Any]], measure: Measure) -> list[float]:
    """Return the scores of the complete trials, and the ends of intervals."""
    gains = [*seeds["ap_counted"][seeds["status"] == Status.COMPLETE]]
    gains += [row[end] for row in rows for end in ("ap_low", "ap_high") if known(row[end])]
    return [measure.shown(gain) for gain in gains]


def _limits(seeds: pd.DataFrame, rows: list[dict[str, Any]]) -> tuple[float, float]:
    """Return the x limits: from 0, or from below the lowest score where all are far above 0."""
    ends = [row[end] for row in rows for end in ("ap_low", "ap_high") if known(row[end])]
    values = [*seeds["ap_counted"], *ends]
    low, high = min(values), max(values)
    room = (HEADROOM - 1) * ((high - low) or high)
    return (low - room, min(high + room, 1.0)) if low > FAR * high else (0.0, min(HEADROOM * high, 1.0))


def _draw_mean(axis: Axes, position: int, row: dict[str, Any], style: SeriesStyle, measure: Measure) -> None:
    mean, begin, end = measure.ends(row["ap_mean"], row["ap_low"], row["ap_high"])
    low, high = position - FILLED / 2, position + FILLED / 2
    if known(row["ap_low"]):
        axis.fill_betweenx([low, high], begin, end, color=style["color"], alpha=BAND_ALPHA, linewidth=0)
    if known(row["ap_mean"]):
        axis.plot([mean] * 2, [low, high], color=INK, linewidth=1.8, zorder=2)


def _draw_trials(
    axis: Axes, heights: np.ndarray, trials: pd.DataFrame, style: SeriesStyle, measure: Measure, failed_at: float
) -> None:
    complete = (trials["status"] == Status.COMPLETE).to_numpy(bool)
    aps = np.where(complete, measure.shown(trials["ap_counted"].to_numpy(float)), failed_at)
    collapsed = complete & trials["collapsed"].to_numpy(bool)
    learned = complete & ~collapsed
    axis.scatter(aps[learned], heights[learned], s=38, alpha=0.85, zorder=3, linewidth=0, **style)
    axis.scatter(
        *(aps[collapsed], heights[collapsed]), s=40, zorder=4, clip_on=False, marker=style["marker"],
        facecolors="white", edgecolors=style["color"], linewidth=1.5,
    )  # fmt: skip
    axis.scatter(aps[~complete], heights[~complete], s=44, zorder=4, clip_on=False, color=style["color"], marker="x")


def _legend(seeds: pd.DataFrame, rows: list[dict[str, Any]], tunings: int, measure: Measure) -> list[Artist]:
    which = f" (tunings 1 to {tunings} from the top)" if tunings > 1 else ""
    handles: list[Artist] = [_mark("o", f"a confirm trial{which}")]
    complete = seeds["status"] == Status.COMPLETE
    if (complete & seeds["collapsed"].astype(bool)).any():
        handles.append(Line2D([], [], color=QUIET, marker="o", markerfacecolor="white", linewidth=0, label="collapsed"))
    edge = " (at the edge)" if measure.is_own else ""
    if not complete.all():
        handles.append(
            _mark(
                "x",
                f"diverged or failed: {measure.name} {measure.failure_text}{edge}",
            )
        )
    if any(known(row["ap_mean"]) for row in rows):
        any_collapsed = any(row["collapsed"] for row in rows)
        handles.append(
            Line2D([], [], color=INK, marker="|", markersize=13, markeredgewidth=1.8, linewidth=0,
                   label=f"mean{' where it learned' if any_collapsed else ''}")
        )  # fmt: skip
    if any(known(row["ap_low"]) for row in rows):
        handles.append(Patch(color=QUIET, alpha=0.35, linewidth=0, label="95 % interval"))
    return handles


def _mark(marker: str, text: str) -> Line2D:
    return Line2D([], [], color=QUIET, marker=marker, linewidth=0, label=text)
