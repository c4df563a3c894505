"""The trials and MLflow runs behind an optimizer's numbers."""

from collections.abc import Mapping

import pandas as pd

from bench.kinds.optimizers.analysis.selection import best_trials
from bench.trials.columns import study_records
from bench.trials.phases import CONFIRM
from bench.trials.score_scale import AP_FLOOR
from bench.trials.scores import MEASURED_AP, collapsed, score

SEED_COLUMNS = (
    "optimizer",
    "tuning",
    "seed",
    "status",
    "collapsed",
    "ap_counted",
    "ap",
    "ap_best",
    "val_loss",
    "train_seconds",
    "eval_seconds",
    "trial_id",
    "run_id",
)


def seed_rows(records: pd.DataFrame, *, floor: float = AP_FLOOR) -> pd.DataFrame:
    """Return the confirm trials behind each mean, one row each, sorted by optimizer, tuning and seed.

    ``ap_counted`` is the AP that the mean counts: that of a complete trial, otherwise 0. ``collapsed``: the run scored
    under ``floor``, as if it had learned nothing. ``run_id`` is MLflow's. With records from `as_skill` these are
    skills, and there is a column ``measured_ap``.
    """
    records = study_records(records)
    confirm = records[records["phase"] == CONFIRM]
    rows = confirm.assign(
        ap_counted=score(confirm), status=confirm["status"].astype(str), collapsed=collapsed(confirm, floor)
    )
    return rows.sort_values(["optimizer", "tuning", "seed"], ignore_index=True)[
        [*SEED_COLUMNS, *([MEASURED_AP] if MEASURED_AP in confirm else [])]
    ]


def implementation_rows(records: pd.DataFrame) -> pd.DataFrame:
    """Return each optimizer's name and implementation (that of most of its trials; empty where none recorded one)."""
    records = study_records(records)
    recorded = records[records["implementation"] != ""]
    most_frequent = recorded.groupby("optimizer")["implementation"].agg(lambda texts: texts.mode().iloc[0]).to_dict()
    names = sorted(records["optimizer"].unique())
    return pd.DataFrame({"name": names, "implementation": [most_frequent.get(name, "") for name in names]})


def chosen_rows(records: pd.DataFrame, tunings: Mapping[str, int]) -> pd.DataFrame:
    """Return the best tune trial of the tuning whose finalist is shown: name, tune_trial_id, tune_run_id, tune_ap.

    A finalist is a mean of several good settings, and has no tune trial of its own.

    Args:
        records: One row a trial.
        tunings: Number of the shown tuning by optimizer; for an optimizer without an entry, its best tune trial over
            all tunings.
    """
    records = study_records(records)
    shown_tuning = records["optimizer"].map(dict(tunings)).fillna(records["tuning"])
    best = best_trials(records[shown_tuning == records["tuning"]])
    return pd.DataFrame(
        {
            "name": best.index.astype(str),
            "tune_trial_id": best["trial_id"].to_numpy(),
            "tune_run_id": best["run_id"].to_numpy(),
            "tune_ap": score(best).to_numpy(),
        }
    )
