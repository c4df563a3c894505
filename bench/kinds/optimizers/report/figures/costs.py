"""What an optimizer's own step costs against what it reaches."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from bench.kinds.optimizers.report.result import StudyResult
from bench.report.cells import known
from bench.report.point_names import name_points
from bench.report.style import HEADROOM, RC, WIDTH, look
from bench.storage.visible import visible
from bench.trials.columns import rows_of

HEIGHT = 4.8
"""Inches."""
INTERVAL_ALPHA = 0.55
"""Intervals of equal costs stand at one place, and are seen through each other."""
ROOM = 1.15
"""Of the highest cost: how far the axis goes."""


def has_cost(result: StudyResult) -> bool:
    """Whether the step time of an optimizer is known that scored above 0 in a complete tuning."""
    return any(_ap(row) > 0 for row in _known(result))


def cost(result: StudyResult) -> Figure:
    """Mean score with its interval against the optimizer's own step time; the size of its state stands at its name."""
    rows = _known(result)
    names = [_label(result, row) for row in rows]
    with plt.rc_context(RC):
        figure, axis = plt.subplots(figsize=(WIDTH, HEIGHT))
        places, covered = [], []
        for row in rows:
            style = look(result.spec.optimizers.index(row["name"]))
            x, y = row["optimizer_step_ms"], _ap(row)
            if known(row["ap_low"]):
                ends = (row["ap_low"], row["ap_high"])
                axis.plot([x, x], ends, color=style["color"], linewidth=2.5, alpha=INTERVAL_ALPHA, zorder=2)
                covered += [(x, value) for value in np.linspace(*ends, 9)]
            axis.scatter([x], [y], s=80, zorder=3, clip_on=False, linewidth=0, **style)
            places.append((x, y))
        axis.set_xlabel("time of the optimizer's own step (ms); memory of its state in brackets (MB)")
        axis.set_ylabel(f"{result.measure.name} (report split)")
        axis.set_xlim(0, ROOM * max(x for x, _ in places) or 1.0)
        highest = max(value for row in rows for value in (_ap(row), row["ap_high"]) if known(value))
        axis.set_ylim(0, min(HEADROOM * highest, 1.0))
        name_points(axis, places, names, np.array([*places, *covered]))
    return figure


def _known(result: StudyResult) -> list[dict[str, Any]]:
    rows = rows_of(result.analysis.summary)
    return [row for row in rows if row["tunings"] and known(row["optimizer_step_ms"])]


def _ap(row: dict[str, Any]) -> float:
    """The mean AP where it learned; where it never did, what it scored."""
    return float(row["ap_mean"] if known(row["ap_mean"]) else row["score_mean"])


def _label(result: StudyResult, row: dict[str, Any]) -> str:
    name, size = visible(result.analysis.names[row["name"]]), row["optimizer_state_bytes"]
    return f"{name} ({1e-6 * size:.1f} MB)" if known(size) else name
