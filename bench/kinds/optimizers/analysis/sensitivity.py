"""Sensitivity to the learning rate: AP of the tune trials by the rate that was searched."""

import json
from collections.abc import Mapping

import numpy as np
import pandas as pd

from bench.trials.columns import study_records
from bench.trials.phases import TUNE
from bench.trials.scores import score

RATES = ("effective_lr", "lr")
"""Names of the searched rate; an optimizer's is the first that it has. SGD's effective_lr is lr over 1 - momentum."""

COLUMNS = ("optimizer", "trial_id", "tuning", "round", "rate", "ap", "status")


def rate_of(hyperparameters: Mapping[str, object]) -> float:
    """Return the learning rate among some hyperparameters; NaN if there is no positive number."""
    value = next((hyperparameters[name] for name in RATES if name in hyperparameters), np.nan)
    return float(value) if isinstance(value, int | float) and value > 0 else float("nan")


def lr_sensitivity(records: pd.DataFrame) -> pd.DataFrame:
    """Return the tune trials by their rate.

    Args:
        records: One row a trial; only the tune phase counts.

    Returns:
        One row for each tune trial with a rate (`rate_of`): optimizer, trial_id, tuning, round, rate, ap (the score: 0
        unless complete), status. Sorted by optimizer, rate, tuning and trial.
    """
    records = study_records(records)
    tune = records[records["phase"] == TUNE]
    trials = pd.DataFrame(
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
    ordered = trials[trials["rate"] > 0].sort_values(["optimizer", "rate", "tuning", "trial_id"], ignore_index=True)
    return ordered[list(COLUMNS)]


RANGE_COLUMNS = ("optimizer", "lr_low", "lr_high", "lr_trials")


def rate_ranges(sensitivity: pd.DataFrame, ranges: Mapping[str, tuple[float, float]] | None = None) -> pd.DataFrame:
    """Return the range in which each optimizer's rate was searched, and the number of tune trials.

    Args:
        sensitivity: From `lr_sensitivity`.
        ranges: Low and high of the rates searched, by optimizer; where unknown, the range of the trials' rates.

    Returns:
        One row for each optimizer with a tune trial that has a rate: optimizer, lr_low and lr_high, lr_trials.
    """
    rows = []
    for name, rates in sensitivity.groupby("optimizer")["rate"]:
        low, high = (ranges or {}).get(str(name), (rates.min(), rates.max()))
        rows.append((name, low, high, len(rates)))
    return pd.DataFrame(rows, columns=list(RANGE_COLUMNS))
