"""Figure: learning curves of the confirm trials, one panel an optimizer."""

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bench.kinds.optimizers.measure import Measure
from bench.kinds.optimizers.report.figures.panels import panel_grid
from bench.kinds.optimizers.report.figures.score_axis import set_score_axis
from bench.kinds.optimizers.report.result import StudyResult
from bench.report.style import HEADROOM, INK, NARROW, QUIET, RC, legend_below, log_ticks, series_style
from bench.report.wording import counted
from bench.storage.visible import visible

AP, LOSS = "ap", "val_loss"
POSE_LOSS = "validation loss\n(squared error per cell)"
BELOW_ZERO = 0.03
"""Share of the highest AP by which the axis extends below 0, so that runs that learned nothing are visible."""
QUARTILES_ALPHA, RUN_ALPHA, OTHERS_ALPHA = 0.22, 0.6, 0.55
RUN_WIDTH, LEFT_OUT_WIDTH = 0.9, 1.2
LEFT_OUT = (0, (4, 2))
"""Line style of runs that the median leaves out."""


def has_learning_curves(result: StudyResult) -> bool:
    """Return whether an evaluated confirm trial learned."""
    return bool(result.analysis.run_curves[AP]["learned"].any())


def learning_curves(result: StudyResult) -> Figure:
    """Draw AP along the budget: each run, median and quartiles of the runs that learned, other optimizers' medians in
    grey."""
    return _panels(result, AP)


def has_loss_curves(result: StudyResult) -> bool:
    """Return whether a confirm trial has a validation loss."""
    return len(result.analysis.run_curves[LOSS]) > 0


def loss_curves(result: StudyResult) -> Figure:
    """Draw the validation loss like `learning_curves`."""
    return _panels(result, LOSS)


def _panels(result: StudyResult, value: str) -> Figure:
    analysis = result.analysis
    runs, bands = analysis.run_curves[value], analysis.bands[value]
    if value == AP:
        shown = result.measure.shown
        runs = runs.assign(y=shown(runs["y"]))
        bands = bands.assign(**{name: shown(bands[name]) for name in ("median", "low", "high")})
    loss_label = POSE_LOSS if result.is_pose else "validation loss"
    with_runs = {*runs["optimizer"]}
    names = [name for name in analysis.summary["name"] if name in with_runs]
    with plt.rc_context(RC):
        figure, panels = panel_grid(
            [visible(analysis.names[name]) for name in names],
            [_left_out_text(analysis.seeds[analysis.seeds["optimizer"] == name], runs) for name in names],
            x_label="training time (s)" if analysis.timed else f"training {result.step_unit}",
            y_label=result.measure.axis_label("report") if value == AP else loss_label,
        )
        for axis, name in zip(panels, names, strict=True):
            for _, other in bands[bands["optimizer"] != name].groupby("optimizer"):
                axis.plot(
                    other["x"],
                    other["median"],
                    color=QUIET,
                    alpha=OTHERS_ALPHA,
                    linewidth=1,
                    zorder=1,
                    **_marker(other),
                )
            own, index = runs["optimizer"] == name, result.spec.optimizers.index(name)
            _draw_optimizer(axis, runs[own], bands[bands["optimizer"] == name], index)
        _set_limits(panels[0], value, runs, bands, result.measure)
        legend_below(figure, _legend(runs, bands))
    return figure


def _left_out_text(seeds: pd.DataFrame, runs: pd.DataFrame) -> str:
    """Return ``2 of 6 runs left out``; empty where none is."""
    left_out = int((~seeds["trial_id"].isin(runs["trial_id"][runs["learned"]])).sum())
    return f"{left_out} of {counted(len(seeds), 'run')} left out" if left_out else ""


def _draw_optimizer(axis: Axes, runs: pd.DataFrame, band: pd.DataFrame, index: int) -> None:
    style = series_style(index)
    colour = style["color"]
    for _, run in runs.groupby("trial_id", sort=False):
        if run["learned"].iloc[0]:
            axis.plot(run["x"], run["y"], color=colour, alpha=RUN_ALPHA, linewidth=RUN_WIDTH, zorder=2, **_marker(run))
        else:
            axis.plot(
                run["x"], run["y"], color=colour, linestyle=LEFT_OUT, linewidth=LEFT_OUT_WIDTH, zorder=2, **_marker(run)
            )
            if not run["complete"].iloc[0]:
                axis.plot(run["x"].iloc[-1:], run["y"].iloc[-1:], color=colour, marker="x", zorder=4)
    axis.fill_between(band["x"], band["low"], band["high"], color=colour, alpha=QUARTILES_ALPHA, linewidth=0)
    axis.plot(band["x"], band["median"], zorder=3, markersize=5.5, **style)


def _marker(line: pd.DataFrame) -> dict[str, Any]:
    """Return the style of a marker for a line of a single point, which would not be seen; nothing for others."""
    return {"marker": "o", "markersize": 3.5} if len(line) == 1 else {}


def _set_limits(axis: Axes, value: str, runs: pd.DataFrame, bands: pd.DataFrame, measure: Measure) -> None:
    """Set the axis limits by the runs that learned, for a loss by their quartiles, so that no single run dominates."""
    axis.set_xlim(0, 1.02 * float(runs["x"].max()))
    if value == AP and measure.is_own:
        set_score_axis(axis, runs["y"][runs["complete"]], measure, side="y")
        return
    if value == AP:
        highest = float(runs["y"][runs["learned"]].max())
        axis.set_ylim(-BELOW_ZERO * highest, min(HEADROOM * highest, 1.0 + BELOW_ZERO))
        return
    values = runs["y"] if bands.empty else bands[["low", "high"]].to_numpy()
    low, high = float(values.min()), float(values.max())
    if low > 0 and high > NARROW * low:
        axis.set_yscale("log")
        axis.set_ylim(low / HEADROOM, high * HEADROOM)
        log_ticks(axis.yaxis)
    else:
        room = (HEADROOM - 1) * (high - low) or 1.0
        axis.set_ylim(low - room, high + room)


def _legend(runs: pd.DataFrame, bands: pd.DataFrame) -> list[Artist]:
    learned = runs["learned"]
    handles: list[Artist] = []
    if learned.any():
        handles.append(Line2D([], [], color=INK, marker="o", markersize=5.5, label="median"))
        if (bands["n"] > 1).any():
            handles.append(Patch(color=INK, alpha=QUARTILES_ALPHA, linewidth=0, label="quartiles"))
        handles.append(Line2D([], [], color=INK, alpha=RUN_ALPHA, linewidth=RUN_WIDTH, label="a run"))
    if not learned.all():
        text = "left out: collapsed" if runs["complete"].all() else "left out: collapsed, diverged or failed (x)"
        handles.append(Line2D([], [], color=INK, linestyle=LEFT_OUT, linewidth=LEFT_OUT_WIDTH, label=text))
    if len(bands) and len({*runs["optimizer"]}) > 1:
        handles.append(Line2D([], [], color=QUIET, alpha=OTHERS_ALPHA, linewidth=1, label="other optimizers"))
    return handles
