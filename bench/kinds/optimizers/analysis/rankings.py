"""The ranking: one row an optimizer, best first, with everything that the report's tables show of its trials."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.kinds.optimizers.analysis.finalists import finalists_of, shown_finalist, sorted_json
from bench.kinds.optimizers.analysis.selection import best_trials
from bench.kinds.optimizers.analysis.targets import time_to_target
from bench.kinds.optimizers.analysis.tunings import TunedScores, learned_mean_intervals
from bench.statistics.counts import count_interval
from bench.trials.columns import numbers, rows_by_value, study_records
from bench.trials.phases import CONFIRM, TUNE
from bench.trials.scores import score
from bench.trials.status import Status

AP_DECIMALS = 12
"""Number of decimals in which mean APs must agree to tie; further ones are rounding errors."""

COLUMNS = (
    "rank",
    "name",
    "settings",
    "ap_mean",
    "ap_median",
    "ap_low",
    "ap_high",
    "n",
    "tunings",
    "collapsed",
    "collapsed_low",
    "collapsed_high",
    "score_mean",
    "tuning_sd",
    "completed_ap_mean",
    "best_checkpoint_ap_mean",
    "target_ap",
    "time_to_target_s",
    "steps_to_target",
    "targets_reached",
    "diverged",
    "confirm_diverged",
    "tune_diverged",
    "failed",
    "confirm_failed",
    "tune_failed",
    "pruned",
    "confirm_unfinished",
    "tune_trials",
    "at_border",
    "settings_tuning",
    "finalists",
)

NOT_NUMBERS = ("name", "settings", "at_border", "finalists")
NO_FAULTS = [Status.COMPLETE, Status.DIVERGED, Status.PRUNED]
COUNTS = (
    *("n", "tunings", "collapsed", "diverged", "confirm_diverged", "tune_diverged"),
    *("failed", "confirm_failed", "tune_failed", "pruned", "confirm_unfinished", "tune_trials"),
)


def summarize(
    records: pd.DataFrame, curves: pd.DataFrame, tuned: TunedScores, *, target: float | None = None, start: float = 0.0
) -> pd.DataFrame:
    """Summarize each optimizer, in the order of its mean score over all complete tunings.

    Args:
        records: One row a trial, all phases, in any order.
        curves: One row an evaluation of a confirm trial.
        tuned: From `tuned_scores` of the same records.
        target: AP for the time to target, set before the study; None: there is none.
        start: Score at the beginning of training.

    Returns:
        One row for each optimizer that has a record, best first, those without a complete tuning last, ties by name.
        NaN where nothing is known (`to_json_safe` makes it null):

        ``rank`` (equal means share the better rank), ``name``, ``n`` (confirm records), ``tunings`` (complete ones),
        ``score_mean`` (mean over all complete tunings, those that collapsed as they scored: claims are about it),
        ``tuning_sd`` (standard deviation of these tunings' means).

        ``ap_mean``, ``ap_median``, ``best_checkpoint_ap_mean``: over the complete tunings that did not collapse (the
            last one NaN where a complete trial has not measured it), ``ap_low`` and ``ap_high``: interval of
            ``ap_mean`` within 0..1, only where no tuning collapsed or failed; ``completed_ap_mean``: over all confirm
            trials that completed. ``collapsed`` (tunings) with the exact interval of its rate, ``collapsed_low`` and
            ``collapsed_high``.

        ``target_ap``, ``time_to_target_s`` and ``steps_to_target`` (median over confirm trials, a miss infinite; NaN
        where that median is), ``targets_reached`` (trials).

        ``diverged``, ``failed`` (neither complete, diverged nor pruned) and ``pruned`` (trials of both phases; the
        first two of each phase as well), ``confirm_unfinished`` (confirm trials that count as AP 0), ``tune_trials``.

        ``finalists``: from `finalists_of`; ``settings``: JSON of the hyperparameters of the shown finalist
            (`shown_finalist`), those of the best tune trial so far before there is one; ``settings_tuning``: its
            tuning; ``at_border``: its hyperparameters at the border of their range.
    """
    records = study_records(records)
    best_tune = dict(best_trials(records)["hyperparameters"])
    phase, status = (records[name].to_numpy(object) for name in ("phase", "status"))
    completed, diverged = status == Status.COMPLETE, status == Status.DIVERGED
    failed = ~np.isin(status.astype(str), NO_FAULTS)
    last_scores, best = score(records).to_numpy(), score(records, "ap_best").to_numpy()
    measured = ~completed | np.isfinite(numbers(records["ap_best"]))
    finalists = finalists_of(records, tuned)
    times = time_to_target(records, curves, target, start=start)
    time_rows = rows_by_value(times, "optimizer")
    seconds, steps, reached = (times[name].to_numpy() for name in ("seconds", "steps", "reached"))
    means = dict(zip(tuned.names, learned_mean_intervals(tuned, tuned.scores), strict=True))
    learned = _learned_trials(records, tuned)
    rows: list[dict[str, Any]] = []
    for name, trials in sorted(rows_by_value(records, "optimizer").items()):
        confirm, tune = trials[phase[trials] == CONFIRM], trials[phase[trials] == TUNE]
        tuning_means, collapsed = _tuned_means(tuned, name)
        counted = trials[learned[trials]]
        mean, low, high = means.get(name, (np.nan,) * 3)
        rate = count_interval(int(collapsed.sum()), len(tuning_means)) if len(tuning_means) else (np.nan, np.nan)
        target_rows = time_rows.get(name, np.zeros(0, int))
        shown = shown_finalist(finalists.get(name, ()))
        rows.append(
            {
                "name": name,
                "settings": shown.settings if shown else sorted_json(best_tune.get(name, "{}")),
                "ap_mean": mean,
                "ap_median": np.median(tuning_means[~collapsed]) if not collapsed.all() else np.nan,
                "ap_low": low,
                "ap_high": high,
                "n": len(confirm),
                "tunings": len(tuning_means),
                "collapsed": int(collapsed.sum()),
                "collapsed_low": rate[0],
                "collapsed_high": rate[1],
                "score_mean": _mean(tuning_means),
                "tuning_sd": tuning_means.std(ddof=1) if len(tuning_means) > 1 else np.nan,
                "completed_ap_mean": _mean(last_scores[confirm[completed[confirm]]]),
                "best_checkpoint_ap_mean": _mean(best[counted]) if measured[counted].all() else np.nan,
                "target_ap": target,
                "time_to_target_s": _finite_median(seconds[target_rows]),
                "steps_to_target": _finite_median(steps[target_rows]),
                "targets_reached": int(reached[target_rows].sum()) if target is not None else np.nan,
                "diverged": int(diverged[trials].sum()),
                "confirm_diverged": int(diverged[confirm].sum()),
                "tune_diverged": int(diverged[tune].sum()),
                "failed": int(failed[trials].sum()),
                "confirm_failed": int(failed[confirm].sum()),
                "tune_failed": int(failed[tune].sum()),
                "pruned": int((status[trials] == Status.PRUNED).sum()),
                "confirm_unfinished": int((~completed[confirm]).sum()),
                "tune_trials": len(tune),
                "at_border": list(shown.at_border) if shown else [],
                "settings_tuning": shown.tuning if shown else np.nan,
                "finalists": [finalist.document() for finalist in finalists.get(name, ())],
            }
        )
    ranked = np.array([row["score_mean"] for row in rows]).round(AP_DECIMALS)
    ranks = [1.0 + np.sum(ranked > mean) if np.isfinite(mean) else np.nan for mean in ranked]
    best_first = np.argsort(np.nan_to_num(ranks, nan=np.inf), kind="stable")  # rows are sorted by name
    ordered = [rows[position] | {"rank": ranks[position]} for position in best_first]
    kinds = dict.fromkeys(COLUMNS, float) | dict.fromkeys(COUNTS, int) | dict.fromkeys(NOT_NUMBERS, object)
    if target is not None:
        kinds["targets_reached"] = int
    return pd.DataFrame({name: pd.Series([row[name] for row in ordered], dtype=kinds[name]) for name in COLUMNS})


def unranked(summary: pd.DataFrame, order: Sequence[str]) -> pd.DataFrame:
    """Return the summary in the study's order, without ranks, times to a target and borders, which would be noise."""
    position = {name: number for number, name in enumerate(order)}
    ordered = summary.sort_values(["name"], key=lambda names: names.map(position), ignore_index=True)
    empty = ("rank", "target_ap", "time_to_target_s", "steps_to_target", "targets_reached")
    borders: list[list[str]] = [[] for _ in range(len(ordered))]
    return ordered.assign(**dict.fromkeys(empty, float("nan")), at_border=pd.Series(borders, dtype=object))


def _tuned_means(tuned: TunedScores, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean score of each complete tuning of an optimizer, and whether the tuning collapsed."""
    if name not in tuned.names:
        return np.empty(0), np.empty(0, bool)
    index = tuned.names.index(name)
    complete = tuned.complete[index]
    return tuned.scores[index, complete].mean(axis=1), tuned.collapsed[index, complete]


def _learned_trials(records: pd.DataFrame, tuned: TunedScores) -> np.ndarray:
    """Return whether each record is a confirm trial of a complete tuning that did not collapse, as an array."""
    is_counted = np.zeros(len(records), dtype=bool)
    confirm = np.flatnonzero(records["phase"] == CONFIRM)
    is_counted[confirm[tuned.record_rows[tuned.complete & ~tuned.collapsed].ravel()]] = True
    return is_counted


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _finite_median(values: np.ndarray) -> float:
    """Return the median, where a target that was not reached counts as infinity; NaN where the median itself is
    infinite."""
    median = float(np.median(values)) if len(values) else np.inf
    return median if np.isfinite(median) else float("nan")
