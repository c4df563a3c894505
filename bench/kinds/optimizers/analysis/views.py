"""AP at an equal budget, read from the confirm trials' curves: equal steps, or, of trials given seconds, equal time."""

import numpy as np
import pandas as pd

from bench.kinds.optimizers.analysis.curve_points import NO_POINTS, Points, points_by_trial
from bench.kinds.optimizers.analysis.tunings import TunedScores, confirm_records, learned_mean_intervals
from bench.trials.columns import numbers
from bench.trials.scores import WORST_SCORE, score
from bench.trials.status import Status

STEPS = ("step", "equal_steps", "ap_at_equal_steps")
SECONDS = ("train_seconds", "equal_seconds", "ap_at_equal_seconds")


def budget_views(
    records: pd.DataFrame, curves: pd.DataFrame, found: TunedScores, *, timed: bool = False
) -> pd.DataFrame:
    """AP of each optimizer where all have spent the same: the same steps, or the same seconds of training.

    The common budget is the least, over the optimizers, of the median budget at the end of their complete confirm
    trials: one of them has just finished there. Curves are read between evaluations by linear interpolation, from AP 0
    at 0; behind its end a trial keeps its last AP. A trial that did not complete has AP 0. A schedule that decays the
    learning rate ends later for those who are read in the middle of it: they would be better had it ended there. So
    equal time is only read of trials that were given that time.

    Args:
        records: One row a trial; only the confirm phase counts.
        curves: One row an evaluation: trial_id, step, train_seconds, ap.
        found: From `tuned_scores` of the same records.
        timed: Whether the trials had a budget in seconds: then their AP at equal seconds is read as well.

    Returns:
        One row for each optimizer with a confirm trial, sorted: optimizer, n, and for steps (and for seconds, where
        ``timed``) the common budget, the mean AP there over the tunings that did not collapse in the end, and its 95 %
        interval as in the ranking. NaN where that is not known: no trial completed, or a complete one has no place on
        the axis.
    """
    confirm = confirm_records(records)
    owners = confirm["optimizer"].astype(str).to_numpy()
    columns: dict[str, object] = {
        "optimizer": list(found.names),
        "n": [int((owners == name).sum()) for name in found.names],
    }
    for over, budget_name, ap_name in (STEPS, SECONDS) if timed else (STEPS,):
        points = _complete_points(confirm, curves, over)
        ends = [
            [points[int(i)][0][-1] for i in np.flatnonzero(owners == name) if int(i) in points] for name in found.names
        ]
        budget = min((float(np.median(own)) for own in ends if own), default=np.nan)
        values = [_ap_at(budget, points[i]) if i in points else WORST_SCORE for i in range(len(confirm))]
        known = np.array(values if np.isfinite(budget) else np.full(len(confirm), np.nan), dtype=float)
        means = np.array(learned_mean_intervals(found, found.filled(known)), dtype=float).reshape(-1, 3)
        columns[budget_name] = np.full(len(found.names), budget)
        for end, own in zip(("", "_low", "_high"), means.T, strict=True):
            columns[f"{ap_name}{end}"] = own
    return pd.DataFrame(columns).astype({"optimizer": object})


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
