"""Validation losses: the lowest during tuning, for studies where nothing scored; and the means shown beside the
skill."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.kinds.optimizers.analysis.tunings import TunedScores, confirm_records
from bench.trials.columns import numbers, study_records
from bench.trials.phases import TUNE
from bench.trials.score_names import LOSS_SCORE
from bench.trials.score_scale import skill
from bench.trials.scores import MEASURED_AP
from bench.trials.status import Status

VAL_LOSS_MEAN, MEASURED_AP_MEAN = "val_loss_mean", "measured_ap_mean"
COLUMNS = ("optimizer", "trials", "val_loss", "skill")


def losses_reached(records: pd.DataFrame, order: Sequence[str]) -> pd.DataFrame:
    """Return the lowest validation loss of each optimizer's complete tune trials.

    This is not a ranking: each loss is the best of several trials.

    Args:
        records: One row a trial, all phases.
        order: The study's optimizers, in its order.

    Returns:
        One row for each optimizer, in that order: optimizer, trials (complete ones with a loss), val_loss, and skill
        (`bench.trials.score_scale.skill`). NaN where nothing is known.
    """
    records = study_records(records)
    complete = records[(records["phase"] == TUNE) & (records["status"] == Status.COMPLETE)]
    rows = []
    for name in order:
        trials = complete[complete["optimizer"] == name]
        losses = numbers(trials["val_loss"])
        references = numbers(trials["reference_loss"]) if "reference_loss" in trials else np.full(len(trials), np.nan)
        finite = np.isfinite(losses)
        if not finite.any():
            rows.append((name, 0, np.nan, np.nan))
            continue
        best = int(np.where(finite, losses, np.inf).argmin())
        rows.append((name, int(finite.sum()), losses[best], float(skill(losses[best], references[best]))))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def loss_means(records: pd.DataFrame, tuned: TunedScores) -> pd.DataFrame:
    """Return mean validation loss and AP of each optimizer in a study that is judged by validation loss.

    Args:
        records: From `bench.trials.scores.as_skill`.
        tuned: From `tuned_scores` of the same records.

    Returns:
        One row for each optimizer with a confirm trial: name, val_loss_mean and measured_ap_mean, over the completed
        trials of the complete tunings that did not collapse. NaN where there is none.
    """
    confirm = confirm_records(records)
    rows = []
    for index, name in enumerate(tuned.names):
        learned = tuned.complete[index] & ~tuned.collapsed[index]
        of_trials = [tuned.arrange(numbers(confirm[column]))[index, learned] for column in (LOSS_SCORE, MEASURED_AP)]
        finite = [values[np.isfinite(values)] for values in of_trials]
        rows.append((name, *(float(values.mean()) if len(values) else np.nan for values in finite)))
    return pd.DataFrame(rows, columns=["name", VAL_LOSS_MEAN, MEASURED_AP_MEAN]).astype({"name": object})
