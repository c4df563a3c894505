"""Figure: score of each optimizer against the time of its own step."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from bench.kinds.optimizers.report.figures.score_axis import set_score_axis
from bench.kinds.optimizers.report.result import StudyResult
from bench.report.cells import known
from bench.report.point_names import name_points
from bench.report.style import HEADROOM, RC, WIDTH, series_style
from bench.storage.visible import visible
from bench.trials.columns import rows_of

HEIGHT = 4.8
"""Height of the figure in inches."""
INTERVAL_ALPHA = 0.55
"""Opacity of intervals, which overlap if costs are equal."""
ROOM = 1.15
"""Upper end of the cost axis, relative to the highest cost."""


def has_cost(result: StudyResult) -> bool:
    """Return whether the step time is known of an optimizer that scored above 0 in a complete tuning."""
    return any(_gain(row) > result.measure.chance for row in _known(result))


def cost(result: StudyResult) -> Figure:
    """Draw mean score with its interval against the optimizer's step time; labels give the size of its state."""
    rows = _known(result)
    names = [_label(result, row) for row in rows]
    with plt.rc_context(RC):
        figure, axis = plt.subplots(figsize=(WIDTH, HEIGHT))
        points, covered = [], []
        for row in rows:
            style = series_style(result.spec.optimizers.index(row["name"]))
            x, y = row["optimizer_step_ms"], result.measure.shown(_gain(row))
            if known(row["ap_low"]):
                ends = result.measure.ends(_gain(row), row["ap_low"], row["ap_high"])[1:]
                axis.plot([x, x], ends, color=style["color"], linewidth=2.5, alpha=INTERVAL_ALPHA, zorder=2)
                covered += [(x, value) for value in np.linspace(*ends, 9)]
            axis.scatter([x], [y], s=80, zorder=3, clip_on=False, linewidth=0, **style)
            points.append((x, y))
        axis.set_xlabel("time of the optimizer's own step (ms); memory of its state in brackets (MB)")
        axis.set_ylabel(result.measure.axis_label("report"))
        axis.set_xlim(0, ROOM * max(x for x, _ in points) or 1.0)
        heights = [y for _, y in [*points, *covered]]
        if result.measure.is_own:
            set_score_axis(axis, heights, result.measure, side="y")
        else:
            axis.set_ylim(0, min(HEADROOM * max(heights), 1.0))
        name_points(axis, points, names, np.array([*points, *covered]))
    return figure


def _known(result: StudyResult) -> list[dict[str, Any]]:
    rows = rows_of(result.analysis.summary)
    return [row for row in rows if row["tunings"] and known(row["optimizer_step_ms"])]


def _gain(row: dict[str, Any]) -> float:
    """Return the mean score of the tunings that learned or, if none did, of all tunings."""
    return float(row["ap_mean"] if known(row["ap_mean"]) else row["score_mean"])


def _label(result: StudyResult, row: dict[str, Any]) -> str:
    name, size = visible(result.analysis.names[row["name"]]), row["optimizer_state_bytes"]
    return f"{name} ({1e-6 * size:.1f} MB)" if known(size) else name
