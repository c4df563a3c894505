"""Select the best tune trial of each optimizer, and the leading optimizer."""

import numpy as np
import pandas as pd

from bench.trials.columns import study_records
from bench.trials.phases import TUNE
from bench.trials.scores import score
from bench.trials.status import Status


def best_trials(records: pd.DataFrame) -> pd.DataFrame:
    """Return the best tune trial of each optimizer.

    By AP of the last checkpoint, ties by lower validation loss, then by position in the plan. A trial that did not
    complete is chosen only if no trial of its optimizer completed.

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


def leader(summary: pd.DataFrame) -> str | None:
    """Return the optimizer with the highest mean score over its tunings (ties: the first row); None before there is
    one.

    This is not a claim: `verdict` says whether it beats the others.
    """
    confirmed = summary[summary["tunings"] > 0]
    return None if confirmed.empty else str(confirmed["name"].iloc[confirmed["score_mean"].argmax()])
