"""Learning curves of the confirm trials: each run's evaluations, and median and quartiles of the runs that learned."""

import numpy as np
import pandas as pd

from bench.trials.columns import numbers, study_records, with_curve_columns
from bench.trials.phases import CONFIRM
from bench.trials.score_scale import AP_FLOOR
from bench.trials.scores import score
from bench.trials.status import Status

CURVE_COLUMNS = {"optimizer": object, "trial_id": object, "complete": bool, "learned": bool, "evaluation": int}
CURVE_COLUMNS |= {"x": float, "y": float}
BAND_COLUMNS = {"optimizer": object, "evaluation": int, "x": float, "median": float, "low": float, "high": float}
BAND_COLUMNS |= {"n": int}
"""Columns and their types; frames without rows have them too."""
QUARTILES = (0.25, 0.75)


def run_curves(
    records: pd.DataFrame, curves: pd.DataFrame, *, value: str, over: str, floor: float = AP_FLOOR
) -> pd.DataFrame:
    """Return the evaluations of each confirm trial.

    Args:
        records: One row a trial; only the confirm phase (finalists on fresh seeds) is used.
        curves: One row an evaluation: trial_id, step, train_seconds and ``value``.
        value: Column of the curves: ``ap``, or a loss (``val_loss``).
        over: Column of the curves for the x axis: ``step`` or ``train_seconds``.
        floor: Score under which a run has learned nothing.

    Returns:
        Rows optimizer, trial_id, complete (the trial ran to its end), learned (it is complete and its score is not
            under ``floor``),
        evaluation (its number within the trial, from 1), x (in ``over``'s unit), y; sorted by optimizer, tuning, seed
        and evaluation. Evaluations without a finite x or y are left out; the others keep their numbers.
    """
    curves = with_curve_columns(curves)
    if curves.empty:
        return pd.DataFrame(columns=list(CURVE_COLUMNS)).astype(CURVE_COLUMNS)
    records = study_records(records)
    confirm = records[records["phase"] == CONFIRM]
    complete = (confirm["status"] == Status.COMPLETE).to_numpy(bool)
    trials = confirm[["trial_id", "optimizer", "tuning", "seed"]].assign(
        complete=complete, learned=complete & (score(confirm) >= floor)
    )
    points = pd.DataFrame(
        {
            "trial_id": curves["trial_id"],
            "step": curves["step"],
            "x": numbers(curves[over]),
            "y": numbers(curves[value]),
        }
    )
    merged = trials.merge(points, on="trial_id").sort_values(
        ["optimizer", "tuning", "seed", "step"], kind="stable", ignore_index=True
    )
    merged["evaluation"] = merged.groupby("trial_id").cumcount() + 1
    finite = np.isfinite(merged["x"]) & np.isfinite(merged["y"])
    typed: pd.DataFrame = merged.loc[finite, list(CURVE_COLUMNS)].reset_index(drop=True).astype(CURVE_COLUMNS)
    return typed


def curve_bands(runs: pd.DataFrame) -> pd.DataFrame:
    """Return median and quartiles over the runs of each optimizer that learned, evaluation by evaluation.

    Runs with the same budget are evaluated at the same fractions of it: at the same steps, or at nearly the same
    seconds. Nothing is interpolated: x is the median over the runs as well.

    Args:
        runs: From `run_curves`.

    Returns:
        Rows optimizer, evaluation, x, median, low and high (quartiles), n (runs), sorted by optimizer and evaluation.
        An optimizer none of whose runs learned has no row.
    """
    groups = runs[runs["learned"]].groupby(["optimizer", "evaluation"], sort=True)
    rows = [
        (name, evaluation, group["x"].median(), group["y"].median(), *group["y"].quantile(list(QUARTILES)), len(group))
        for (name, evaluation), group in groups
    ]
    return pd.DataFrame(rows, columns=list(BAND_COLUMNS)).astype(BAND_COLUMNS)
