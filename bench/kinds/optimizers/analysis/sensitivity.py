"""How much does the learning rate matter? The tune trials' AP by learning rate."""

import json
from collections.abc import Mapping

import numpy as np
import pandas as pd

from bench.kinds.optimizers.analysis.selection import best_trials
from bench.trials.columns import study_records
from bench.trials.phases import TUNE
from bench.trials.scores import score

COLUMNS = ("optimizer", "trial_id", "lr", "ap", "status", "chosen")


def lr_sensitivity(records: pd.DataFrame) -> pd.DataFrame:
    """The tune trials by learning rate.

    Args:
        records: One row a trial; only the tune phase counts.

    Returns:
        One row for each tune trial with a positive hyperparameter ``lr``: optimizer, trial_id, lr, ap (the score: 0
        unless complete), status, chosen (its settings went into the confirm phase). Sorted by optimizer and lr.
    """
    records = study_records(records)
    tune = records[records["phase"] == TUNE]
    chosen = set(best_trials(records)["trial_id"])
    lr = tune["hyperparameters"].map(lambda text: json.loads(text).get("lr", np.nan)).astype(float)
    found = pd.DataFrame(
        {
            "optimizer": tune["optimizer"],
            "trial_id": tune["trial_id"],
            "lr": lr,
            "ap": score(tune),
            "status": tune["status"].astype(str),
            "chosen": tune["trial_id"].isin(chosen),
        }
    )
    return found[found["lr"] > 0].sort_values(["optimizer", "lr"], ignore_index=True)[list(COLUMNS)]


NEAR_BEST = 0.95
"""A trial is near the best with at least this share of its AP."""

SHARE_COLUMNS = ("optimizer", "lr_share_near_best", "lr_low", "lr_high", "lr_trials")


def lr_shares(sensitivity: pd.DataFrame, ranges: Mapping[str, tuple[float, float]] | None = None) -> pd.DataFrame:
    """How much of the learning rate's log range does nearly as well as the best of it?

    Each tune trial stands for its cell of the log axis: what is nearer to it than to any other trial, within the range
    (trials with one learning rate share its cell). The share is that of the cells of trials near the best, whatever
    their other settings: an optimizer that needs its learning rate found exactly has a small one. With few trials it is
    coarse: one trial's cell is about 1 / n of the range.

    Args:
        sensitivity: From `lr_sensitivity`.
        ranges: Low and high of the learning rates searched, by optimizer; where unknown, the sampled extent.

    Returns:
        One row for each optimizer with a tune trial: optimizer, lr_share_near_best (0..1; NaN where the best AP is 0
        or fewer than two learning rates were tried), lr_low and lr_high (of the range), lr_trials.
    """
    rows = []
    for name, own in sensitivity.groupby("optimizer"):
        lr, ap = own["lr"].to_numpy(float), own["ap"].to_numpy(float)
        low, high = (ranges or {}).get(str(name), (lr.min(), lr.max()))
        share = _share_near_best(np.log(lr), ap, float(np.log(low)), float(np.log(high)))
        rows.append(dict(zip(SHARE_COLUMNS, (name, share, low, high, len(own)), strict=True)))
    return pd.DataFrame(rows, columns=list(SHARE_COLUMNS))


def _share_near_best(log_lr: np.ndarray, ap: np.ndarray, low: float, high: float) -> float:
    """Share of [low, high] that lies in the cells of values with at least `NEAR_BEST` of the best AP."""
    places, which, times = np.unique(log_lr, return_inverse=True, return_counts=True)
    if len(places) < 2 or ap.max() <= 0 or high <= low:
        return float("nan")
    edges = np.clip([low, *(places[1:] + places[:-1]) / 2, high], low, high)
    cells = (np.diff(edges) / times)[which]
    return float(cells[ap >= NEAR_BEST * ap.max()].sum() / (high - low))
