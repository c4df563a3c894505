"""Which trials and which MLflow runs stand behind an optimizer's figures."""

import pandas as pd

from bench.kinds.optimizers.analysis.selection import best_trials
from bench.trials.columns import study_records
from bench.trials.phases import CONFIRM
from bench.trials.scores import score

SEED_COLUMNS = (
    "optimizer",
    "seed",
    "status",
    "ap_counted",
    "ap",
    "ap_best",
    "val_loss",
    "train_seconds",
    "eval_seconds",
    "trial_id",
    "run_id",
)


def seed_rows(records: pd.DataFrame) -> pd.DataFrame:
    """The confirm trials behind each mean, one row each, sorted by optimizer and seed.

    ``ap_counted`` is the AP that the mean counts: that of a complete trial, else 0. ``run_id`` is MLflow's.
    """
    records = study_records(records)
    confirm = records[records["phase"] == CONFIRM]
    rows = confirm.assign(ap_counted=score(confirm), status=confirm["status"].astype(str))
    return rows.sort_values(["optimizer", "seed"], ignore_index=True)[list(SEED_COLUMNS)]


def implementation_rows(records: pd.DataFrame) -> pd.DataFrame:
    """What each optimizer was made with: name, implementation (of most of its trials; empty where none told)."""
    records = study_records(records)
    told = records[records["implementation"] != ""]
    most = told.groupby("optimizer")["implementation"].agg(lambda texts: texts.mode().iloc[0]).to_dict()
    names = sorted(records["optimizer"].unique())
    return pd.DataFrame({"name": names, "implementation": [most.get(name, "") for name in names]})


def chosen_rows(records: pd.DataFrame) -> pd.DataFrame:
    """The tune trial whose settings each optimizer was confirmed with: name, tune_trial_id, tune_run_id, tune_ap."""
    chosen = best_trials(records)
    return pd.DataFrame(
        {
            "name": chosen.index.astype(str),
            "tune_trial_id": chosen["trial_id"].to_numpy(),
            "tune_run_id": chosen["run_id"].to_numpy(),
            "tune_ap": score(chosen).to_numpy(),
        }
    )
