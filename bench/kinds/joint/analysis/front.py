"""AP against images/s: the front, and the picks on it."""

import numpy as np
import pandas as pd

from bench.kinds.joint.analysis.found import JointFound
from bench.kinds.joint.analysis.picks import settings_of
from bench.kinds.joint.analysis.words import (
    ALL_ZERO,
    AP_LABEL,
    NOBODY,
    SPEED_LABEL,
    ap_cell,
    hyperparameters_text,
    link,
    speed_text,
)
from bench.kinds.joint.objectives import AXES
from bench.report.findings import Chart, Draw, Plot, Section, Series, Table
from bench.trials.columns import numbers, rows_of

CHART, FILE = "pareto.png", "front.csv"
COLUMNS = ("AP", "images/s", "optimizer", "hyperparameters", *AXES, "trial")
RUN_CHARACTERS = 8
"""Of an MLflow run id: enough to find it."""


def front_section(found: JointFound) -> Section:
    """AP against images/s: all trials, the front, the picks."""
    title = "AP and images/s" if found.single else "The Pareto front"
    alt = "AP on the select split against images per second of training, a point for each search trial"
    chart = Chart(CHART, alt, [_front_plot(found)])
    lost = len(found.trials) - len(found.complete)
    missing = f"; {lost} without a result {'has' if lost == 1 else 'have'} none" if lost else ""
    if found.single:
        told = "AP alone was searched for, at equal time: speed pays only where it makes AP."
        return Section(title, [chart, f"A point for each search trial, one seed each{missing}. {told}"])
    caption = (
        f"A point for each search trial, one seed each{missing}. The line is the front: no trial is better in both "
        "than one on it, so that more AP costs speed there; one with AP 0 is nothing to choose. One seed does not tell "
        "points apart that are close."
    )
    if not len(found.front):
        return Section(title, [chart, caption])
    rows = [
        [
            ap_cell(row["ap"]),
            speed_text(row["images_per_s"]),
            found.names[str(row["optimizer"])],
            hyperparameters_text(settings_of(row)),
            *(str(settings_of(row)[name]) for name in AXES),
            f"{row['number']} (`{str(row['run_id'])[:RUN_CHARACTERS]}`)" if isinstance(row["run_id"], str) else "-",
        ]
        for row in rows_of(found.front)
    ]
    told = f"*Trial*: its place in the search, and the beginning of its MLflow run's id. Unrounded: {link(FILE)}."
    return Section(title, [chart, caption, Table(COLUMNS, rows), told])


def _front_plot(found: JointFound) -> Plot:
    shown = found.complete[
        np.isfinite(numbers(found.complete["ap"])) & np.isfinite(numbers(found.complete["images_per_s"]))
    ]
    series = [
        Series(name, numbers(own["images_per_s"]).tolist(), numbers(own["ap"]).tolist(), Draw.POINTS, place)
        for name, place, own in found.by_optimizer(shown)
    ]
    front = found.front
    if len(front) and not found.single:
        edge = (numbers(front["images_per_s"]).tolist(), numbers(front["ap"]).tolist())
        series.append(Series("front", *edge, Draw.FRONT))
    chosen = [pick for pick in found.picks if np.isfinite(pick.images_per_s)]
    if chosen:
        series.append(
            Series(
                "pick",
                [pick.images_per_s for pick in chosen],
                [pick.ap for pick in chosen],
                Draw.RINGS,
                names=["\n".join(pick.roles) for pick in chosen],
            )
        )
    note = "" if found.picks else (ALL_ZERO if len(found.complete) else NOBODY)
    return Plot(SPEED_LABEL, AP_LABEL, series, note=note)


def front_frame(found: JointFound) -> pd.DataFrame:
    """The front as a table: unrounded."""
    columns = ["number", "trial_id", "run_id", "ap", "images_per_s", "optimizer", "hyperparameters"]
    return found.front[[*columns, "num_workers", "pin_memory", "batch_size"]]
