"""The evaluations of a trial as two arrays: where, and what."""

import numpy as np
import pandas as pd

from bench.trials.columns import numbers, with_curve_columns

Points = tuple[np.ndarray, np.ndarray]
NO_POINTS: Points = (np.empty(0), np.empty(0))


def points_by_trial(curves: pd.DataFrame, *, value: str, over: str) -> dict[str, Points]:
    """Places (in ``over``'s unit) and finite values of each trial's evaluations, in the order of their steps.

    Args:
        curves: One row an evaluation: trial_id, step, train_seconds and ``value``.
        value: Column of the curves to read.
        over: Column to go along: ``step`` or ``train_seconds``.

    Returns:
        By trial_id; a trial without such an evaluation is not in it.
    """
    curves = with_curve_columns(curves)
    if curves.empty:
        return {}
    ordered = curves.sort_values("step", kind="stable")
    values, places = (numbers(ordered[name]) for name in (value, over))
    finite = np.isfinite(values) & np.isfinite(places)
    trials = ordered["trial_id"].to_numpy()[finite]
    values, places = values[finite], places[finite]
    return {
        str(trial): (places[rows], values[rows]) for trial, rows in pd.Series(trials).groupby(trials).indices.items()
    }
