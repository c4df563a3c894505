"""One row an optimizer, best first: what the report's main table shows."""

import json

import numpy as np
import pandas as pd

from bench.analysis.columns import COMPLETE, CONFIRM, DIVERGED, TUNE, with_record_columns
from bench.analysis.costs import known_median, timed_trials
from bench.analysis.intervals import mean_interval
from bench.analysis.scores import score
from bench.analysis.selection import best_trials
from bench.analysis.targets import default_target, time_to_target

AP_DECIMALS = 12
"""Mean APs that agree to this are a tie: the rest is the rounding of the sum."""

COLUMNS = (
    "rank",
    "name",
    "settings",
    "ap_mean",
    "ap_median",
    "ap_low",
    "ap_high",
    "n",
    "best_checkpoint_ap_mean",
    "target_ap",
    "time_to_target_s",
    "steps_to_target",
    "targets_reached",
    "images_per_s",
    "optimizer_step_ms",
    "optimizer_state_bytes",
    "diverged",
    "failed",
    "confirm_unfinished",
    "tune_trials",
    "at_border",
)


def summarize(
    records: pd.DataFrame, curves: pd.DataFrame, *, target: float | None = None, resamples: int = 4999, seed: int = 0
) -> pd.DataFrame:
    """Summarize each optimizer, in the order of its mean AP over the confirm trials.

    Args:
        records: One row a trial, all phases, in any order.
        curves: One row an evaluation of a confirm trial.
        target: AP for the time to target; None: `default_target`.
        resamples: Of the interval's bootstrap.
        seed: Of the interval's bootstrap.

    Returns:
        One row for each optimizer that has a record, best first, those without a confirm record last, ties by name.
        NaN where nothing is known (`to_json_safe` makes it null):
        ``rank`` (equal means share the better rank), ``name``, ``settings`` (JSON of the hyperparameters confirmed, or
        chosen so far), ``ap_mean``, ``ap_median``, ``ap_low``, ``ap_high`` (interval of the mean, within 0..1), ``n``
        (confirm records), ``best_checkpoint_ap_mean``, ``target_ap``, ``time_to_target_s`` and ``steps_to_target``
        (median over seeds, a miss infinite; NaN where that median is), ``targets_reached`` (trials),
        ``images_per_s``, ``optimizer_step_ms``, ``optimizer_state_bytes`` (medians over complete confirm trials, over
        complete tune trials before there are any), ``diverged`` (trials, both phases), ``failed`` (neither complete
        nor diverged, both phases), ``confirm_unfinished`` (confirm trials that count as AP 0), ``tune_trials``,
        ``at_border`` (list of hyperparameters).
    """
    records = with_record_columns(records)
    target = default_target(records) if target is None else target
    times = time_to_target(records, curves, target)
    chosen = best_trials(records)
    rows = []
    for name, own in records.groupby("optimizer"):
        confirm, tune = own[own["phase"] == CONFIRM], own[own["phase"] == TUNE]
        scores = score(confirm).to_numpy()
        interval = mean_interval(scores, resamples=resamples, seed=seed)
        own_times = times[times["optimizer"] == name]
        settings = _settings(confirm, chosen.loc[name, "hyperparameters"] if name in chosen.index else "{}")
        timed = timed_trials(own)
        rows.append(
            {
                "name": name,
                "settings": settings,
                "ap_mean": interval.estimate,
                "ap_median": np.median(scores) if len(scores) else None,
                "ap_low": None if interval.low is None else max(interval.low, 0.0),
                "ap_high": None if interval.high is None else min(interval.high, 1.0),
                "n": len(confirm),
                "best_checkpoint_ap_mean": score(confirm, "ap_best").mean(),
                "target_ap": target,
                "time_to_target_s": _finite_median(own_times["seconds"]),
                "steps_to_target": _finite_median(own_times["steps"]),
                "targets_reached": int(own_times["reached"].sum()),
                "images_per_s": known_median(timed["images_per_s"]),
                "optimizer_step_ms": known_median(timed["optimizer_step_ms"]),
                "optimizer_state_bytes": known_median(timed["optimizer_state_bytes"]),
                "diverged": int((own["status"] == DIVERGED).sum()),
                "failed": int((~own["status"].isin([COMPLETE, DIVERGED])).sum()),
                "confirm_unfinished": int((confirm["status"] != COMPLETE).sum()),
                "tune_trials": len(tune),
                "at_border": _flagged(own, settings),
            }
        )
    summary = pd.DataFrame(rows, columns=list(COLUMNS))
    numbers = [column for column in COLUMNS if column not in ("name", "settings", "at_border")]
    counts = ["n", "targets_reached", "diverged", "failed", "confirm_unfinished", "tune_trials"]
    summary[numbers] = summary[numbers].astype(float)
    summary[counts] = summary[counts].astype(int)
    summary["rank"] = summary["ap_mean"].round(AP_DECIMALS).rank(method="min", ascending=False)
    return summary.sort_values(["rank", "name"], na_position="last").reset_index(drop=True)


def _settings(confirm: pd.DataFrame, chosen: str) -> str:
    """Hyperparameters of the confirm trials (the most frequent ones), or the chosen ones before there are any."""
    text = str(confirm["hyperparameters"].mode().iloc[0]) if len(confirm) else chosen
    return json.dumps(json.loads(text), sort_keys=True)


def _flagged(records: pd.DataFrame, settings: str) -> list[str]:
    """Hyperparameters that the records with these settings name as lying at a border."""
    same = records["hyperparameters"].map(lambda text: json.dumps(json.loads(text), sort_keys=True) == settings)
    texts = records.loc[same, "at_border"].dropna().astype(str)
    return sorted({name.strip() for text in texts for name in text.split(",") if name.strip()})


def _finite_median(values: pd.Series) -> float:
    """Median with misses as infinity; NaN where the median itself is a miss."""
    median = float(np.median(values)) if len(values) else np.inf
    return median if np.isfinite(median) else float("nan")
