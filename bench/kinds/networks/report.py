"""The report of `posebench networks`: AP, loss and speed of each network in equal time, curves, and drawn samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

from bench.report.cells import markdown_table, number_cell
from bench.report.prose import prose
from bench.report.style import COLOURS, LINE_STYLES, RC, WIDTH, save
from posemodel.atomic_write import replacing

REPORT, RUNS, CURVES, FIGURE = "report.md", "runs.csv", "curves.csv", "curves.png"
COLUMNS = (
    "network",
    "precision",
    "parameters",
    "GMACs",
    "steps",
    "images/s",
    "waiting",
    "AP",
    "validation loss",
    "GPU memory (GB)",
    "status",
)


@dataclass(frozen=True)
class NetworkRun:
    """One network in one precision, trained."""

    network: str
    precision: str
    status: str
    steps: int
    learning_rate: float
    parameters: int
    gmacs: float
    size: int
    metrics: Mapping[str, Any]
    """The last value of everything that training measured."""
    curve: Sequence[Mapping[str, Any]]
    """What was measured on the way, each with its ``step``."""
    picture: str | None
    """The file of the drawn samples."""
    wall_s: float


def write_network_report(
    runs: Sequence[NetworkRun], folder: Path, facts: Mapping[str, Any], machine: Mapping[str, str]
) -> Path:
    """Write all files into ``folder``; returns the path of report.md."""
    table = pd.DataFrame([_row(run) for run in runs])
    curves = pd.DataFrame(
        [{"network": run.network, "precision": run.precision, **point} for run in runs for point in run.curve]
    )
    for name, frame in ((RUNS, table), (CURVES, curves)):
        with replacing(folder / name) as temporary:
            frame.to_csv(temporary, index=False)
    _figure(curves, folder / FIGURE)
    with replacing(folder / REPORT) as temporary:
        temporary.write_text(_markdown(runs, facts, machine), encoding="utf-8")
    return folder / REPORT


def _row(run: NetworkRun) -> dict[str, Any]:
    names = ("network", "precision", "status", "steps", "learning_rate", "parameters", "gmacs", "size", "wall_s")
    return {name: getattr(run, name) for name in names} | dict(run.metrics)


def _markdown(runs: Sequence[NetworkRun], facts: Mapping[str, Any], machine: Mapping[str, str]) -> str:
    pictures = [
        f"### {run.network}, {run.precision}\n\n![People found by {run.network} in {run.precision}]({run.picture})"
        for run in runs
        if run.picture is not None
    ]
    parts = [
        "# The networks in equal time",
        markdown_table(COLUMNS, [_cells(run) for run in runs]),
        prose(
            f"Each for {facts['seconds']:g} s of training on {facts['device']} (evaluations not counted), batches of "
            f"{facts['batch_size']} with {facts['num_workers']} workers, Adam with a rate of each network's own, "
            f"foreground weight {facts['foreground_weight']:g}, data `{facts['data']}` ({facts['images']} training "
            f"images with people; scored on {facts['val_images']} of the val split), one seed ({facts['seed']}): "
            "differences of a few points of AP are no differences. *fp32*: float32; a GPU may round what its "
            "convolutions multiply to TF32, which is PyTorch's default (see what it ran on). *bf16*: convolutions in "
            "bfloat16 by autocast, weights and loss in float32. *Images/s* leave the first step out, whose seconds "
            "(libraries are loaded, kernels chosen) count in the budget. *Waiting*: share of the time in which the "
            "loop waited for a batch."
        ),
        *_speedups(runs),
        f"![AP and validation loss over seconds of training]({FIGURE})",
        "## What they find",
        prose("Coloured: predicted (left blue, right vermilion); thin and white: annotated."),
        *pictures,
        "## What it ran on",
        markdown_table(("", "value"), [[key, str(value)] for key, value in machine.items()]),
        f"## Files\n\n- [{RUNS}]({RUNS}): the table, unrounded\n- [{CURVES}]({CURVES}): every window and evaluation",
    ]
    return "\n\n".join(parts) + "\n"


def _cells(run: NetworkRun) -> list[str]:
    found = run.metrics
    return [
        run.network,
        run.precision,
        f"{run.parameters:,}",
        f"{run.gmacs:.1f}",
        str(run.steps),
        number_cell(found.get("images_per_s"), ".3g"),
        number_cell(found.get("data_wait_share"), ".0f", " %", scale=100),
        number_cell(found.get("ap"), ".3f"),
        number_cell(found.get("val_loss"), ".4f"),
        number_cell(found.get("gpu_memory_peak_bytes"), ".1f", scale=1e-9),
        run.status.replace("_", " "),
    ]


def _speedups(runs: Sequence[NetworkRun]) -> list[str]:
    """How much faster bf16 is, network by network."""
    speeds = {(run.network, run.precision): run.metrics.get("images_per_s") for run in runs}
    told = [
        f"{network} {bf16 / speeds[network, 'fp32']:.2f} times"
        for (network, precision), bf16 in speeds.items()
        if precision == "bf16" and bf16 and speeds.get((network, "fp32"))
    ]
    return [prose(f"Images/s in bf16 against fp32: {', '.join(told)}.")] if told else []


def _figure(curves: pd.DataFrame, path: Path) -> None:
    """AP and validation loss over seconds of training: a colour a network, a line style a precision."""
    networks, precisions = list(dict.fromkeys(curves["network"])), list(dict.fromkeys(curves["precision"]))
    with plt.rc_context(RC):
        figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 4.4))
        for axis, value, label in zip(axes, ("ap", "val_loss"), ("AP", "validation loss"), strict=True):
            for (network, precision), own in curves.groupby(["network", "precision"], sort=False):
                known = own.reindex(columns=["train_seconds", value]).dropna()
                axis.plot(
                    known["train_seconds"],
                    known[value],
                    color=COLOURS[networks.index(network) % len(COLOURS)],
                    ls=LINE_STYLES[precisions.index(precision) % len(LINE_STYLES)],
                    marker="o",
                    label=f"{network}, {precision}",
                )
            axis.set(xlabel="seconds of training", ylabel=label, ylim=(0, None))
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        save(figure, path)
