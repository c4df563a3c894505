"""Learning curves as arrays: positions and values of each trial's evaluations."""

import numpy as np
import pandas as pd

from bench.trials.columns import numbers, with_curve_columns

Points = tuple[np.ndarray, np.ndarray]
NO_POINTS: Points = (np.empty(0), np.empty(0))


def points_by_trial(curves: pd.DataFrame, *, value: str, over: str) -> dict[str, Points]:
    """Return positions (in ``over``'s unit) and finite values of each trial's evaluations, in the order of their steps.

    Args:
        curves: One row an evaluation: trial_id, step, train_seconds and ``value``.
        value: Column of the curves to read.
        over: Column of the positions: ``step`` or ``train_seconds``.

    Returns:
        (positions, values) by trial_id; a trial without such an evaluation is missing.
    """
    curves = with_curve_columns(curves)
    if curves.empty:
        return {}
    ordered = curves.sort_values("step", kind="stable")
    values, positions = (numbers(ordered[name]) for name in (value, over))
    finite = np.isfinite(values) & np.isfinite(positions)
    trials = ordered["trial_id"].to_numpy()[finite]
    values, positions = values[finite], positions[finite]
    return {
        str(trial): (positions[rows], values[rows]) for trial, rows in pd.Series(trials).groupby(trials).indices.items()
    }
