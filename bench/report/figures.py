"""The figures of an optimizers study. Each draws what the analysis found; a panel without data says so in words."""

import math
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bench.record import Status
from bench.report.result import StudyResult
from bench.report.style import BAND_ALPHA, QUIET, RANGE_ALPHA, RC, WIDTH, log_ticks, look, note, save

CURVE_LABELS = {
    "ap": "AP (report split)",
    "val_loss": "validation loss\n(squared error per cell)",
    "step": "training steps",
    "train_seconds": "training time (s)",
}
CURVE_PANELS = (("ap", "step"), ("ap", "train_seconds"), ("val_loss", "step"), ("val_loss", "train_seconds"))
NOTHING_YET = "no confirm trial\nhas been evaluated"
ALL_ZERO = "AP is 0 everywhere"
MARK_EVERY = {"step": 1, "train_seconds": 0.12}
"""Marks at each evaluation; over seconds, where each seed has its own, evenly (a share of the panel's diagonal)."""
SEED_SHIFT, MEAN_SHIFT = -0.13, 0.17
"""Where the seeds' points and the mean stand beside an optimizer's place on the axis."""
PANEL_COLUMNS = 3
HEADROOM = 1.12


def learning_curves(result: StudyResult, path: Path) -> None:
    """AP and validation loss by steps and by seconds of training: the mean over seeds, and their band."""
    with plt.rc_context(RC):
        figure, axes = plt.subplots(2, 2, figsize=(WIDTH, 7), sharex="col")
        for axis, (value, over) in zip(axes.flat, CURVE_PANELS, strict=True):
            _curve_panel(axis, result, value, over)
        for axis in axes[0]:
            axis.tick_params(labelbottom=True)
        handles = [
            Line2D([], [], label=name, **look(place))
            for place, name in enumerate(result.spec.optimizers)
            if any(name in set(bands["optimizer"]) for bands in result.bands.values())
        ]
        if handles:
            figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), columnspacing=1.4)
        save(figure, path)


def _curve_panel(axis: plt.Axes, result: StudyResult, value: str, over: str) -> None:
    bands = result.bands[value, over]
    for place, name in enumerate(result.spec.optimizers):
        own, style = bands[bands["optimizer"] == name], look(place)
        if own.empty:
            continue
        axis.fill_between(own["x"], own["low"], own["high"], color=style["color"], alpha=BAND_ALPHA, linewidth=0)
        axis.plot(own["x"], own["mean"], markevery=MARK_EVERY[over], **style)
    axis.set_xlabel(CURVE_LABELS[over])
    axis.set_ylabel(CURVE_LABELS[value])
    axis.set_xlim(left=0)
    if bands.empty:
        note(axis, NOTHING_YET)
        axis.set(xticks=[], yticks=[])
    elif value == "ap":
        _ap_axis(axis, bands["high"].max())
    elif (bands["low"] > 0).all():
        axis.set_yscale("log")
        log_ticks(axis.yaxis)


def seed_scores(result: StudyResult, path: Path) -> None:
    """AP of each seed, a seed's points joined across the optimizers, with the mean and its interval beside them."""
    names = [name for name in result.summary["name"] if name in result.scores]
    places = {name: number for number, name in enumerate(result.spec.optimizers)}
    with plt.rc_context(RC):
        figure, axis = plt.subplots(figsize=(WIDTH, 4.5))
        seeds = result.scores[names]
        x = np.arange(len(names))
        for _, row in seeds.iterrows():
            axis.plot(x + SEED_SHIFT, row, color=QUIET, alpha=0.6, linewidth=0.8, zorder=1)
        unfinished = _unfinished(result.seeds)
        for at, name in enumerate(names):
            style = look(places[name])
            own = seeds[name].dropna()
            failed = own.index.isin(unfinished.get(name, ()))
            at_seeds = np.full(len(own), at + SEED_SHIFT)
            axis.scatter(at_seeds[~failed], own[~failed], s=38, alpha=0.75, zorder=2, linewidth=0, **style)
            axis.scatter(at_seeds[failed], own[failed], s=55, zorder=2, clip_on=False, color=style["color"], marker="x")
            _mean(axis, at + MEAN_SHIFT, result.summary[result.summary["name"] == name].iloc[0], style)
        axis.set_ylabel(CURVE_LABELS["ap"])
        axis.grid(visible=False, axis="x")
        if names:
            axis.set_xticks(x, names)
            axis.set_xlim(-0.5, len(names) - 0.5)
            _ap_axis(axis, max(float(seeds.max().max()), float(np.nanmax([result.summary["ap_high"].max(), 0]))))
            handles = [
                Line2D([], [], color=QUIET, marker="o", linewidth=0.8, label="one seed"),
                Line2D([], [], color="black", marker="_", markersize=12, linewidth=0, label="mean, 95 % interval"),
            ]
            if unfinished:
                handles.insert(
                    1, Line2D([], [], color=QUIET, marker="x", linewidth=0, label="diverged or failed: counts as 0")
                )
            figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
        else:
            note(axis, NOTHING_YET)
            axis.set(xticks=[], yticks=[])
        save(figure, path)


