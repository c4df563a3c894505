"""AP against images/s: the front, the picks on it, and what learned nothing."""

import numpy as np
import pandas as pd

from bench.kinds.joint.analysis.found import JointFound
from bench.kinds.joint.analysis.picks import BEST_AP, settings_of
from bench.kinds.joint.analysis.words import (
    AP_LABEL,
    SHORT_ROLES,
    SPEED_LABEL,
    ap_cell,
    floor_text,
    hyperparameters_text,
    optimizer_text,
    short_roles,
)
from bench.kinds.joint.objectives import AXES
from bench.report.cells import run_cell, speed_text
from bench.report.findings import Chart, Draw, Part, Plot, Section, Series, Table
from bench.report.prose import linked
from bench.report.wording import counted
from bench.trials.columns import numbers, rows_of

CHART, FILE = "pareto.png", "front.csv"
COLUMNS = ("AP", "images/s", "optimizer", "hyperparameters", *AXES, "trial")


def front_chart(found: JointFound) -> Chart | None:
    """AP against images/s of the search's trials, the picks ringed and named; None where nothing has learned."""
    shown = _measured(found)
    learned = shown[numbers(shown["ap"]) >= found.floor]
    if not len(learned):
        return None
    below = shown[numbers(shown["ap"]) < found.floor]
    series = [
        Series(
            f"learned nothing (AP under {floor_text(found.floor)})",
            *_places(below),
            Draw.FAINT,
        ),
        *(Series(name, *_places(own), Draw.POINTS, place) for name, place, own in found.by_optimizer(learned)),
    ]
    if len(found.front) and not found.single:
        series.append(Series("front of the search", *_places(found.front), Draw.FRONT))
    series += _rings(found)
    return Chart(CHART, _alt(found, shown, len(below)), [Plot(SPEED_LABEL, AP_LABEL, series)])


def front_caption(found: JointFound) -> str:
    """How the figure is to be read."""
    lost = len(found.trials) - len(found.complete)
    missing = f"; {lost} without a result {'is' if lost == 1 else 'are'} left out" if lost else ""
    rings = "the mean of its fresh seeds" if found.all_confirmed else "a trial of the search"
    front = "" if found.single else " The line is the front: along it, more AP costs speed."
    return f"A point: one search trial, one seed{missing}. A ring: a pick, at {rings}.{front}"


def front_sections(found: JointFound) -> list[Section]:
    """The trials of the front as a table, and with AP alone what AP and speed the trials had; none without a trial."""
    title = "AP and images/s"
    chart = front_chart(found) if found.single else None
    if found.single:
        told = "AP alone was searched for, at equal time: speed pays only where it makes AP."
        return [] if chart is None else [Section(title, [chart, f"{front_caption(found)} {told}"])]
    if not len(found.front):
        return []
    rows = [
        [
            ap_cell(row["ap"]),
            speed_text(row["images_per_s"]),
            found.names[str(row["optimizer"])],
            hyperparameters_text(settings_of(row)),
            *(str(settings_of(row)[name]) for name in AXES),
            f"{row['number']} ({run_cell(row['run_id'])})" if isinstance(row["run_id"], str) else "-",
        ]
        for row in rows_of(found.front)
    ]
    parts: list[Part] = [
        "No trial is better in both AP and images/s than one of these; those that learned nothing (AP under "
        f"{floor_text(found.floor)}) are no choice. One seed does not tell points apart that are close.",
        Table(COLUMNS, rows),
        f"*Trial*: its place in the search, and the beginning of its MLflow run's id. Unrounded: {linked(FILE)}.",
    ]
    return [Section("The front of AP and images/s", parts)]


def front_frame(found: JointFound) -> pd.DataFrame:
    """The front as a table: unrounded."""
    columns = ["number", "trial_id", "run_id", "ap", "images_per_s", "optimizer", "hyperparameters"]
    return found.whole_front[[*columns, *AXES, "learned"]]


def _measured(found: JointFound) -> pd.DataFrame:
    complete = found.complete
    known: np.ndarray = np.isfinite(numbers(complete["ap"])) & np.isfinite(numbers(complete["images_per_s"]))
    return complete[known].reset_index(drop=True)


def _places(trials: pd.DataFrame) -> tuple[list[float], list[float]]:
    return numbers(trials["images_per_s"]).tolist(), numbers(trials["ap"]).tolist()


def _rings(found: JointFound) -> list[Series]:
    """The picks that hold a role: a mark where fresh seeds put them, a ring around it, a name."""
    places: list[tuple[float, float]] = []
    names, marks = [], []
    order = {name: place for place, name in enumerate(found.names)}
    for place, roles in found.held.items():
        pick, fresh = found.picks[place], found.fresh[place]
        speed = fresh.images_per_s.estimate if found.all_confirmed else pick.images_per_s
        if speed is None or not np.isfinite(speed):
            continue
        places.append((speed, found.level(place)))
        names.append(f"{_role(found, roles)}:\n{optimizer_text(pick.settings, found.names)}")
        if found.all_confirmed:
            marks.append(
                Series("", [speed], [found.level(place)], Draw.POINTS, order.get(str(pick.settings["optimizer"])))
            )
    if not places:
        return []
    label = "pick, mean of its fresh seeds" if found.all_confirmed else "pick of the search"
    x, y = zip(*places, strict=True)
    return [*marks, Series(label, x, y, Draw.RINGS, names=names)]


def _role(found: JointFound, roles: list[str]) -> str:
    """What a ring says; who is fastest is not said where speeds are noise."""
    if len(found.held) == 1:
        return "recommended"
    if found.speed_is_noise:
        return SHORT_ROLES[BEST_AP] if BEST_AP in roles else "measured faster"
    return short_roles(roles)


def _alt(found: JointFound, shown: pd.DataFrame, below: int) -> str:
    points = [
        f"{_role(found, roles)}: {optimizer_text(found.picks[place].settings, found.names)}, "
        f"AP {ap_cell(found.level(place))}"
        for place, roles in found.held.items()
    ]
    none = f", {below} of which learned nothing" if below else ""
    return f"AP against images per second of {counted(len(shown), 'search trial')}{none}. " + "; ".join(points)
