"""How a joint search went: its trials in their order, the best so far, and how far the front has come."""

import numpy as np
import pandas as pd

from bench.kinds.joint.analysis.found import JointFound
from bench.kinds.joint.analysis.words import AP_LABEL, CHOSEN, SPEED_LABEL, floor_text
from bench.report.findings import Chart, Draw, Part, Plot, Section, Series, Span
from bench.report.prose import linked
from bench.trials.columns import numbers
from bench.trials.status import Status

CHART, HYPERVOLUME_CHART, FILE = "history.png", "hypervolume.png", "history.csv"
NO_RESULT = "no result"


def history_section(found: JointFound) -> list[Section]:
    """How the search went: its trials in their order, and how far the front has come; none before one is measured."""
    chart = history_chart(found)
    if not chart.panels:
        return []
    parts: list[Part] = [
        chart,
        f"The line: the best so far, of trials that learned something (AP {floor_text(found.floor)} or more). "
        f"Crosses: trials without a result.{_fixed_text(found)} Points: {linked(FILE)}.",
    ]
    if not found.single and found.hypervolumes[-1] > 0:
        parts += [
            _hypervolume_chart(found),
            "The area under the front down to the reference point, AP 0 at 0 images/s: a curve that still rises at its "
            "end asks for more trials.",
        ]
    return [Section("How the search went", parts)]


def history_chart(found: JointFound) -> Chart:
    """The search's trials in their order, with the best so far; without panels while nothing is measured."""
    names = ["ap"] if found.single else ["ap", "images_per_s"]
    known = [name for name in names if np.isfinite(numbers(found.complete[name])).any()]
    panels = [
        Plot(
            "search trial",
            AP_LABEL if name == "ap" else SPEED_LABEL,
            _history_series(found, name, names.index(name)),
            spans=_fixed_span(found),
            whole="x",
        )
        for name in known
    ]
    shown = " and ".join("AP" if name == "ap" else "images per second" for name in known)
    alt = f"{shown} of {len(found.trials)} search trials in their order, with the best so far"
    return Chart(CHART, alt, panels)


def _history_series(found: JointFound, name: str, column: int) -> list[Series]:
    series = []
    best = best_so_far(found)[:, column]
    known = np.flatnonzero(best > 0)
    if len(known):
        order = found.trials["number"].to_numpy(float)
        series.append(Series("best so far", order[known].tolist(), best[known].tolist(), Draw.STEPS))
    measured = found.complete[np.isfinite(numbers(found.complete[name]))]
    for optimizer, place, own in found.by_optimizer(measured):
        along = own["number"].astype(float).tolist()
        series.append(Series(optimizer, along, numbers(own[name]).tolist(), Draw.POINTS, place))
    broken = found.trials[found.trials["status"] != Status.COMPLETE]["number"].astype(float).tolist()
    if broken:
        series.append(Series(NO_RESULT, broken, [0.0] * len(broken), Draw.CROSSES))
    return series


def _hypervolume_chart(found: JointFound) -> Chart:
    """How far the front has come, by trials."""
    areas = found.hypervolumes
    order = found.trials["number"].astype(float).tolist()
    series = [Series("hypervolume", order, areas.tolist(), Draw.STEPS)]
    plot = Plot("search trial", "hypervolume (AP x images/s)", series, spans=_fixed_span(found), whole="x")
    alt = f"Hypervolume of the front after each search trial: {areas[-1]:.3g} at the end"
    return Chart(HYPERVOLUME_CHART, alt, [plot])


def best_so_far(found: JointFound) -> np.ndarray:
    """The best of each objective after each number of trials, (trials, 1 or 2); 0 before there is one."""
    return np.maximum.accumulate(np.nan_to_num(found.reached, nan=0.0), axis=0)


def _fixed_span(found: JointFound) -> list[Span]:
    return [Span(0.5, found.fixed + 0.5, "fixed points")] if found.fixed and len(found.trials) else []


def _fixed_text(found: JointFound) -> str:
    if not found.fixed:
        return ""
    which = "The first trial was given" if found.fixed == 1 else f"The first {found.fixed} trials were given"
    return f" {which} (shaded), the others chosen {CHOSEN[found.sampler]}."


def history_frame(found: JointFound) -> pd.DataFrame:
    """The search's trials in their order, with the best so far and the hypervolume."""
    best = best_so_far(found)
    columns = ["number", "trial_id", "optimizer", "status", "ap", "images_per_s"]
    frame = found.trials[columns].assign(best_ap=best[:, 0])
    return frame if found.single else frame.assign(best_images_per_s=best[:, 1], hypervolume=found.hypervolumes)
