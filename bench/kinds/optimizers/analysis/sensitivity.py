"""How much does the rate matter? The tune trials' AP by the rate that was searched."""

import json
from collections.abc import Mapping

import numpy as np
import pandas as pd

from bench.trials.columns import study_records
from bench.trials.phases import TUNE
from bench.trials.scores import score

RATES = ("effective_lr", "lr")
"""Names of the rate that is searched, the first that an optimizer has: of SGD the learning rate over 1 - momentum."""

COLUMNS = ("optimizer", "trial_id", "tuning", "round", "rate", "ap", "status")


def rate_of(hyperparameters: Mapping[str, object]) -> float:
    """The rate in some hyperparameters; NaN where there is none that is a positive number."""
    value = next((hyperparameters[name] for name in RATES if name in hyperparameters), np.nan)
    return float(value) if isinstance(value, int | float) and value > 0 else float("nan")


def lr_sensitivity(records: pd.DataFrame) -> pd.DataFrame:
    """The tune trials by their rate.

    Args:
        records: One row a trial; only the tune phase counts.

    Returns:
        One row for each tune trial with a rate (`rate_of`): optimizer, trial_id, tuning, round, rate, ap (the score: 0
        unless complete), status. Sorted by optimizer, rate, tuning and trial.
    """
    records = study_records(records)
    tune = records[records["phase"] == TUNE]
    found = pd.DataFrame(
        {
            "optimizer": tune["optimizer"],
            "trial_id": tune["trial_id"],
            "tuning": tune["tuning"],
            "round": tune["round"],
            "rate": tune["hyperparameters"].map(lambda text: rate_of(json.loads(text))).astype(float),
            "ap": score(tune),
            "status": tune["status"].astype(str),
        }
    )
    ordered = found[found["rate"] > 0].sort_values(["optimizer", "rate", "tuning", "trial_id"], ignore_index=True)
    return ordered[list(COLUMNS)]


NEAR_BEST = 0.95
"""A trial is near the best of its round with at least this share of its AP."""

SHARE_COLUMNS = ("optimizer", "lr_share_near_best", "lr_low", "lr_high", "lr_trials")


def lr_shares(sensitivity: pd.DataFrame, ranges: Mapping[str, tuple[float, float]] | None = None) -> pd.DataFrame:
    """How much of the rate's log range does nearly as well as the best of it?

    Each tune trial, of whichever tuning, stands for its cell of the log axis: what is nearer to it than to any other
    trial, within the range (trials with one rate share its cell). The share is that of the cells of trials near the
    best of their round, whatever their other settings: rounds differ in length. An optimizer that needs its rate found
    exactly has a small one. With few trials it is coarse.

    Args:
        sensitivity: From `lr_sensitivity`.
        ranges: Low and high of the rates searched, by optimizer; where unknown, the sampled extent.

    Returns:
        One row for each optimizer with a tune trial: optimizer, lr_share_near_best (0..1; NaN where the best AP is 0
        or fewer than two rates were tried), lr_low and lr_high (of the range), lr_trials.
    """
    rows = []
    for name, own in sensitivity.groupby("optimizer"):
        lr, ap = own["rate"].to_numpy(float), own["ap"].to_numpy(float)
        of_round = own.groupby("round")["ap"].transform("max").to_numpy(float)
        low, high = (ranges or {}).get(str(name), (lr.min(), lr.max()))
        share = _share_near_best(np.log(lr), ap, of_round, float(np.log(low)), float(np.log(high)))
        rows.append(dict(zip(SHARE_COLUMNS, (name, share, low, high, len(own)), strict=True)))
    return pd.DataFrame(rows, columns=list(SHARE_COLUMNS))


def _share_near_best(log_lr: np.ndarray, ap: np.ndarray, best: np.ndarray, low: float, high: float) -> float:
    """Share of [low, high] that lies in the cells of values with at least `NEAR_BEST` of the best of their round."""
    places, which, times = np.unique(log_lr, return_inverse=True, return_counts=True)
    if len(places) < 2 or ap.max() <= 0 or high <= low:
        return float("nan")
    edges = np.clip([low, *(places[1:] + places[:-1]) / 2, high], low, high)
    cells = (np.diff(edges) / times)[which]
    return float(cells[(ap > 0) & (ap >= NEAR_BEST * best)].sum() / (high - low))
