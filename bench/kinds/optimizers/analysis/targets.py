"""Time to target: when each confirm trial first reached an AP that was set before the study."""

import numpy as np
import pandas as pd

from bench.kinds.optimizers.analysis.curve_points import NO_POINTS, Points, points_by_trial
from bench.trials.columns import study_records
from bench.trials.phases import CONFIRM
from bench.trials.status import Status


def time_to_target(
    records: pd.DataFrame, curves: pd.DataFrame, target: float | None, *, start: float = 0.0
) -> pd.DataFrame:
    """Find where each confirm trial's AP first crosses the target, interpolated between its evaluations.

    Args:
        records: One row a trial, all phases.
        curves: One row an evaluation: trial_id, step, train_seconds, ap. A curve begins with ``start`` at 0.
        target: AP to reach; None: no target, every trial is a miss.
        start: Score of an untrained network: 0 for AP.

    Returns:
        One row a confirm trial: trial_id, optimizer, seconds (training time), steps, reached. A miss has infinite
        seconds and steps. A trial that did not complete is a miss, even if it had reached the target.
    """
    records = study_records(records)
    confirm = records.loc[records["phase"] == CONFIRM, ["trial_id", "optimizer", "status"]].reset_index(drop=True)
    complete = (confirm["status"] == Status.COMPLETE).to_numpy(bool)
    columns: dict[str, pd.Series | np.ndarray] = {"trial_id": confirm["trial_id"], "optimizer": confirm["optimizer"]}
    for name, over in (("seconds", "train_seconds"), ("steps", "step")):
        points = points_by_trial(curves, value="ap", over=over) if target is not None else {}
        crossed = [_crossing(points.get(str(trial), NO_POINTS), target or 0.0, start) for trial in confirm["trial_id"]]
        columns[name] = np.where(complete, np.array(crossed, dtype=float), np.inf)
    return pd.DataFrame(columns | {"reached": np.isfinite(columns["steps"])})


def _crossing(points: Points, target: float, start: float) -> float:
    """Return the position at which a curve from (0, ``start``) first reaches the target, interpolated linearly;
    infinite if never."""
    x, y = np.append(0.0, points[0]), np.append(start, points[1])
    above = np.flatnonzero(y[1:] >= target)
    if not len(above):
        return np.inf
    after = int(above[0]) + 1
    rise = y[after] - y[after - 1]
    share = min(max((target - y[after - 1]) / rise, 0.0), 1.0) if rise > 0 else 0.0
    return float(x[after - 1] + share * (x[after] - x[after - 1]))
