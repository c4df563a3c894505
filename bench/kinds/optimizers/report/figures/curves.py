"""Learning curves of the confirm trials."""

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from bench.kinds.optimizers.report.result import StudyResult
from bench.report.style import (
    BAND_ALPHA,
    NOTHING_YET,
    RC,
    WIDTH,
    ap_axis,
    line_look,
    log_ticks,
    name_the_optimizers,
    nothing_to_show,
    save,
)

LABELS = {
    "ap": "AP (report split)",
    "val_loss": "validation loss\n(squared error per cell)",
    "step": "training steps",
    "train_seconds": "training time (s)",
}
PANELS = (("ap", "step"), ("ap", "train_seconds"), ("val_loss", "step"), ("val_loss", "train_seconds"))
EVENLY = 0.12
"""Distance of marks (a share of the panel's diagonal) where each seed is evaluated at places of its own."""


def learning_curves(result: StudyResult, path: Path) -> None:
    """AP and validation loss by steps and by seconds of training: the mean over seeds, and their band."""
    with plt.rc_context(RC):
        figure, axes = plt.subplots(2, 2, figsize=(WIDTH, 7), sharex="col")
        for axis, (value, over) in zip(axes.flat, PANELS, strict=True):
            _panel(axis, result, value, over)
        for axis in axes[0]:
            axis.tick_params(labelbottom=True)
        drawn = {name for bands in result.analysis.bands.values() for name in bands["optimizer"]}
        shown = {
            place: result.analysis.names[name] for place, name in enumerate(result.spec.optimizers) if name in drawn
        }
        name_the_optimizers(figure, shown)
        save(figure, path)


def _panel(axis: Axes, result: StudyResult, value: str, over: str) -> None:
    bands = result.analysis.bands[value, over]
    every = 1 if over == "step" and result.spec.steps is not None else EVENLY
    for place, name in enumerate(result.spec.optimizers):
        own, style = bands[bands["optimizer"] == name], line_look(place)
        if own.empty:
            continue
        axis.fill_between(own["x"], own["low"], own["high"], color=style["color"], alpha=BAND_ALPHA, linewidth=0)
        axis.plot(own["x"], own["mean"], markevery=every, **style)
    axis.set_xlabel(LABELS[over])
    axis.set_ylabel(LABELS[value])
    axis.set_xlim(left=0)
    if bands.empty:
        nothing_to_show(axis, NOTHING_YET)
    elif value == "ap":
        ap_axis(axis, bands["high"].max())
    elif (bands["low"] > 0).all():
        axis.set_yscale("log")
        log_ticks(axis.yaxis)
