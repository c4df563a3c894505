"""How good is the best setting found after k tune trials? What tuning costs, and what more of it would bring."""

import numpy as np
import pandas as pd

from bench.trials.columns import numbers, places_by, study_records
from bench.trials.phases import TUNE
from bench.trials.scores import score

BAND = (0.05, 0.95)
"""Quantiles of the best AP that the band spans."""

COLUMNS = ("optimizer", "trials", "steps", "train_seconds", "mean", "low", "high", "n")


def best_so_far(records: pd.DataFrame) -> pd.DataFrame:
    """Best AP on the select split after k of an optimizer's tune trials, as if they had come in any order.

    The bootstrap over trial order: k trials drawn with replacement from the n that ran (Dodge, Gururangan, Card,
    Schwartz and Smith 2019, "Show Your Work: Improved Reporting of Experimental Results"). Their equation gives its
    mean without resampling, the distribution function to the power k: no random numbers are needed, and the quantiles
    follow in the same way. At k = n the mean is below the best trial's AP: another n trials might have missed it.

    Args:
        records: One row a trial; only the tune phase counts. A trial that did not complete has the worst score.

    Returns:
        Rows optimizer, trials (k = 1..n), steps and train_seconds (k times the mean cost of a tune trial, failed ones
        included; NaN where unknown), mean, low and high (`BAND`) of the best AP, n. Sorted by optimizer and trials.
    """
    records = study_records(records)
    tune = records[records["phase"] == TUNE]
    aps = score(tune).to_numpy()
    costs = {name: numbers(tune[name]) for name in ("steps_done", "train_seconds")}
    parts = []
    for name, places in sorted(places_by(tune, "optimizer").items()):
        k = np.arange(1, len(places) + 1)
        mean, low, high = _best_of(np.sort(aps[places]), k)
        parts.append(
            pd.DataFrame(
                {
                    "optimizer": name,
                    "trials": k,
                    "steps": k * _known_mean(costs["steps_done"][places]),
                    "train_seconds": k * _known_mean(costs["train_seconds"][places]),
                    "mean": mean,
                    "low": low,
                    "high": high,
                    "n": len(places),
                }
            )
        )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(COLUMNS))


def _best_of(values: np.ndarray, k: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and quantiles `BAND` of the largest of ``k`` draws with replacement from the sorted ``values``."""
    share = np.arange(len(values) + 1) / len(values)
    below = share[None, :] ** k[:, None]  # probability that the best is among the first i values
    mean = np.diff(below, axis=1) @ values
    rounding = 1e-12
    low, high = (values[(below[:, 1:] >= quantile - rounding).argmax(axis=1)] for quantile in BAND)
    return mean, low, high


def _known_mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
