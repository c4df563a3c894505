"""The axis of a figure that shows scores of somebody's own workload: its limits, and whether it is logarithmic."""

from collections.abc import Iterable
from typing import Literal

import numpy as np
from matplotlib.axes import Axes

from bench.kinds.optimizers.measure import Measure
from bench.report.style import HEADROOM, NARROW, log_ticks


def set_score_axis(axis: Axes, scores: Iterable[float], measure: Measure, *, side: Literal["x", "y"]) -> float:
    """Set the limits of an axis around scores, and return its worse end, where runs without a score are drawn.

    The axis of a score that is minimized is logarithmic if the scores differ by more than a factor `NARROW`.
    """
    values = np.array([value for value in scores if np.isfinite(value)], dtype=float)
    low, high = (float(values.min()), float(values.max())) if len(values) else (measure.own.chance,) * 2
    set_limits, set_scale = (axis.set_xlim, axis.set_xscale) if side == "x" else (axis.set_ylim, axis.set_yscale)
    if measure.own.sign < 0 < low and high > NARROW * low:
        set_scale("log")
        log_ticks(axis.xaxis if side == "x" else axis.yaxis)
        ends = low / HEADROOM, high * HEADROOM
    else:
        room = (HEADROOM - 1) * ((high - low) or abs(high) or 1.0)
        ends = max(low - room, measure.own.low), min(high + room, measure.own.high)
    set_limits(*ends)
    return ends[0] if measure.own.sign > 0 else ends[1]
