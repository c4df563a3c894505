"""When did each confirm trial first reach the target AP?"""

import numpy as np
import pandas as pd

from bench.analysis.columns import COMPLETE, CONFIRM, with_curve_columns, with_record_columns
from bench.analysis.scores import score_table

TARGET_SHARE = 0.9
"""The target, unless given, is this share of the best optimizer's median AP (DESIGN.md)."""


def default_target(records: pd.DataFrame) -> float | None:
    """Return `TARGET_SHARE` of the median AP of the best optimizer (by mean AP); None where that is no positive AP."""
    scores = score_table(records)
    if scores.empty:
        return None
    order = pd.DataFrame({"mean": scores.mean(), "median": scores.median()}).sort_values(["mean", "median"])
    target = TARGET_SHARE * float(order["median"].iloc[-1])
    return target if target > 0 else None


def time_to_target(records: pd.DataFrame, curves: pd.DataFrame, target: float | None) -> pd.DataFrame:
    """Find the first evaluation of each confirm trial at or above the target.

    Args:
        records: One row a trial, all phases.
        curves: One row an evaluation: trial_id, step, train_seconds, ap. Times are no finer than the evaluations.
        target: AP to reach; None: no target, everything is a miss.

    Returns:
        One row a confirm trial: trial_id, optimizer, seconds (training time), steps, reached. A miss is infinite in
        seconds and steps. A trial that did not complete is a miss, whatever it had reached before.
    """
    records = with_record_columns(records)
    confirm = records.loc[records["phase"] == CONFIRM, ["trial_id", "optimizer", "status"]]
    curves = with_curve_columns(curves)
    above = curves[curves["ap"].astype(float) >= (np.inf if target is None else target)]
    first = above.sort_values(["trial_id", "step"]).drop_duplicates("trial_id").set_index("trial_id")
    complete = confirm["status"] == COMPLETE
    found = pd.DataFrame({"trial_id": confirm["trial_id"], "optimizer": confirm["optimizer"]})
    for name, column in (("seconds", "train_seconds"), ("steps", "step")):
        at_first = confirm["trial_id"].map(first[column]).astype(float)
        found[name] = at_first.where(complete).fillna(np.inf)
    return found.assign(reached=np.isfinite(found["steps"])).reset_index(drop=True)
