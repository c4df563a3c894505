"""Both views of a budget: AP at equal steps and AP at equal training time, read from the confirm trials' curves."""

import numpy as np
import pandas as pd

from bench.kinds.optimizers.analysis.curve_points import NO_POINTS, Points, points_by_trial
from bench.statistics.intervals import mean_interval
from bench.trials.columns import numbers, places_by, study_records
from bench.trials.phases import CONFIRM
from bench.trials.scores import WORST_SCORE, score
from bench.trials.status import Status

COLUMNS = (
    "optimizer",
    "n",
    "equal_steps",
    "ap_at_equal_steps",
    "ap_at_equal_steps_low",
    "ap_at_equal_steps_high",
    "equal_seconds",
    "ap_at_equal_seconds",
    "ap_at_equal_seconds_low",
    "ap_at_equal_seconds_high",
)
VIEWS = (("step", "equal_steps", "ap_at_equal_steps"), ("train_seconds", "equal_seconds", "ap_at_equal_seconds"))


def budget_views(records: pd.DataFrame, curves: pd.DataFrame, *, resamples: int = 4999, seed: int = 0) -> pd.DataFrame:
    """AP of each optimizer where all have spent the same: the same steps, or the same seconds of training.

    The common budget is the least, over the optimizers, of the median budget at the end of their complete confirm
    trials: one of them has just finished there. Curves are read between evaluations by linear interpolation, from AP 0
    at 0; behind its end a trial keeps its last AP. A trial that did not complete has AP 0. A schedule that decays the
    learning rate ends later for those who are read in the middle of it: they would be better had it ended there.

    Args:
        records: One row a trial; only the confirm phase counts.
        curves: One row an evaluation: trial_id, step, train_seconds, ap.
        resamples: Of the intervals' bootstrap.
        seed: Of the intervals' bootstrap.

    Returns:
        One row for each optimizer with a confirm trial, sorted: optimizer, n, and for steps and for seconds the common
        budget, the mean AP there and its 95 % interval within 0..1. NaN where that is not known: no trial completed,
        or a complete one has no place on the axis.
    """
    records = study_records(records)
    confirm = records[records["phase"] == CONFIRM]
    groups = sorted(places_by(confirm, "optimizer").items())
    rows: dict[str, dict[str, object]] = {name: {"optimizer": name, "n": len(own)} for name, own in groups}
    for over, budget_name, ap_name in VIEWS:
        points = _complete_points(confirm, curves, over)
        ends = [[points[i][0][-1] for i in own if i in points] for _, own in groups]
        budget = min((float(np.median(own)) for own in ends if own), default=np.nan)
        for name, own in groups:
            values = [_ap_at(budget, points[i]) if i in points else WORST_SCORE for i in own]
            known = np.isfinite(budget) and np.isfinite(values).all()
            interval = mean_interval(values if known else [], resamples=resamples, seed=seed).of_ap()
            rows[name] |= {
                budget_name: budget,
                ap_name: interval.estimate,
                f"{ap_name}_low": interval.low,
                f"{ap_name}_high": interval.high,
            }
    frame = pd.DataFrame(list(rows.values()), columns=list(COLUMNS))
    return frame.astype(dict.fromkeys(COLUMNS[2:], float))


def _complete_points(confirm: pd.DataFrame, curves: pd.DataFrame, over: str) -> dict[int, Points]:
    """Curve of each complete trial by its place in ``confirm``; the record's end stands for a last point not there."""
    evaluated = points_by_trial(curves, value="ap", over=over)
    ends = numbers(confirm["steps_done" if over == "step" else "train_seconds"])
    aps = score(confirm).to_numpy()
    points: dict[int, Points] = {}
    trials = zip(confirm["trial_id"], confirm["status"] == Status.COMPLETE, ends, aps, strict=True)
    for place, (trial, complete, end, ap) in enumerate(trials):
        if not complete:
            continue
        x, y = evaluated.get(str(trial), NO_POINTS)
        if np.isfinite(end) and (len(x) == 0 or x[-1] < end):
            x, y = np.append(x, end), np.append(y, ap)
        points[place] = (x, y) if len(x) else (np.array([np.nan]), np.array([np.nan]))
    return points


def _ap_at(budget: float, points: Points) -> float:
    return float(np.interp(budget, np.append(0.0, points[0]), np.append(0.0, points[1])))
