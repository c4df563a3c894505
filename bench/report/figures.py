"""The figures of an optimizers study."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd

from bench.report.result import StudyResult
from bench.report.style import DPI, RC, look

SEED_ALPHA = 0.25


def learning_curves(result: StudyResult, path: Path) -> None:
    """AP on the report split by steps and by seconds of training, and the validation loss by steps.

    Thin lines are seeds, thick ones their mean; only confirm trials.
    """
    confirm = result.records[result.records["phase"] == "confirm"]
    curves = result.curves.merge(confirm[["trial_id", "optimizer", "seed"]], on="trial_id")
    panels = (
        ("ap", "step", "steps", "AP (report split)"),
        ("ap", "train_seconds", "training time (s)", "AP (report split)"),
        ("val_loss", "step", "steps", "validation loss"),
    )
    with plt.rc_context(RC):
        figure, axes = plt.subplots(1, 3, figsize=(13, 4))
        for axis, (value, over, x_label, y_label) in zip(axes, panels, strict=True):
            for place, name in enumerate(result.spec.optimizers):
                own = curves[(curves["optimizer"] == name) & curves[value].notna()]
                if len(own):
                    _draw(axis, own, over, value, name, place)
            axis.set_xlabel(x_label)
            axis.set_ylabel(y_label)
            axis.set_xlim(left=0)
            if value == "ap":
                axis.set_ylim(bottom=0)
            elif (curves["val_loss"].dropna() > 0).any():
                axis.set_yscale("log")
        handles, labels = axes[2].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels) or 1)
        figure.savefig(path, dpi=DPI)
        plt.close(figure)


def _draw(axis: plt.Axes, own: pd.DataFrame, over: str, value: str, name: str, place: int) -> None:
    style = look(place)
    for _, seed in own.groupby("trial_id"):
        axis.plot(seed[over], seed[value], color=style["color"], alpha=SEED_ALPHA, linewidth=1)
    by_step = own.groupby("step")[[over, value]].mean() if over != "step" else own.groupby("step")[[value]].mean()
    x = by_step[over] if over != "step" else by_step.index
    axis.plot(x, by_step[value], label=name, linewidth=2, markersize=4, **style)
