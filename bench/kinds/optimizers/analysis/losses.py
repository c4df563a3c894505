"""The validation losses that tuning reached: all that a study in which nothing scored knows of its optimizers."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.trials.columns import numbers, study_records
from bench.trials.phases import TUNE
from bench.trials.status import Status

COLUMNS = ("optimizer", "trials", "val_loss", "skill")


def losses_reached(records: pd.DataFrame, order: Sequence[str]) -> pd.DataFrame:
    """The least validation loss of each optimizer's complete tune trials. No ranking: it is the best of several.

    Args:
        records: One row a trial, all phases.
        order: The optimizers, as the study has them.

    Returns:
        One row for each optimizer, in that order: optimizer, trials (complete ones with a loss), val_loss, and skill
        (1 - val_loss / reference_loss). NaN where nothing is known.
    """
    records = study_records(records)
    complete = records[(records["phase"] == TUNE) & (records["status"] == Status.COMPLETE)]
    rows = []
    for name in order:
        own = complete[complete["optimizer"] == name]
        losses = numbers(own["val_loss"])
        references = numbers(own["reference_loss"]) if "reference_loss" in own else np.full(len(own), np.nan)
        known = np.isfinite(losses)
        if not known.any():
            rows.append((name, 0, np.nan, np.nan))
            continue
        best = int(np.where(known, losses, np.inf).argmin())
        rows.append((name, int(known.sum()), losses[best], 1 - losses[best] / references[best]))
    return pd.DataFrame(rows, columns=list(COLUMNS))
