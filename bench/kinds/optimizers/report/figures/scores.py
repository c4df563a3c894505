"""AP of each confirm seed."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.kinds.optimizers.report.result import StudyResult
from bench.report.style import NOTHING_YET, QUIET, RC, WIDTH, Look, ap_axis, look, nothing_to_show, save
from bench.trials.status import Status

SEED_SHIFT, MEAN_SHIFT = -0.13, 0.17
"""Where the seeds' points and the mean stand beside an optimizer's place on the axis."""
LABEL_CHARACTERS = 60
"""Of all names together that fit beside each other under the axis; longer ones are slanted."""


def seed_scores(result: StudyResult, path: Path) -> None:
    """AP of each seed, a seed's points joined across the optimizers, with the mean and its interval beside them."""
    found = result.analysis
    names = [name for name in found.summary["name"] if name in found.scores]
    places = {name: number for number, name in enumerate(result.spec.optimizers)}
    with plt.rc_context(RC):
        figure, axis = plt.subplots(figsize=(WIDTH, 4.5))
        seeds = found.scores[names]
        x = np.arange(len(names))
        for _, row in seeds.iterrows():
            axis.plot(x + SEED_SHIFT, row, color=QUIET, alpha=0.6, linewidth=0.8, zorder=1)
        unfinished = _unfinished(found.seeds)
        for at, name in enumerate(names):
            style = look(places[name])
            own = seeds[name].dropna()
            failed = own.index.isin(unfinished.get(name, ()))
            at_seeds = np.full(len(own), at + SEED_SHIFT)
            axis.scatter(at_seeds[~failed], own[~failed], s=38, alpha=0.75, zorder=2, linewidth=0, **style)
            axis.scatter(at_seeds[failed], own[failed], s=55, zorder=2, clip_on=False, color=style["color"], marker="x")
            _mean(axis, at + MEAN_SHIFT, found.summary[found.summary["name"] == name].iloc[0], style)
        axis.set_ylabel("AP (report split)")
        axis.grid(visible=False, axis="x")
        if names:
            _name_places(axis, [found.names[name] for name in names])
            ap_axis(axis, max(float(seeds.max().max()), float(np.nanmax([found.summary["ap_high"].max(), 0]))))
            _legend(figure, with_failures=bool(unfinished))
        else:
            nothing_to_show(axis, NOTHING_YET)
        save(figure, path)


def _name_places(axis: Axes, labels: list[str]) -> None:
    axis.set_xticks(range(len(labels)), labels)
    axis.set_xlim(-0.5, len(labels) - 0.5)
    if sum(map(len, labels)) > LABEL_CHARACTERS:
        plt.setp(axis.get_xticklabels(), rotation=25, ha="right", rotation_mode="anchor")


def _legend(figure: Figure, *, with_failures: bool) -> None:
    handles = [Line2D([], [], color=QUIET, marker="o", linewidth=0.8, label="one seed")]
    if with_failures:
        text = "diverged or failed: counts as 0"
        handles.append(Line2D([], [], color=QUIET, marker="x", linewidth=0, label=text))
    text = "mean, 95 % interval"
    handles.append(Line2D([], [], color="black", marker="_", markersize=12, linewidth=0, label=text))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))


def _mean(axis: Axes, at: float, row: pd.Series, style: Look) -> None:
    if pd.notna(row["ap_low"]):
        axis.plot([at, at], [row["ap_low"], row["ap_high"]], color=style["color"], linewidth=2.5, zorder=3)
    axis.plot([at - 0.09, at + 0.09], [row["ap_mean"]] * 2, color="black", linewidth=2.5, zorder=4)


def _unfinished(seeds: pd.DataFrame) -> dict[str, list[int]]:
    """Seeds without an AP of their own, by optimizer."""
    failed = seeds[seeds["status"] != Status.COMPLETE]
    return {str(name): list(own["seed"]) for name, own in failed.groupby("optimizer")}
