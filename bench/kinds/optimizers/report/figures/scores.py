"""AP of each tuning's confirm trials."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.kinds.optimizers.report.result import StudyResult
from bench.report.style import NOTHING_YET, QUIET, RC, WIDTH, Look, ap_axis, legend_below, look, nothing_to_show, save
from bench.trials.status import Status

FIRST_TUNING, LAST_TUNING, MEAN_SHIFT = -0.32, 0.1, 0.3
"""Where an optimizer's tunings begin and end beside its place on the axis, and where its mean stands."""
SEED_WIDTH = 0.05
"""How far the confirm trials of one tuning are apart, at most."""
LABEL_CHARACTERS = 60
"""Of all names together that fit beside each other under the axis; longer ones are slanted."""


def tuning_scores(result: StudyResult, path: Path) -> None:
    """AP of each confirm trial, grouped by tuning, with the mean and its interval beside them."""
    found = result.analysis
    names = [name for name in found.summary["name"] if name in found.tuned.names]
    places = {name: number for number, name in enumerate(result.spec.optimizers)}
    tunings = found.tuned.scores.shape[1] if names else 0
    with plt.rc_context(RC):
        figure, axis = plt.subplots(figsize=(WIDTH, 4.5))
        shifts = np.linspace(FIRST_TUNING, LAST_TUNING, tunings) if tunings > 1 else np.array([FIRST_TUNING / 2])
        for at, name in enumerate(names):
            style = look(places[name])
            for tuning, own in found.seeds[found.seeds["optimizer"] == name].groupby("tuning"):
                _tuning(axis, at + shifts[int(str(tuning))], own, style)
            _mean(axis, at + MEAN_SHIFT, found.summary[found.summary["name"] == name].iloc[0])
        axis.set_ylabel("AP (report split)")
        axis.grid(visible=False, axis="x")
        if names:
            for border in range(1, len(names)):
                axis.axvline(border - 0.5, color=QUIET, linewidth=0.6, alpha=0.4)
            _name_places(axis, [found.names[name] for name in names])
            highest = [found.seeds["ap_counted"].max(), found.summary["ap_high"].max(), 0.0]
            ap_axis(axis, float(np.nanmax(np.array(highest, dtype=float))))
            _legend(figure, found.seeds)
        else:
            nothing_to_show(axis, NOTHING_YET)
        save(figure, path)


def _tuning(axis: Axes, at: float, own: pd.DataFrame, style: Look) -> None:
    """The confirm trials of one tuning beside each other, on a thin line that holds them together."""
    shift = SEED_WIDTH * (np.arange(len(own)) - (len(own) - 1) / 2) / max(len(own) - 1, 1)
    x, aps = at + shift, own["ap_counted"].to_numpy(float)
    if len(own) > 1:
        axis.plot([at, at], [aps.min(), aps.max()], color=style["color"], linewidth=1, alpha=0.5, zorder=1)
    complete = (own["status"] == Status.COMPLETE).to_numpy(bool)
    hollow = complete & own["collapsed"].to_numpy(bool)
    learned = complete & ~hollow
    axis.scatter(x[learned], aps[learned], s=42, alpha=0.8, zorder=2, linewidth=0, **style)
    axis.scatter(
        *(x[hollow], aps[hollow]), s=48, zorder=3, clip_on=False, marker=style["marker"],
        facecolors="white", edgecolors=style["color"],
    )  # fmt: skip
    axis.scatter(x[~complete], aps[~complete], s=50, zorder=3, clip_on=False, color=style["color"], marker="x")


def _name_places(axis: Axes, labels: list[str]) -> None:
    axis.set_xticks(range(len(labels)), labels)
    axis.set_xlim(-0.5, len(labels) - 0.5)
    if sum(map(len, labels)) > LABEL_CHARACTERS:
        plt.setp(axis.get_xticklabels(), rotation=25, ha="right", rotation_mode="anchor")


def _legend(figure: Figure, seeds: pd.DataFrame) -> None:
    handles = [Line2D([], [], color=QUIET, marker="o", linewidth=0, label="a confirm trial")]
    complete = seeds["status"] == Status.COMPLETE
    if (complete & seeds["collapsed"]).any():
        text = "learned nothing"
        handles.append(Line2D([], [], color=QUIET, marker="o", markerfacecolor="white", linewidth=0, label=text))
    if not complete.all():
        text = "diverged or failed: 0"
        handles.append(Line2D([], [], color=QUIET, marker="x", linewidth=0, label=text))
    text = "mean where it learned, 95 % interval"
    handles.append(Line2D([], [], color="black", marker="_", markersize=12, linewidth=0, label=text))
    legend_below(figure, handles)


def _mean(axis: Axes, at: float, row: pd.Series) -> None:
    if pd.notna(row["ap_low"]):
        axis.plot([at, at], [row["ap_low"], row["ap_high"]], color="black", linewidth=1.5, zorder=3)
    axis.plot([at - 0.08, at + 0.08], [row["ap_mean"]] * 2, color="black", linewidth=2.5, zorder=4)
