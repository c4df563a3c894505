"""How a joint search went: its trials in their order, the best so far, and how far the front has come."""

import numpy as np
import pandas as pd

from bench.kinds.joint.analysis.found import JointFound
from bench.kinds.joint.analysis.words import ALL_ZERO, AP_LABEL, CHOSEN, NOBODY, SPEED_LABEL, link
from bench.report.findings import Chart, Draw, Part, Plot, Section, Series, Span
from bench.trials.columns import numbers
from bench.trials.status import Status

CHART, HYPERVOLUME_CHART, FILE = "history.png", "hypervolume.png", "history.csv"
NO_RESULT = "no result"


def history_section(found: JointFound) -> Section:
    """How the search went: the trials in their order, with the best so far."""
    alt = "AP and images per second of the search trials in their order, with the best so far"
    names = ["ap"] if found.single else ["ap", "images_per_s"]
    spans = _fixed_span(found)
    panels = [
        Plot(
            "search trial",
            AP_LABEL if name == "ap" else SPEED_LABEL,
            _history_series(found, name, column),
            spans=spans,
            whole="x",
            note="" if len(found.complete) else NOBODY,
        )
        for column, name in enumerate(names)
    ]
    parts: list[Part] = [
        Chart(CHART, alt, panels),
        f"The line: the best so far (images/s: of trials with an AP above 0). Crosses: trials without a result."
        f"{_fixed_text(found)} Points: {link(FILE)}.",
    ]
    return Section("How the search went", parts)


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
    if broken and len(measured):
        series.append(Series(NO_RESULT, broken, [0.0] * len(broken), Draw.CROSSES))
    return series


def hypervolume_section(found: JointFound) -> Section:
    """How far the front has come, by trials."""
    areas = found.hypervolumes
    order = found.trials["number"].astype(float).tolist()
    series = [Series("hypervolume", order, areas.tolist(), Draw.STEPS)] if len(found.picks) else []
    note = ALL_ZERO if len(found.complete) else NOBODY
    plot = Plot(
        "search trial",
        "hypervolume (AP x images/s)",
        series,
        spans=_fixed_span(found),
        whole="x",
        note="" if series else note,
    )
    alt = "Hypervolume of the front after each number of search trials"
    return Section(
        "What more trials would bring",
        [
            Chart(HYPERVOLUME_CHART, alt, [plot]),
            "The area under the front down to the reference point, AP 0 at 0 images/s: a curve that still rises at its "
            f"end asks for more trials.{_fixed_text(found)} Points: {link(FILE)}.",
        ],
    )


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
