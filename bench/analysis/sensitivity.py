"""How much does the learning rate matter? The tune trials' AP by learning rate."""

import json

import numpy as np
import pandas as pd

from bench.analysis.columns import TUNE, with_record_columns
from bench.analysis.scores import score
from bench.analysis.selection import best_trials

COLUMNS = ("optimizer", "trial_id", "lr", "ap", "status", "chosen")


def lr_sensitivity(records: pd.DataFrame) -> pd.DataFrame:
    """The tune trials by learning rate.

    Args:
        records: One row a trial; only the tune phase counts.

    Returns:
        One row for each tune trial with a positive hyperparameter ``lr``: optimizer, trial_id, lr, ap (the score: 0
        unless complete), status, chosen (its settings went into the confirm phase). Sorted by optimizer and lr.
    """
    records = with_record_columns(records)
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
