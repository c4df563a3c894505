"""What an optimizer costs against what it reaches."""

from pathlib import Path
from typing import cast

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bench.kinds.optimizers.report.result import StudyResult
from bench.report.style import NOTHING_YET, RC, WIDTH, Look, ap_axis, look, name_the_optimizers, nothing_to_show, save

PANELS = (("optimizer_step_ms", 1.0, "optimizer step (ms)"), ("optimizer_state_bytes", 1e-6, "optimizer state (MB)"))
"""Column of the summary, what makes its unit the label's, the label."""
MARK_GAP = 0.025
"""Least distance of two marks, as a share of the highest cost."""


def cost(result: StudyResult, path: Path) -> None:
    """Mean AP with its interval against the optimizer's own step time and against the memory of its state."""
    found = result.analysis
    confirmed = found.summary[found.summary["tunings"] > 0].set_index("name")
    confirmed = confirmed.assign(ap_mean=confirmed["ap_mean"].fillna(confirmed["score_mean"]))  # where none learned
    with plt.rc_context(RC):
        figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 4.6), sharey=True)
        for axis, (column, scale, label) in zip(axes, PANELS, strict=True):
            known = confirmed[np.isfinite(confirmed[column].astype(float))]
            shown = _beside(scale * known[column].astype(float))
            for place, name in enumerate(result.spec.optimizers):
                if name in known.index:
                    _point(axis, shown[name], cast("pd.Series", known.loc[name]), look(place))
            axis.set_xlabel(label)
            if known.empty:
                nothing_to_show(axis, NOTHING_YET if confirmed.empty else "not measured")
            else:
                axis.set_xlim(0, 1.1 * scale * known[column].max() or 1.0)
        axes[0].set_ylabel("AP (report split)")
        costs = confirmed[[column for column, _, _ in PANELS]].astype(float).to_numpy()
        drawn = set(confirmed.index[np.isfinite(costs).any(axis=1)])
        if drawn:
            ap_axis(axes[0], float(np.nanmax([confirmed["ap_high"].max(), confirmed["ap_mean"].max()])))
        places = enumerate(result.spec.optimizers)
        name_the_optimizers(figure, {place: found.names[name] for place, name in places if name in drawn})
        save(figure, path)


def _beside(costs: pd.Series) -> dict[str, float]:
    """Where marks stand: those of nearly equal costs beside each other, so that their intervals can be told apart."""
    gap = MARK_GAP * float(costs.max()) if len(costs) else 0.0
    groups: list[list[str]] = []
    for name, value in costs.sort_values().items():
        if groups and value - costs[groups[-1][-1]] < gap:
            groups[-1].append(str(name))
        else:
            groups.append([str(name)])
    middles = {name: (costs[own].mean(), at - (len(own) - 1) / 2) for own in groups for at, name in enumerate(own)}
    return {name: float(middle + gap * at) for name, (middle, at) in middles.items()}


def _point(axis: Axes, x: float, row: pd.Series, style: Look) -> None:
    if pd.notna(row["ap_low"]):
        axis.plot([x, x], [row["ap_low"], row["ap_high"]], color=style["color"], linewidth=2, zorder=2)
    axis.scatter([x], [row["ap_mean"]], s=70, zorder=3, alpha=0.9, clip_on=False, **style)
