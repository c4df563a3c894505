"""Validation losses: those that tuning reached, all that is known where nothing scored; and means beside the skill."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.kinds.optimizers.analysis.tunings import TunedScores, confirm_records
from bench.trials.columns import numbers, study_records
from bench.trials.phases import TUNE
from bench.trials.score_names import LOSS_SCORE
from bench.trials.scores import MEASURED_AP, skill
from bench.trials.status import Status

VAL_LOSS_MEAN, MEASURED_AP_MEAN = "val_loss_mean", "measured_ap_mean"
COLUMNS = ("optimizer", "trials", "val_loss", "skill")


def losses_reached(records: pd.DataFrame, order: Sequence[str]) -> pd.DataFrame:
    """The least validation loss of each optimizer's complete tune trials. No ranking: it is the best of several.

    Args:
        records: One row a trial, all phases.
        order: The optimizers, as the study has them.

    Returns:
        One row for each optimizer, in that order: optimizer, trials (complete ones with a loss), val_loss, and skill
        (`bench.trials.scores.skill`). NaN where nothing is known.
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
        rows.append((name, int(known.sum()), losses[best], float(skill(losses[best], references[best]))))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def loss_means(records: pd.DataFrame, found: TunedScores) -> pd.DataFrame:
    """What stands beside the skill of each optimizer in a study that is judged by validation loss.

    Args:
        records: From `bench.trials.scores.as_skill`.
        found: From `tuned_scores` of the same records.

    Returns:
        One row for each optimizer with a confirm trial: name, val_loss_mean and measured_ap_mean, over the complete
        tunings that did not collapse, of their trials that completed. NaN where there is none.
    """
    confirm = confirm_records(records)
    rows = []
    for place, name in enumerate(found.names):
        learned = found.complete[place] & ~found.collapsed[place]
        of_trials = [found.filled(numbers(confirm[column]))[place, learned] for column in (LOSS_SCORE, MEASURED_AP)]
        known = [values[np.isfinite(values)] for values in of_trials]
        rows.append((name, *(float(values.mean()) if len(values) else np.nan for values in known)))
    return pd.DataFrame(rows, columns=["name", VAL_LOSS_MEAN, MEASURED_AP_MEAN]).astype({"name": object})
