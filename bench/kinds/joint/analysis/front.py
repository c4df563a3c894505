"""AP against images/s: the Pareto front, the picks, and the trials that learned nothing."""

import numpy as np
import pandas as pd

from bench.kinds.joint.analysis.picks import BEST_AP, settings_of
from bench.kinds.joint.analysis.results import JointResults
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


def front_chart(results: JointResults) -> Chart | None:
    """Draw AP against images/s of the search trials, with the picks ringed and named; None if no trial learned."""
    shown = _measured(results)
    learned = shown[numbers(shown["ap"]) >= results.floor]
    if not len(learned):
        return None
    below = shown[numbers(shown["ap"]) < results.floor]
    series = [
        Series(
            f"learned nothing (AP under {floor_text(results.floor)})",
            *_coordinates(below),
            Draw.FAINT,
        ),
        *(Series(name, *_coordinates(own), Draw.POINTS, index) for name, index, own in results.by_optimizer(learned)),
    ]
    if len(results.front) and not results.single:
        series.append(Series("front of the search", *_coordinates(results.front), Draw.FRONT))
    series += _rings(results)
    return Chart(CHART, _alt(results, shown, len(below)), [Plot(SPEED_LABEL, AP_LABEL, series)])


def front_caption(results: JointResults) -> str:
    """Explain how to read the figure."""
    lost = len(results.trials) - len(results.complete)
    missing = f"; {lost} without a result {'is' if lost == 1 else 'are'} left out" if lost else ""
    rings = "the mean of its fresh seeds" if results.all_confirmed else "a trial of the search"
    front = "" if results.single else " The line is the front: along it, more AP costs speed."
    return f"A point: one search trial, one seed{missing}. A ring: a pick, at {rings}.{front}"


def front_sections(results: JointResults) -> list[Section]:
    """Return the section with the front's trials as a table; with AP alone, the scatter plot instead.

    Empty without a trial to show.
    """
    title = "AP and images/s"
    chart = front_chart(results) if results.single else None
    if results.single:
        explanation = "The search was for AP alone, at equal training time: speed counts only where it raises AP."
        return [] if chart is None else [Section(title, [chart, f"{front_caption(results)} {explanation}"])]
    if not len(results.front):
        return []
    rows = [
        [
            ap_cell(row["ap"]),
            speed_text(row["images_per_s"]),
            results.names[str(row["optimizer"])],
            hyperparameters_text(settings_of(row)),
            *(str(settings_of(row)[name]) for name in AXES),
            f"{row['number']} ({run_cell(row['run_id'])})" if isinstance(row["run_id"], str) else "-",
        ]
        for row in rows_of(results.front)
    ]
    parts: list[Part] = [
        "No trial beats one of these in both AP and images/s; trials that learned nothing (AP under "
        f"{floor_text(results.floor)}) are left out. Each is one seed, so close points may differ by chance.",
        Table(COLUMNS, rows),
        f"*Trial*: its number in the search, and its shortened MLflow run id. Unrounded: {linked(FILE)}.",
    ]
    return [Section("The front of AP and images/s", parts)]


def front_frame(results: JointResults) -> pd.DataFrame:
    """Return the front as a table, unrounded."""
    columns = ["number", "trial_id", "run_id", "ap", "images_per_s", "optimizer", "hyperparameters"]
    return results.full_front[[*columns, *AXES, "learned"]]


def _measured(results: JointResults) -> pd.DataFrame:
    complete = results.complete
    known: np.ndarray = np.isfinite(numbers(complete["ap"])) & np.isfinite(numbers(complete["images_per_s"]))
    return complete[known].reset_index(drop=True)


def _coordinates(trials: pd.DataFrame) -> tuple[list[float], list[float]]:
    return numbers(trials["images_per_s"]).tolist(), numbers(trials["ap"]).tolist()


def _rings(results: JointResults) -> list[Series]:
    """Return the series of picks that have a role: a mark at the fresh seeds' mean, a ring around it, a name."""
    positions: list[tuple[float, float]] = []
    names, marks = [], []
    order = {name: index for index, name in enumerate(results.names)}
    for index, roles in results.roles_by_pick.items():
        pick, fresh = results.picks[index], results.fresh[index]
        speed = fresh.images_per_s.estimate if results.all_confirmed else pick.images_per_s
        if speed is None or not np.isfinite(speed):
            continue
        positions.append((speed, results.pick_ap(index)))
        names.append(f"{_role(results, roles)}:\n{optimizer_text(pick.settings, results.names)}")
        if results.all_confirmed:
            marks.append(
                Series("", [speed], [results.pick_ap(index)], Draw.POINTS, order.get(str(pick.settings["optimizer"])))
            )
    if not positions:
        return []
    label = "pick, mean of its fresh seeds" if results.all_confirmed else "pick of the search"
    x, y = zip(*positions, strict=True)
    return [*marks, Series(label, x, y, Draw.RINGS, names=names)]


def _role(results: JointResults, roles: list[str]) -> str:
    """Return the text beside a ring; it does not name the fastest if speeds are noise."""
    if len(results.roles_by_pick) == 1:
        return "recommended"
    if results.speed_is_noise:
        return SHORT_ROLES[BEST_AP] if BEST_AP in roles else "measured faster"
    return short_roles(roles)


def _alt(results: JointResults, shown: pd.DataFrame, below: int) -> str:
    points = [
        f"{_role(results, roles)}: {optimizer_text(results.picks[index].settings, results.names)}, "
        f"AP {ap_cell(results.pick_ap(index))}"
        for index, roles in results.roles_by_pick.items()
    ]
    none = f", {below} of which learned nothing" if below else ""
    return f"AP against images per second of {counted(len(shown), 'search trial')}{none}. " + "; ".join(points)
