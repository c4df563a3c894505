"""What the records of a networks study say: AP, loss and speed of each network in equal time. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.report.cells import number_cell
from bench.report.findings import Chart, DataFile, Draw, Findings, Picture, Plot, Section, Series, Table
from bench.trials.status import Status

RUNS, CURVES, FIGURE = "runs.csv", "curves.csv", "curves.png"
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
    """Side of the input in pixels."""
    metrics: Mapping[str, float]
    """The last value of everything that training measured."""
    sheet: bytes | None
    """Sample images with what the network finds in them, a JPEG file; None where there are none."""
    wall_s: float
    """Seconds of the trial, starting and scoring included."""

    @property
    def picture(self) -> str | None:
        """The file of the sample images."""
        return None if self.sheet is None else f"{self.network}-{self.precision}.jpg"

    def row(self) -> dict[str, Any]:
        """All but metrics and images."""
        names = ("network", "precision", "status", "steps", "learning_rate", "parameters", "gmacs", "size", "wall_s")
        return {name: getattr(self, name) for name in names}


def network_findings(runs: Sequence[NetworkRun], curves: pd.DataFrame, *, terms: str) -> Findings:
    """What to know of the networks.

    Args:
        runs: Those that have ended, in the study's order.
        curves: A row for each window and evaluation: network, precision, train_seconds, ap, val_loss, and others.
        terms: What all have in common, in sentences.
    """
    return Findings(
        answer=_answer(runs),
        sections=[
            Section("", [Table(COLUMNS, [_cells(run) for run in runs]), terms, *_speedups(runs), _chart(curves)]),
            Section("What they find", _pictures(runs)),
        ],
        document={
            "runs": [run.row() | {"metrics": run.metrics, "curve": None, "picture": run.picture} for run in runs]
        },
        tables_csv={
            RUNS: DataFile(pd.DataFrame([run.row() | dict(run.metrics) for run in runs]), "the table, unrounded"),
            CURVES: DataFile(curves, "every window and evaluation"),
        },
    )


def _answer(runs: Sequence[NetworkRun]) -> str:
    """The highest AP, and that one seed says little."""
    scored = [run for run in runs if run.status == Status.COMPLETE and run.metrics.get("ap") is not None]
    if not scored:
        return "No training is complete yet."
    best = max(scored, key=lambda run: run.metrics["ap"])
    if not best.metrics["ap"]:
        return "No network has an AP above 0: give each more time."
    return (
        f"{best.network} in {best.precision} has the highest AP, {best.metrics['ap']:.3f}. Each was trained with one "
        "seed: treat differences of a few points of AP as noise."
    )


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
    factors = [
        f"{network} {bf16 / base:.2f} times"
        for (network, precision), bf16 in speeds.items()
        if precision == "bf16" and bf16 and (base := speeds.get((network, "fp32")))
    ]
    return [f"Images/s in bf16 against fp32: {', '.join(factors)}."] if factors else []


def _chart(curves: pd.DataFrame) -> Chart:
    """AP and validation loss over seconds of training, a line for each training."""
    panels = []
    rows = zip(curves["network"], curves["precision"], strict=True)
    places = {key: place for place, key in enumerate(dict.fromkeys(rows))}
    for value, label in (("ap", "AP"), ("val_loss", "validation loss")):
        series = []
        for (network, precision), own in curves.groupby(["network", "precision"], sort=False):
            known = own[["train_seconds", value]].dropna()
            name = f"{network}, {precision}"
            place = places[network, precision]
            series.append(Series(name, list(known["train_seconds"]), list(known[value]), Draw.LINE, place))
        panels.append(Plot("seconds of training", label, series))
    return Chart(FIGURE, "AP and validation loss over seconds of training", panels)


def _pictures(runs: Sequence[NetworkRun]) -> list[str | Picture]:
    shown = [
        Picture(run.picture, f"People found by {run.network} in {run.precision}", run.sheet)
        for run in runs
        if run.picture is not None and run.sheet is not None
    ]
    return ["Coloured: predicted (left blue, right vermilion); thin and white: annotated.", *shown]
