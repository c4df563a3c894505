"""Progress of a joint search: its trials in order, the best so far, and the hypervolume of the front."""

import numpy as np
import pandas as pd

from bench.kinds.joint.analysis.results import JointResults
from bench.kinds.joint.analysis.words import CHOSEN, score_label, speed_label
from bench.report.findings import Chart, Draw, Part, Plot, Section, Series, Span
from bench.report.prose import linked
from bench.trials.columns import numbers
from bench.trials.status import Status

CHART, HYPERVOLUME_CHART, FILE = "history.png", "hypervolume.png", "history.csv"
NO_RESULT = "no result"


def history_section(results: JointResults) -> list[Section]:
    """Return the section on the search's progress; none before a trial is measured."""
    chart = history_chart(results)
    if not chart.panels:
        return []
    measure = results.measure
    reached = f"{measure.name} {measure.floor_text} or {'more' if measure.score.sign > 0 else 'less'}"
    parts: list[Part] = [
        chart,
        f"The line: the best so far, of trials that learned something ({reached}). "
        f"Crosses: trials without a result.{_fixed_text(results)} Points: {linked(FILE)}.",
    ]
    if not results.single and results.hypervolumes[-1] > 0:
        parts += [
            _hypervolume_chart(results),
            f"The area {'under' if measure.is_ap else 'between'} the front {'down to' if measure.is_ap else 'and'} the "
            f"reference point, {measure.chance_text} at 0 {measure.speed}: if the curve still rises at "
            "its end, more trials may help.",
        ]
    return [Section("How the search went", parts)]


def history_chart(results: JointResults) -> Chart:
    """Draw the search trials in order with the best so far; without panels while nothing is measured."""
    score = results.measure.column
    names = [score] if results.single else [score, "images_per_s"]
    known = [name for name in names if np.isfinite(numbers(results.complete[name])).any()]
    panels = [
        Plot(
            "search trial",
            score_label(results.measure) if name == score else speed_label(results.measure),
            _history_series(results, name, names.index(name)),
            spans=_fixed_span(results),
            integer="x",
            zero="y" if results.measure.is_ap or name != score else "",
        )
        for name in known
    ]
    shown = " and ".join(
        results.measure.title if name == score else f"{results.measure.samples} per second" for name in known
    )
    alt = f"{shown} of {len(results.trials)} search trials in their order, with the best so far"
    return Chart(CHART, alt, panels)


def _history_series(results: JointResults, name: str, column: int) -> list[Series]:
    series = []
    best = best_so_far(results)[:, column]
    known = np.flatnonzero(np.isfinite(np.fmax.accumulate(results.learned_objectives[:, column], axis=0)))
    if len(known):
        order = results.trials["number"].to_numpy(float)
        series.append(Series("best so far", order[known].tolist(), best[known].tolist(), Draw.STEPS))
    measured = results.complete[np.isfinite(numbers(results.complete[name]))]
    for optimizer, index, own in results.by_optimizer(measured):
        along = own["number"].astype(float).tolist()
        series.append(Series(optimizer, along, numbers(own[name]).tolist(), Draw.POINTS, index))
    broken = results.trials[results.trials["status"] != Status.COMPLETE]["number"].astype(float).tolist()
    if broken:
        nothing = 0.0 if name != results.measure.column else results.measure.score.chance
        series.append(Series(NO_RESULT, broken, [nothing] * len(broken), Draw.CROSSES))
    return series


def _hypervolume_chart(results: JointResults) -> Chart:
    """Draw the front's hypervolume after each trial."""
    areas = results.hypervolumes
    order = results.trials["number"].astype(float).tolist()
    series = [Series("hypervolume", order, areas.tolist(), Draw.STEPS)]
    label = f"hypervolume ({_area(results)} x {results.measure.speed})"
    plot = Plot("search trial", label, series, spans=_fixed_span(results), integer="x")
    alt = f"Hypervolume of the front after each search trial: {areas[-1]:.3g} at the end"
    return Chart(HYPERVOLUME_CHART, alt, [plot])


def best_so_far(results: JointResults) -> np.ndarray:
    """Return the best of each objective after each number of trials, (trials, 1 or 2): the score and the speed.

    Before there is one, chance and 0.
    """
    best: np.ndarray = np.maximum.accumulate(np.nan_to_num(results.learned_objectives, nan=0.0), axis=0)
    best[:, 0] = results.measure.value_of(best[:, 0])
    return best


def _area(results: JointResults) -> str:
    """`AP`, or the gain of another score over chance."""
    return results.measure.name if results.measure.is_ap else f"gain in {results.measure.name}"


def _fixed_span(results: JointResults) -> list[Span]:
    return [Span(0.5, results.fixed + 0.5, "fixed points")] if results.fixed and len(results.trials) else []


def _fixed_text(results: JointResults) -> str:
    if not results.fixed:
        return ""
    which = (
        "The study fixed the first trial" if results.fixed == 1 else f"The study fixed the first {results.fixed} trials"
    )
    return f" {which} (shaded); the others were chosen {CHOSEN[results.sampler]}."


def history_frame(results: JointResults) -> pd.DataFrame:
    """Return the search trials in order, with the best so far and the hypervolume."""
    best = best_so_far(results)
    columns = ["number", "trial_id", "optimizer", "status", results.measure.column, "images_per_s"]
    frame = results.trials[columns].assign(**{f"best_{results.measure.column}": best[:, 0]})
    return frame if results.single else frame.assign(best_images_per_s=best[:, 1], hypervolume=results.hypervolumes)
