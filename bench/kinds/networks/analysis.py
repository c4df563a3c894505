"""Findings of a networks study: AP, loss and speed of each network after equal training time. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.report.cells import known, number_cell, speed_text
from bench.report.findings import Chart, Code, DataFile, Draw, Findings, Part, Picture, Plot, Section, Series, Table
from bench.report.text import literal
from bench.report.wording import ap_text, enumerate_items
from bench.trials.score_scale import AP_FLOOR
from bench.trials.status import Status

RUNS, CURVES, FIGURE, LOSS_FIGURE = "runs.csv", "curves.csv", "curves.png", "loss.png"
COLUMNS = ("network", "precision", "AP", "images/s", "waiting", "memory")
MORE_COLUMNS = ("network", "precision", "parameters", "GMACs", "steps", "validation loss", "seconds in all", "status")
SECONDS = "training (s)"
PEOPLE = "Coloured: predicted (left blue, right vermilion); thin and white: annotated."


@dataclass(frozen=True)
class NetworkRun:
    """The training of one network in one precision."""

    network: str
    precision: str
    status: str
    steps: int
    learning_rate: float
    parameters: int | None
    """Number of parameters; None, as the next two, if a user's class is not found and no training of it is complete."""
    gmacs: float | None
    size: int | None
    """Side of the input in pixels."""
    metrics: Mapping[str, float]
    """Last value of every metric that training measured."""
    sheet: bytes | None
    """JPEG file of sample images with the people that the network finds; None if there are none."""
    wall_s: float
    """Seconds of the trial, including start-up and scoring."""
    command: str = ""
    """`posebench train` command that repeats this training."""

    @property
    def name(self) -> str:
        """Name in figures and sentences, as plain text: `small in bf16`."""
        return f"{self.network} in {self.precision}"

    @property
    def ap(self) -> float | None:
        """AP of a complete training; None for any other."""
        value = self.metrics.get("ap") if self.status == Status.COMPLETE else None
        return None if value is None or not math.isfinite(value) else value

    @property
    def picture(self) -> str | None:
        """File name of the sample images; None if there are none."""
        return None if self.sheet is None else f"{self.network.replace(':', '.')}-{self.precision}.jpg"

    def row(self) -> dict[str, Any]:
        """Return all fields but the metrics, the sample images and the command."""
        names = ("network", "precision", "status", "steps", "learning_rate", "parameters", "gmacs", "size", "wall_s")
        return {name: getattr(self, name) for name in names}


def network_findings(
    runs: Sequence[NetworkRun], curves: pd.DataFrame, *, terms: str, seconds: float, floor: float = AP_FLOOR
) -> Findings:
    """Build the findings of a networks study.

    Args:
        runs: The trainings that have ended, in the study's order.
        curves: A row for each window and evaluation: network, precision, train_seconds, ap, val_loss, and others.
        terms: Sentences on the conditions that all trainings share.
        seconds: Training time of each.
        floor: The AP under which a training has learned nothing: no such network is recommended.
    """
    best = _best(runs, floor)
    return Findings(
        answer=_answer(runs, best, seconds=seconds, floor=floor),
        sections=_main(runs, best),
        paste=[Code("", best.command)] if best is not None and best.command else (),
        sureness=_sureness(runs, floor) if best is not None else "",
        figure=_chart(FIGURE, "ap", "AP", curves, runs) if best is not None else None,
        appendix=_appendix(runs, best, curves, terms),
        metrics=_metrics(best),
        document={
            "runs": [run.row() | {"metrics": run.metrics, "curve": None, "picture": run.picture} for run in runs],
            "recommended": None if best is None else {"network": best.network, "precision": best.precision},
        },
        tables_csv={
            RUNS: DataFile(pd.DataFrame([run.row() | dict(run.metrics) for run in runs]), "the table, unrounded"),
            CURVES: DataFile(curves, "a row for each window of training and each evaluation"),
        },
    )


def _best(runs: Sequence[NetworkRun], floor: float) -> NetworkRun | None:
    """Return the training with the highest AP; None if none has learned anything."""
    learned = [run for run in runs if run.ap is not None and run.ap >= floor]
    return max(learned, key=lambda run: run.ap or 0.0, default=None)


def _answer(runs: Sequence[NetworkRun], best: NetworkRun | None, *, seconds: float, floor: float) -> str:
    """Name the network with the highest AP, and warn that one seed says little."""
    if best is not None:
        speed = best.metrics.get("images_per_s")
        at = f", at {speed_text(speed)} images/s" if known(speed) else ""
        if sum(run.ap is not None for run in runs) == 1:
            return (
                f"Only {literal(best.name)} has a result: AP {ap_text(best.ap or 0.0)} after {seconds:g} s of "
                f"training{at}. There is nothing to compare it with."
            )
        return (
            f"Try {literal(best.name)} first: the highest AP, {ap_text(best.ap or 0.0)}, after {seconds:g} s of "
            f"training{at}. One seed each: a lead may be luck."
        )
    if not runs:
        return "No training is complete yet."
    if not any(run.ap is not None for run in runs):
        return f"Nothing to recommend: {_none_complete(len(runs))}."
    return (
        f"Nothing to recommend: in {seconds:g} s of training no network reached AP {floor:g}, under which it has "
        "learned nothing. Give each more time."
    )


