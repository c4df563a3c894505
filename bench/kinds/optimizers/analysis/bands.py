"""Learning curves of several seeds as one line with a band, over steps or over seconds of training."""

import numpy as np
import pandas as pd

from bench.kinds.optimizers.analysis.curve_points import NO_POINTS, points_by_trial
from bench.trials.columns import numbers, places_by, study_records
from bench.trials.phases import CONFIRM
from bench.trials.scores import WORST_SCORE
from bench.trials.status import Status

COLUMNS = ("optimizer", "x", "mean", "low", "high", "n")


def curve_bands(records: pd.DataFrame, curves: pd.DataFrame, *, value: str, over: str) -> pd.DataFrame:
    """Mean, lowest and highest curve over the seeds of each optimizer's confirm trials.

    Seeds are interpolated linearly onto their common places (all places of evaluation of any of them), from the first
    that all have reached; a seed that has finished keeps its last value. Nothing is said before an evaluation.

    A trial that did not complete has AP `WORST_SCORE` from where it ended, as it has in every score. It has no loss
    from there on: the curve of a loss ends where the first of its seeds ended.

    Args:
        records: One row a trial; only the confirm phase counts.
        curves: One row an evaluation: trial_id, step, train_seconds and ``value``.
        value: Column of the curves: ``ap``, or a loss (``val_loss``).
        over: Column of the curves to go along: ``step`` or ``train_seconds``.

    Returns:
        Rows optimizer, x (in ``over``'s unit), mean, low, high, n (seeds), sorted by optimizer and x. Optimizers of
        whose seeds one has no evaluation at all are left out, unless it did not complete and ``value`` is ``ap``.
    """
    records = study_records(records)
    confirm = records[records["phase"] == CONFIRM]
    points = points_by_trial(curves, value=value, over=over)
    worst = WORST_SCORE if value == "ap" else None
    ends = np.nan_to_num(numbers(confirm["steps_done" if over == "step" else "train_seconds"]))
    rows: list[pd.DataFrame] = []
    for name, places in sorted(places_by(confirm, "optimizer").items()):
        own = zip(confirm["trial_id"].iloc[places], confirm["status"].iloc[places], ends[places], strict=True)
        seeds = [
            _seed_curve(
                *points.get(str(trial), NO_POINTS), complete=status == Status.COMPLETE, ended=float(end), worst=worst
            )
            for trial, status, end in own
        ]
        if any(len(x) == 0 for x, _, _ in seeds):
            continue
        rows.append(_band(seeds).assign(optimizer=name))
    return pd.concat(rows, ignore_index=True)[list(COLUMNS)] if rows else pd.DataFrame(columns=list(COLUMNS))


def _seed_curve(
    x: np.ndarray, y: np.ndarray, *, complete: bool, ended: float, worst: float | None
) -> tuple[np.ndarray, np.ndarray, float]:
    """Places and values of one trial, and the place up to which its value is known; it ``ended`` at 0 if unmeasured."""
    if complete:
        return x, y, np.inf
    if worst is None:
        return x, y, x[-1] if len(x) else 0.0
    before = x < ended
    return np.append(x[before], ended), np.append(y[before], worst), np.inf


def _band(seeds: list[tuple[np.ndarray, np.ndarray, float]]) -> pd.DataFrame:
    places = np.unique(np.concatenate([x for x, _, _ in seeds]))
    first, last = max(x[0] for x, _, _ in seeds), min(known for _, _, known in seeds)
    places = places[(places >= first) & (places <= last)]
    values = np.stack([np.interp(places, x, y) for x, y, _ in seeds])
    return pd.DataFrame(
        {
            "x": places,
            "mean": values.mean(axis=0),
            "low": values.min(axis=0),
            "high": values.max(axis=0),
            "n": len(seeds),
        }
    )
