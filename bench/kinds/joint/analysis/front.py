"""The score against speed: the Pareto front, the picks, and the trials that learned nothing."""

import numpy as np
import pandas as pd

from bench.kinds.joint.analysis.picks import BEST_AP, settings_of
from bench.kinds.joint.analysis.results import JointResults
from bench.kinds.joint.analysis.words import (
    hyperparameters_text,
    optimizer_text,
    role_name,
    score_label,
    short_roles,
    speed_label,
)
from bench.kinds.joint.objectives import AXES
from bench.report.cells import run_cell, speed_text
from bench.report.findings import Chart, Draw, Part, Plot, Section, Series, Table
from bench.report.prose import linked
from bench.report.wording import counted
from bench.trials.columns import numbers, rows_of

CHART, FILE = "pareto.png", "front.csv"
COLUMNS = ("optimizer", "hyperparameters", *AXES, "trial")
"""Columns of the front's table after score and speed."""


def front_chart(results: JointResults) -> Chart | None:
    """Draw score against speed of the search trials, with the picks ringed and named; None if no trial learned."""
    shown = _measured(results)
    learned = shown[results.learned(shown)]
    if not len(learned):
        return None
    below = shown[~results.learned(shown)]
    series = [
        Series(
            f"learned nothing ({results.measure.below_floor})",
            *_coordinates(results, below),
            Draw.FAINT,
        ),
        *(
            Series(name, *_coordinates(results, own), Draw.POINTS, index)
            for name, index, own in results.by_optimizer(learned)
        ),
    ]
    if len(results.front) and not results.single:
        draw = Draw.FRONT if results.measure.score.sign > 0 else Draw.LOW_FRONT
        series.append(Series("front of the search", *_coordinates(results, results.front), draw))
    series += _rings(results)
    labels = speed_label(results.measure), score_label(results.measure)
    plot = Plot(*labels, series, zero="y" if results.measure.is_ap else "")
    return Chart(CHART, _alt(results, shown, len(below)), [plot])


def front_caption(results: JointResults) -> str:
    """Explain how to read the figure."""
    lost = len(results.trials) - len(results.complete)
    missing = f"; {lost} without a result {'is' if lost == 1 else 'are'} left out" if lost else ""
    rings = "the mean of its fresh seeds" if results.all_confirmed else "a trial of the search"
    front = "" if results.single else f" The line is the front: along it, {_better(results)} costs speed."
    return f"A point: one search trial, one seed{missing}. A ring: a pick, at {rings}.{front}"


def _better(results: JointResults) -> str:
    """`more AP`, or `a lower error`."""
    measure = results.measure
    return f"more {measure.name}" if measure.is_ap else f"a {measure.best.removesuffix('est')}er {measure.name}"


def front_sections(results: JointResults) -> list[Section]:
    """Return the section with the front's trials as a table; with the score alone, the scatter plot instead.

    Empty without a trial to show.
    """
    measure = results.measure
    title = f"{measure.name} and {measure.speed}"
    chart = front_chart(results) if results.single else None
    if results.single:
        verb = "raises" if measure.score.sign > 0 else "lowers"
        explanation = (
            f"The search was for {measure.name} alone, at equal training time: speed counts only where it {verb} "
            f"{measure.name}."
        )
        return [] if chart is None else [Section(title, [chart, f"{front_caption(results)} {explanation}"])]
    if not len(results.front):
        return []
    rows = [
        [
            measure.cell(row[measure.column]),
            speed_text(row["images_per_s"]),
            results.names[str(row["optimizer"])],
            hyperparameters_text(settings_of(row)),
            *(str(settings_of(row)[name]) for name in AXES),
            f"{row['number']} ({run_cell(row['run_id'])})" if isinstance(row["run_id"], str) else "-",
        ]
        for row in rows_of(results.front)
    ]
    parts: list[Part] = [
        f"No trial beats one of these in both {measure.name} and {measure.speed}; trials that learned nothing "
        f"({measure.below_floor}) are left out. Each is one seed, so close points may differ by chance.",
        Table((measure.name, measure.speed, *COLUMNS), rows),
        f"*Trial*: its number in the search, and its shortened MLflow run id. Unrounded: {linked(FILE)}.",
        *results.speed_notes,
        *results.schedule_notes,
    ]
    return [Section(f"The front of {measure.name} and {measure.speed}", parts)]


def front_frame(results: JointResults) -> pd.DataFrame:
    """Return the front as a table, unrounded."""
    columns = ["number", "trial_id", "run_id", results.measure.column, "images_per_s", "optimizer", "hyperparameters"]
    frame = results.full_front[[*columns, *AXES, "learned"]]
    if not results.other_schedules:
        return frame
    return frame.assign(schedule=[results.schedule_fields(name)["schedule"] for name in frame["optimizer"]])


def _measured(results: JointResults) -> pd.DataFrame:
    complete = results.complete
    measured = numbers(complete[results.measure.column]), numbers(complete["images_per_s"])
    known: np.ndarray = np.isfinite(np.vstack(measured)).all(axis=0)
    return complete.loc[known].reset_index(drop=True)


def _coordinates(results: JointResults, trials: pd.DataFrame) -> tuple[list[float], list[float]]:
    return numbers(trials["images_per_s"]).tolist(), numbers(trials[results.measure.column]).tolist()


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
        positions.append((speed, results.pick_score(index)))
        names.append(f"{_role(results, roles)}:\n{optimizer_text(pick.settings, results.names)}")
        if results.all_confirmed:
            colour = order.get(str(pick.settings["optimizer"]))
            marks.append(Series("", [speed], [results.pick_score(index)], Draw.POINTS, colour))
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
        return role_name(BEST_AP, results.measure) if BEST_AP in roles else "measured faster"
    return short_roles(roles, results.measure)


def _alt(results: JointResults, shown: pd.DataFrame, below: int) -> str:
    points = [
        f"{_role(results, roles)}: {optimizer_text(results.picks[index].settings, results.names)}, "
        f"{results.measure.name} {results.measure.cell(results.pick_score(index))}"
        for index, roles in results.roles_by_pick.items()
    ]
    none = f", {below} of which learned nothing" if below else ""
    what = f"{results.measure.title} against {results.measure.samples} per second"
    return f"{what} of {counted(len(shown), 'search trial')}{none}. " + "; ".join(points)