def _mean(axis: plt.Axes, at: float, row: pd.Series, style: dict[str, str]) -> None:
    if pd.notna(row["ap_low"]):
        axis.plot([at, at], [row["ap_low"], row["ap_high"]], color=style["color"], linewidth=2.5, zorder=3)
    axis.plot([at - 0.09, at + 0.09], [row["ap_mean"]] * 2, color="black", linewidth=2.5, zorder=4)


def _unfinished(seeds: pd.DataFrame) -> dict[str, list[int]]:
    """Seeds without an AP of their own, by optimizer."""
    failed = seeds[seeds["status"] != Status.COMPLETE]
    return {str(name): list(own["seed"]) for name, own in failed.groupby("optimizer")}


def lr_sensitivity(result: StudyResult, path: Path) -> None:
    """The tune trials' AP by learning rate: a panel an optimizer, all on one scale, the others' points in grey."""
    names = result.spec.optimizers
    columns = min(PANEL_COLUMNS, len(names))
    rows = math.ceil(len(names) / columns)
    found = result.sensitivity
    with plt.rc_context(RC):
        figure, grid = plt.subplots(
            rows, columns, figsize=(WIDTH, 1.2 + 2.5 * rows), sharex=True, sharey=True, squeeze=False
        )
        highest = found["ap"].max() if len(found) else 0.0
        for place, axis in enumerate(grid.flat):
            if place >= len(names):
                axis.set_axis_off()
                continue
            searched = result.spec.spaces.get(names[place], {}).get("lr", {}).get("log")
            _lr_panel(axis, found, names[place], place, searched)
            if place + columns >= len(names):
                axis.tick_params(labelbottom=True)
                axis.set_xlabel("learning rate")
        grid[0, 0].set_xscale("log")
        grid[0, 0].set_ylim(0, highest * HEADROOM if highest > 0 else 1.0)
        for axis in grid[:, 0]:
            axis.set_ylabel("AP (select split)")
        shown = [
            Line2D([], [], color="black", marker="o", linewidth=0, label="tune trial"),
            Line2D([], [], color="black", marker="x", markersize=8, linewidth=0, label="diverged or failed: no AP"),
            Line2D(
                [], [], color="black", marker="o", markersize=12, markerfacecolor="none", linewidth=0, label="chosen"
            ),
            Line2D([], [], color=QUIET, marker=".", linewidth=0, alpha=0.6, label="other optimizers"),
            Patch(color=QUIET, alpha=0.25, label="range searched"),
        ]
        figure.legend(handles=shown, loc="outside lower center", ncols=len(shown), columnspacing=1.2)
        save(figure, path)


def _lr_panel(axis: plt.Axes, found: pd.DataFrame, name: str, place: int, searched: list[float] | None) -> None:
    style = look(place)
    axis.set_title(name, color=style["color"], fontweight="bold")
    if searched:
        axis.axvspan(*searched, color=style["color"], alpha=RANGE_ALPHA, linewidth=0)
    others, own = found[found["optimizer"] != name], found[found["optimizer"] == name]
    finished = others["status"] == Status.COMPLETE
    axis.scatter(others["lr"][finished], others["ap"][finished], s=10, color=QUIET, alpha=0.6, linewidth=0)
    finished = own["status"] == Status.COMPLETE
    # At the very bottom: half of a mark would lie outside the panel.
    axis.scatter(own["lr"][finished], own["ap"][finished], s=45, zorder=3, clip_on=False, **style)
    axis.scatter(
        own["lr"][~finished], own["ap"][~finished], s=55, zorder=3, clip_on=False, color=style["color"], marker="x"
    )
    chosen = own[own["chosen"]]
    axis.scatter(chosen["lr"], chosen["ap"], s=170, zorder=4, clip_on=False, facecolors="none", edgecolors="black")
    if own.empty:
        note(axis, "no tune trial yet" if found.empty or len(others) else "no learning rate")
    elif not finished.any():
        note(axis, "no trial completed")
    elif own["ap"].max() == 0:
        note(axis, "AP 0 in every trial")


def _ap_axis(axis: plt.Axes, highest: float) -> None:
    """From 0 to a little over the highest value; in words where there is nothing above 0."""
    if highest > 0:
        axis.set_ylim(0, min(highest * HEADROOM, 1.0))
    else:
        axis.set_ylim(0, 1)
        note(axis, ALL_ZERO)
