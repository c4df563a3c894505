"""AP at equal budgets, read from the confirm trials' curves: at equal steps, or equal time for budgets in seconds."""

import numpy as np
import pandas as pd

from bench.kinds.optimizers.analysis.curve_points import NO_POINTS, Points, points_by_trial
from bench.kinds.optimizers.analysis.tunings import TunedScores, confirm_records, learned_mean_intervals
from bench.trials.columns import numbers
from bench.trials.score_scale import WORST_SCORE
from bench.trials.scores import score
from bench.trials.status import Status

STEPS = ("step", "equal_steps", "ap_at_equal_steps")
"""(column of the curves, column of the common budget, column of the AP there)."""
SECONDS = ("train_seconds", "equal_seconds", "ap_at_equal_seconds")


def budget_views(
    records: pd.DataFrame, curves: pd.DataFrame, tuned: TunedScores, *, timed: bool = False, start: float = 0.0
) -> pd.DataFrame:
    """Return each optimizer's AP at a common budget: the same steps, or the same seconds of training.

    The common budget is the smallest over the optimizers of the median budget at the end of their complete confirm
    trials: at that point the first optimizer has finished. Curves are interpolated linearly between evaluations, from
    ``start`` at 0; after its end a trial keeps its last AP. A trial that did not complete has AP 0. With a schedule
    that decays the learning rate, trials read before their end score lower than if the schedule had ended there.
    Therefore equal time is only read where it is asked for: from trials whose budget was in seconds, or whose steps
    cost different numbers of gradients.

    Args:
        records: One row a trial; only the confirm phase counts.
        curves: One row an evaluation: trial_id, step, train_seconds, ap.
        tuned: From `tuned_scores` of the same records.
        start: Score of an untrained network: 0 for AP.
        timed: Whether their AP at equal seconds is read as well.

    Returns:
        One row for each optimizer with a confirm trial, sorted: optimizer, n, and for steps (and for seconds, where
        ``timed``) the common budget, the mean AP there over the tunings that did not collapse in the end, and its 95 %
        interval as in the ranking. NaN where unknown: no trial completed, or a complete one has no finite position on
        the axis.
    """
    confirm = confirm_records(records)
    owners = confirm["optimizer"].astype(str).to_numpy()
    columns: dict[str, object] = {
        "optimizer": list(tuned.names),
        "n": [int((owners == name).sum()) for name in tuned.names],
    }
    for over, budget_name, ap_name in (STEPS, SECONDS) if timed else (STEPS,):
        points = _complete_points(confirm, curves, over)
        ends = [
            [points[int(row)][0][-1] for row in np.flatnonzero(owners == name) if int(row) in points]
            for name in tuned.names
        ]
        budget = min((float(np.median(column)) for column in ends if column), default=np.nan)
        values = [_ap_at(budget, points[row], start) if row in points else WORST_SCORE for row in range(len(confirm))]
        aps = np.array(values if np.isfinite(budget) else np.full(len(confirm), np.nan), dtype=float)
        means = np.array(learned_mean_intervals(tuned, tuned.arrange(aps)), dtype=float).reshape(-1, 3)
        columns[budget_name] = np.full(len(tuned.names), budget)
        for end, column in zip(("", "_low", "_high"), means.T, strict=True):
            columns[f"{ap_name}{end}"] = column
    return pd.DataFrame(columns).astype({"optimizer": object})


def _complete_points(confirm: pd.DataFrame, curves: pd.DataFrame, over: str) -> dict[int, Points]:
    """Return the curve of each complete trial by row in ``confirm``; the record's final AP completes a short curve."""
    evaluated = points_by_trial(curves, value="ap", over=over)
    ends = numbers(confirm["steps_done" if over == "step" else "train_seconds"])
    aps = score(confirm).to_numpy()
    points: dict[int, Points] = {}
    trials = zip(confirm["trial_id"], confirm["status"] == Status.COMPLETE, ends, aps, strict=True)
    for row, (trial, complete, end, ap) in enumerate(trials):
        if not complete:
            continue
        x, y = evaluated.get(str(trial), NO_POINTS)
        if np.isfinite(end) and (len(x) == 0 or x[-1] < end):
            x, y = np.append(x, end), np.append(y, ap)
        points[row] = (x, y) if len(x) else (np.array([np.nan]), np.array([np.nan]))
    return points


def _ap_at(budget: float, points: Points, start: float) -> float:
    return float(np.interp(budget, np.append(0.0, points[0]), np.append(start, points[1])))
