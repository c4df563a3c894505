"""How good is the best setting found after k tune trials of a tuning? What tuning costs, and what more would bring."""

import numpy as np
import pandas as pd

from bench.trials.columns import numbers, places_by, study_records
from bench.trials.phases import TUNE
from bench.trials.scores import score

COLUMNS = ("optimizer", "trials", "steps", "train_seconds", "mean", "low", "high", "n")


def best_so_far(records: pd.DataFrame) -> pd.DataFrame:
    """Best AP on the select split after the first k tune trials of a tuning, in the order of the plan.

    Later trials are placed by what earlier ones found, and are longer: no other order is possible.

    Args:
        records: One row a trial; only the tune phase counts. A trial that did not complete has the worst score.

    Returns:
        Rows optimizer, trials (k, up to the least that any of its tunings has), steps and train_seconds (of these
        trials, mean over the tunings; NaN where unknown), mean, low and high (lowest and highest) over the tunings, n
        (tunings). Sorted by optimizer and trials.
    """
    records = study_records(records)
    tune = records[records["phase"] == TUNE]
    tune = tune.sort_values(["tuning", "index", "trial_id"], kind="stable").reset_index(drop=True)
    aps, tunings = score(tune).to_numpy(), tune["tuning"].to_numpy()
    costs = {name: numbers(tune[name]) for name in ("steps_done", "train_seconds")}
    parts = []
    for name, places in sorted(places_by(tune, "optimizer").items()):
        own = [places[tunings[places] == tuning] for tuning in np.unique(tunings[places])]
        least = min(map(len, own))
        of_tunings = np.stack([trials[:least] for trials in own])  # (tunings, trials)
        best = np.maximum.accumulate(aps[of_tunings], axis=1)
        spent = {cost: np.cumsum(values[of_tunings], axis=1).mean(axis=0) for cost, values in costs.items()}
        parts.append(
            pd.DataFrame(
                {
                    "optimizer": name,
                    "trials": np.arange(1, least + 1),
                    "steps": spent["steps_done"],
                    "train_seconds": spent["train_seconds"],
                    "mean": best.mean(axis=0),
                    "low": best.min(axis=0),
                    "high": best.max(axis=0),
                    "n": len(own),
                }
            )
        )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(COLUMNS))
