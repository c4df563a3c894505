"""One row an optimizer, best first: what the report's main table shows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.kinds.optimizers.analysis.finalists import finalists_of, pasted, sorted_json
from bench.kinds.optimizers.analysis.selection import best_trials
from bench.kinds.optimizers.analysis.targets import time_to_target
from bench.kinds.optimizers.analysis.tunings import TunedScores, learned_mean_intervals
from bench.statistics.counts import count_interval
from bench.trials.columns import numbers, places_by, study_records
from bench.trials.phases import CONFIRM, TUNE
from bench.trials.scores import score
from bench.trials.status import Status

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
    records: pd.DataFrame, curves: pd.DataFrame, found: TunedScores, *, target: float | None = None
) -> pd.DataFrame:
    """Summarize each optimizer, in the order of its mean score over all complete tunings.

    Args:
        records: One row a trial, all phases, in any order.
        curves: One row an evaluation of a confirm trial.
        found: From `tuned_scores` of the same records.
        target: AP for the time to target, given beforehand; None: there is none.

    Returns:
        One row for each optimizer that has a record, best first, those without a complete tuning last, ties by name.
        NaN where nothing is known (`to_json_safe` makes it null):

        ``rank`` (equal means share the better rank), ``name``, ``n`` (confirm records), ``tunings`` (complete ones),
        ``score_mean`` (mean over all complete tunings, those that collapsed as they scored: what claims are about),
        ``tuning_sd`` (standard deviation of these tunings' means).

        ``ap_mean``, ``ap_median``, ``best_checkpoint_ap_mean``: over the complete tunings that did not collapse (NaN
        where a complete trial has not measured the last of them), ``ap_low`` and ``ap_high``: interval of that mean
        within 0..1, only where no tuning collapsed or failed; ``completed_ap_mean``: over all confirm trials that
        completed. ``collapsed`` (tunings) with the exact interval of its rate, ``collapsed_low`` and
        ``collapsed_high``.

        ``target_ap``, ``time_to_target_s`` and ``steps_to_target`` (median over confirm trials, a miss infinite; NaN
        where that median is), ``targets_reached`` (trials).

        ``diverged``, ``failed`` (what is neither complete, diverged nor pruned) and ``pruned`` (trials of both phases;
        the first two of each phase as well), ``confirm_unfinished`` (confirm trials that count as AP 0),
        ``tune_trials``.

        ``finalists``: from `finalists_of`; ``settings``: JSON of the hyperparameters of the one from `pasted`, those of
        the best tune trial so far before there is any; ``settings_tuning``: its tuning; ``at_border``: its
        hyperparameters at the border of their range.
    """
    records = study_records(records)
    best_tune = dict(best_trials(records)["hyperparameters"])
    phase, status = (records[name].to_numpy(object) for name in ("phase", "status"))
    completed, diverged = status == Status.COMPLETE, status == Status.DIVERGED
    failed = ~np.isin(status.astype(str), NO_FAULTS)
    last, best = score(records).to_numpy(), score(records, "ap_best").to_numpy()
    measured = ~completed | np.isfinite(numbers(records["ap_best"]))
    finalists = finalists_of(records, found)
    times = time_to_target(records, curves, target)
    times_of = places_by(times, "optimizer")
    seconds, steps, reached = (times[name].to_numpy() for name in ("seconds", "steps", "reached"))
    means = dict(zip(found.names, learned_mean_intervals(found, found.scores), strict=True))
    learned = _learned_trials(records, found)
    rows: list[dict[str, Any]] = []
    for name, own in sorted(places_by(records, "optimizer").items()):
        confirm, tune = own[phase[own] == CONFIRM], own[phase[own] == TUNE]
        tuned, collapsed = _tuned_means(found, name)
        counted = own[learned[own]]
        mean, low, high = means.get(name, (np.nan,) * 3)
        rate = count_interval(int(collapsed.sum()), len(tuned)) if len(tuned) else (np.nan, np.nan)
        own_times = times_of.get(name, np.zeros(0, int))
        given = pasted(finalists.get(name, ()))
        rows.append(
            {
                "name": name,
                "settings": given.settings if given else sorted_json(best_tune.get(name, "{}")),
                "ap_mean": mean,
                "ap_median": np.median(tuned[~collapsed]) if not collapsed.all() else np.nan,
                "ap_low": low,
                "ap_high": high,
                "n": len(confirm),
                "tunings": len(tuned),
                "collapsed": int(collapsed.sum()),
                "collapsed_low": rate[0],
                "collapsed_high": rate[1],
                "score_mean": _mean(tuned),
                "tuning_sd": tuned.std(ddof=1) if len(tuned) > 1 else np.nan,
                "completed_ap_mean": _mean(last[confirm[completed[confirm]]]),
                "best_checkpoint_ap_mean": _mean(best[counted]) if measured[counted].all() else np.nan,
                "target_ap": target,
                "time_to_target_s": _finite_median(seconds[own_times]),
                "steps_to_target": _finite_median(steps[own_times]),
                "targets_reached": int(reached[own_times].sum()) if target is not None else np.nan,
                "diverged": int(diverged[own].sum()),
                "confirm_diverged": int(diverged[confirm].sum()),
                "tune_diverged": int(diverged[tune].sum()),
                "failed": int(failed[own].sum()),
                "confirm_failed": int(failed[confirm].sum()),
                "tune_failed": int(failed[tune].sum()),
                "pruned": int((status[own] == Status.PRUNED).sum()),
                "confirm_unfinished": int((~completed[confirm]).sum()),
                "tune_trials": len(tune),
                "at_border": list(given.at_border) if given else [],
                "settings_tuning": given.tuning if given else np.nan,
                "finalists": [finalist.document() for finalist in finalists.get(name, ())],
            }
        )
    ranked = np.array([row["score_mean"] for row in rows]).round(AP_DECIMALS)
    ranks = [1.0 + np.sum(ranked > mean) if np.isfinite(mean) else np.nan for mean in ranked]
    best_first = np.argsort(np.nan_to_num(ranks, nan=np.inf), kind="stable")  # rows are sorted by name
    ordered = [rows[place] | {"rank": ranks[place]} for place in best_first]
    kinds = dict.fromkeys(COLUMNS, float) | dict.fromkeys(COUNTS, int) | dict.fromkeys(NOT_NUMBERS, object)
    if target is not None:
        kinds["targets_reached"] = int
    return pd.DataFrame({name: pd.Series([row[name] for row in ordered], dtype=kinds[name]) for name in COLUMNS})


def unranked(summary: pd.DataFrame, order: Sequence[str]) -> pd.DataFrame:
    """The summary in the given order, without ranks, times to a target and borders: where these would be noise."""
    place = {name: number for number, name in enumerate(order)}
    ordered = summary.sort_values(["name"], key=lambda names: names.map(place), ignore_index=True)
    empty = ("rank", "target_ap", "time_to_target_s", "steps_to_target", "targets_reached")
    borders: list[list[str]] = [[] for _ in range(len(ordered))]
    return ordered.assign(**dict.fromkeys(empty, float("nan")), at_border=pd.Series(borders, dtype=object))


def _tuned_means(found: TunedScores, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean score of each complete tuning of an optimizer, and whether it collapsed."""
    if name not in found.names:
        return np.empty(0), np.empty(0, bool)
    place = found.names.index(name)
    complete = found.complete[place]
    return found.scores[place, complete].mean(axis=1), found.collapsed[place, complete]


def _learned_trials(records: pd.DataFrame, found: TunedScores) -> np.ndarray:
    """Whether each record is a confirm trial of a complete tuning that did not collapse."""
    counts = np.zeros(len(records), dtype=bool)
    confirm = np.flatnonzero(records["phase"] == CONFIRM)
    counts[confirm[found.places[found.complete & ~found.collapsed].ravel()]] = True
    return counts


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _finite_median(values: np.ndarray) -> float:
    """Median with misses as infinity; NaN where the median itself is a miss."""
    median = float(np.median(values)) if len(values) else np.inf
    return median if np.isfinite(median) else float("nan")
