"""One row an optimizer, best first: what the report's main table shows."""

import json
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.kinds.optimizers.analysis.selection import best_trials
from bench.kinds.optimizers.analysis.targets import default_target, time_to_target
from bench.statistics.intervals import Interval, mean_intervals
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
    "best_checkpoint_ap_mean",
    "target_ap",
    "time_to_target_s",
    "steps_to_target",
    "targets_reached",
    "diverged",
    "failed",
    "pruned",
    "confirm_unfinished",
    "tune_trials",
    "at_border",
)

NOT_NUMBERS = ("name", "settings", "at_border")
COUNTS = ("n", "targets_reached", "diverged", "failed", "pruned", "confirm_unfinished", "tune_trials")


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
        (confirm records), ``best_checkpoint_ap_mean`` (NaN where a complete trial has not measured it),
        ``target_ap``, ``time_to_target_s`` and ``steps_to_target``
        (median over seeds, a miss infinite; NaN where that median is), ``targets_reached`` (trials), ``diverged`` and
        ``pruned`` (trials, both phases), ``failed`` (any other that is not complete, both phases),
        ``confirm_unfinished`` (confirm trials that count as AP 0), ``tune_trials``, ``at_border`` (list of
        hyperparameters).
    """
    records = study_records(records)
    chosen = dict(best_trials(records)["hyperparameters"])
    phase, status, texts, borders = (
        records[name].to_numpy(object) for name in ("phase", "status", "hyperparameters", "at_border")
    )
    last, best = score(records).to_numpy(), score(records, "ap_best").to_numpy()
    known = (status != Status.COMPLETE) | np.isfinite(numbers(records["ap_best"]))
    places = sorted(places_by(records, "optimizer").items())
    confirmed = {name: own[phase[own] == CONFIRM] for name, own in places}
    scores = {name: last[own] for name, own in confirmed.items()}
    target = default_target(scores) if target is None else target
    times = time_to_target(records, curves, target)
    times_of = places_by(times, "optimizer")
    seconds, steps, reached = (times[name].to_numpy() for name in ("seconds", "steps", "reached"))
    intervals = _intervals(scores, resamples, seed)
    rows = []
    for name, own in places:
        confirm, interval, own_times = confirmed[name], intervals[name].of_ap(), times_of.get(name, np.zeros(0, int))
        settings = confirmed_settings(texts[confirm], chosen.get(name, "{}"))
        own_status = status[own]
        rows.append(
            {
                "name": name,
                "settings": settings,
                "ap_mean": interval.estimate,
                "ap_median": np.median(scores[name]) if len(confirm) else None,
                "ap_low": interval.low,
                "ap_high": interval.high,
                "n": len(confirm),
                "best_checkpoint_ap_mean": best[confirm].mean() if len(confirm) and known[confirm].all() else None,
                "target_ap": target,
                "time_to_target_s": _finite_median(seconds[own_times]),
                "steps_to_target": _finite_median(steps[own_times]),
                "targets_reached": int(reached[own_times].sum()),
                "diverged": int((own_status == Status.DIVERGED).sum()),
                "failed": int(
                    (~np.isin(own_status.astype(str), [Status.COMPLETE, Status.DIVERGED, Status.PRUNED])).sum()
                ),
                "pruned": int((own_status == Status.PRUNED).sum()),
                "confirm_unfinished": int((status[confirm] != Status.COMPLETE).sum()),
                "tune_trials": int((phase[own] == TUNE).sum()),
                "at_border": _flagged(borders[own], texts[own], settings),
            }
        )
    means = np.array([np.nan if row["ap_mean"] is None else row["ap_mean"] for row in rows]).round(AP_DECIMALS)
    ranks = [1.0 + np.sum(means > mean) if np.isfinite(mean) else np.nan for mean in means]
    best_first = np.argsort(np.nan_to_num(ranks, nan=np.inf), kind="stable")  # rows are sorted by name
    ordered = [rows[place] | {"rank": ranks[place]} for place in best_first]
    kinds = dict.fromkeys(COLUMNS, float) | dict.fromkeys(COUNTS, int) | dict.fromkeys(NOT_NUMBERS, object)
    return pd.DataFrame({name: pd.Series([row[name] for row in ordered], dtype=kinds[name]) for name in COLUMNS})


def unranked(summary: pd.DataFrame, order: Sequence[str]) -> pd.DataFrame:
    """The summary in the given order, without ranks, times to a target and borders: where these would be noise."""
    place = {name: number for number, name in enumerate(order)}
    ordered = summary.sort_values(["name"], key=lambda names: names.map(place), ignore_index=True)
    empty = ("rank", "target_ap", "time_to_target_s", "steps_to_target", "targets_reached")
    borders: list[list[str]] = [[] for _ in range(len(ordered))]
    return ordered.assign(**dict.fromkeys(empty, float("nan")), at_border=pd.Series(borders, dtype=object))


def _intervals(scores: dict[str, np.ndarray], resamples: int, seed: int) -> dict[str, Interval]:
    """Interval of each optimizer's mean; those with as many seeds together, which is fast."""
    found: dict[str, Interval] = {}
    for n in {len(values) for values in scores.values()}:
        names = [name for name, values in scores.items() if len(values) == n]
        samples = np.stack([scores[name] for name in names])
        found.update(zip(names, mean_intervals(samples, resamples=resamples, seed=seed), strict=True))
    return found


def confirmed_settings(texts: Sequence[str], chosen: str) -> str:
    """Hyperparameters (JSON) of one optimizer's confirm trials: the most frequent ones; before any the ``chosen``."""
    counts = Counter(texts)
    text = max(sorted(counts), key=counts.__getitem__) if counts else chosen
    return json.dumps(json.loads(text), sort_keys=True)


def _flagged(borders: np.ndarray, texts: np.ndarray, settings: str) -> list[str]:
    """Hyperparameters that one optimizer's records with these settings name as lying at a border."""
    named = [(border, text) for border, text in zip(borders, texts, strict=True) if isinstance(border, str) and border]
    same = [border for border, text in named if json.dumps(json.loads(text), sort_keys=True) == settings]
    return sorted({name.strip() for border in same for name in border.split(",") if name.strip()})


def _finite_median(values: np.ndarray) -> float:
    """Median with misses as infinity; NaN where the median itself is a miss."""
    median = float(np.median(values)) if len(values) else np.inf
    return median if np.isfinite(median) else float("nan")
