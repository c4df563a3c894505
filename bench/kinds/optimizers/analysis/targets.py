"""When did each confirm trial first reach the target AP?"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bench.trials.columns import numbers, study_records, with_curve_columns
from bench.trials.phases import CONFIRM
from bench.trials.status import Status

TARGET_SHARE = 0.9
"""The target, unless given, is this share of the best optimizer's median AP (DESIGN.md)."""


def default_target(scores: Mapping[str, np.ndarray]) -> float | None:
    """`TARGET_SHARE` of the median AP of the best optimizer (by mean AP); None where that is no positive AP.

    Args:
        scores: Scores of the confirm trials by optimizer; one without any counts for nothing.
    """
    known = [(float(np.mean(own)), float(np.median(own))) for own in scores.values() if len(own)]
    target = TARGET_SHARE * max(known)[1] if known else 0.0
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
    records = study_records(records)
    confirm = records.loc[records["phase"] == CONFIRM, ["trial_id", "optimizer", "status"]].reset_index(drop=True)
    curves = with_curve_columns(curves)
    above = curves[numbers(curves["ap"]) >= (np.inf if target is None else target)].sort_values("step", kind="stable")
    first = above.drop_duplicates("trial_id").set_index("trial_id")
    complete = (confirm["status"] == Status.COMPLETE).to_numpy(bool)
    found: dict[str, pd.Series | np.ndarray] = {"trial_id": confirm["trial_id"], "optimizer": confirm["optimizer"]}
    for name, column in (("seconds", "train_seconds"), ("steps", "step")):
        at_first = numbers(confirm["trial_id"].map(first[column].to_dict()))
        found[name] = np.where(complete & np.isfinite(at_first), at_first, np.inf)
    return pd.DataFrame(found | {"reached": np.isfinite(found["steps"])})
