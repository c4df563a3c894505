"""The best tune trials, whether settings sit at the edge of what was searched, and the leader."""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.trials.columns import study_records
from bench.trials.phases import TUNE
from bench.trials.scores import score
from bench.trials.status import Status

BORDER_SHARE = 0.05
"""Share of a log range, at each end, that counts as its border (a random value lies there once in ten times)."""


def best_trials(records: pd.DataFrame) -> pd.DataFrame:
    """Return the best tune trial of each optimizer.

    By AP of the last checkpoint, ties by lower validation loss, then by position in the plan. A trial that did not
    complete is chosen only if none of its optimizer did.

    Args:
        records: One row a trial; only the tune phase counts.

    Returns:
        One record an optimizer, indexed and sorted by ``optimizer``.
    """
    records = study_records(records)
    tune = records[records["phase"] == TUNE]
    order = np.lexsort(
        (
            tune["trial_id"].astype(str),
            _known_or_last(tune["index"]),
            _known_or_last(tune["val_loss"]),
            -score(tune),
            tune["status"] != Status.COMPLETE,
            tune["optimizer"].astype(str),
        )
    )
    return tune.iloc[order].drop_duplicates("optimizer").set_index("optimizer")


def _known_or_last(column: pd.Series) -> pd.Series:
    return pd.to_numeric(column, errors="coerce").astype(float).fillna(np.inf)


def best_settings(tune_records: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return the hyperparameters of the best tune trial of each optimizer.

    Args:
        tune_records: One row a trial (records of other phases are left out).

    Returns:
        Hyperparameters by optimizer, sorted by name; empty without records.
    """
    return {str(name): json.loads(text) for name, text in best_trials(tune_records)["hyperparameters"].items()}


def at_border(hyperparameters: Mapping[str, float], space: Mapping[str, tuple[float, float]]) -> list[str]:
    """Name the hyperparameters whose value lies at the border of its range: the best may lie outside.

    Args:
        hyperparameters: The chosen values.
        space: Low and high of each hyperparameter with a log scale. One that is not in it (a choice between values,
            a constant) has no border.

    Returns:
        Names, sorted, whose value lies within `BORDER_SHARE` of the log range from an end, or beyond it.

    Raises:
        ValueError: A range is not 0 < low < high, or a value on a log scale is not positive.
    """
    flagged = []
    for name in sorted(set(hyperparameters) & set(space)):
        low, high = space[name]
        if not 0 < low < high:
            raise ValueError(f"{name}: a log range needs 0 < low < high, not {low} and {high}; leave choices out")
        if not hyperparameters[name] > 0:
            raise ValueError(f"{name}: {hyperparameters[name]} has no place on a log scale")
        position = math.log(hyperparameters[name] / low) / math.log(high / low)
        rounding = 1e-9  # a value exactly 5 % inside counts as border
        if min(position, 1 - position) <= BORDER_SHARE + rounding:
            flagged.append(name)
    return flagged


def leader(summary: pd.DataFrame) -> str | None:
    """The optimizer with the highest mean score over its tunings (ties: the first row); None before there are any.

    No claim: `verdict` says whether it beats the others.
    """
    confirmed = summary[summary["tunings"] > 0]
    return None if confirmed.empty else str(confirmed["name"].iloc[confirmed["score_mean"].argmax()])