def _none_complete(count: int) -> str:
    return "the one training so far has no result" if count == 1 else f"none of the {count} trainings has a result"


def _sureness(runs: Sequence[NetworkRun], floor: float) -> str:
    none = [literal(run.name) for run in runs if run.ap is not None and run.ap < floor]
    sentences = [
        "Each was trained once, so the variation of AP between seeds is not known, and at one learning rate that "
        "was not tuned for these data.",
        *(
            [f"These had not begun to learn in that time (AP under {floor:g}): {enumerate_items(none)}."]
            if none
            else []
        ),
        "More time may change the order.",
    ]
    return " ".join(sentences)


def _metrics(best: NetworkRun | None) -> dict[str, float]:
    if best is None:
        return {}
    measured = {"ap": best.ap, "images_per_s": best.metrics.get("images_per_s")}
    return {name: value for name, value in measured.items() if value is not None and math.isfinite(value)}


def _main(runs: Sequence[NetworkRun], best: NetworkRun | None) -> list[Section]:
    if not runs:
        return []
    explanation = "*Images/s*: without the first step. *Waiting*: share of the time that training waited for a batch."
    parts: list[Part] = [Table(COLUMNS, [_cells(run) for run in runs]), explanation, *_speedups(runs)]
    shown = [run for run in runs if run is best and run.sheet is not None]
    samples = [Section(f"What {run.name} finds", [*_pictures([run]), PEOPLE]) for run in shown]
    return [Section("", parts), *samples]


def _appendix(runs: Sequence[NetworkRun], best: NetworkRun | None, curves: pd.DataFrame, terms: str) -> list[Section]:
    loss = _chart(LOSS_FIGURE, "val_loss", "validation loss", curves, runs)
    others = _pictures([run for run in runs if run is not best])
    more = Table(MORE_COLUMNS, [_more_cells(run) for run in runs])
    return [
        Section("How they were trained", [*([terms] if terms else []), *([more] if runs else [])]),
        *([Section("Validation loss", [loss])] if loss is not None else []),
        *([Section(f"What {'they' if best is None else 'the others'} find", [*others, PEOPLE])] if others else []),
    ]


def _cells(run: NetworkRun) -> list[str]:
    metrics = run.metrics
    return [
        run.network,
        run.precision,
        number_cell(run.ap, ".3f") if run.status == Status.COMPLETE else run.status.replace("_", " "),
        speed_text(metrics.get("images_per_s")) if run.steps > 1 else "-",
        number_cell(metrics.get("data_wait_share"), ".0f", " %", scale=100),
        number_cell(metrics.get("gpu_memory_peak_bytes"), ".1f", " GB", scale=1e-9),
    ]


def _more_cells(run: NetworkRun) -> list[str]:
    return [
        run.network,
        run.precision,
        number_cell(run.parameters, ",.0f"),
        number_cell(run.gmacs, ".1f"),
        str(run.steps),
        number_cell(run.metrics.get("val_loss"), ".4f"),
        f"{run.wall_s:.0f}",
        run.status.replace("_", " "),
    ]


def _speedups(runs: Sequence[NetworkRun]) -> list[str]:
    """Say for each network how much faster bf16 is than fp32."""
    speeds = {(run.network, run.precision): run.metrics.get("images_per_s") for run in runs}
    factors = [
        f"{literal(network)} {bf16 / base:.2f} times"
        for (network, precision), bf16 in speeds.items()
        if precision == "bf16" and bf16 and (base := speeds.get((network, "fp32")))
    ]
    return [f"Images/s in bf16 against fp32: {', '.join(factors)}."] if factors else []


def _chart(file: str, value: str, label: str, curves: pd.DataFrame, runs: Sequence[NetworkRun]) -> Chart | None:
    """Draw a value over seconds of training, a line for each training; None if it was never measured."""
    series = []
    for index, run in enumerate(runs):
        own = curves[(curves["network"] == run.network) & (curves["precision"] == run.precision)]
        shown = own[["train_seconds", value]].dropna()
        if len(shown):
            line = list(shown["train_seconds"]), list(shown[value])
            series.append(Series(f"{run.network}, {run.precision}", *line, Draw.LINE, index))
    if not series:
        return None
    ends = ", ".join(f"{each.label} {each.y[-1]:.3f}" for each in series)
    return Chart(file, f"{label} over seconds of training; at the end: {ends}", [Plot(SECONDS, label, series)])


def _pictures(runs: Sequence[NetworkRun]) -> list[Part]:
    return [
        Picture(run.picture, f"People found by {run.name}", run.sheet)
        for run in runs
        if run.picture is not None and run.sheet is not None
    ]
