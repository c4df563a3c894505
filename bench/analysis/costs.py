"""What each optimizer cost, and where the study's time went."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.analysis.columns import COMPLETE, CONFIRM, TUNE, with_record_columns

PAUSE_S = 60.0
"""A gap between two trials longer than this is an interruption, not the study's own doing: no time of the study."""

COLUMNS = (
    "name",
    "images_per_s",
    "optimizer_step_ms",
    "optimizer_state_bytes",
    "train_s",
    "eval_s",
    "timed_trials",
    "trials",
    "trial_s_sum",
    "time_share",
)


def costs(records: pd.DataFrame) -> pd.DataFrame:
    """What each optimizer cost.

    Args:
        records: One row a trial, all phases, with ``started_ms`` and ``ended_ms``.

    Returns:
        One row for each optimizer that has a record, sorted by name, NaN where nothing is known: ``images_per_s``,
        ``optimizer_step_ms``, ``optimizer_state_bytes``, ``train_s`` and ``eval_s`` (seconds a trial; medians over the
        ``timed_trials`` complete confirm trials, over complete tune trials before there are any), ``trials`` (all
        recorded), ``trial_s_sum`` (wall seconds of all its trials, failed ones included) and ``time_share`` (of that
        sum over all optimizers).
    """
    records = with_record_columns(records)
    seconds = trial_seconds(records)
    rows = []
    for name, own in records.groupby("optimizer"):
        timed = timed_trials(own)
        rows.append(
            {
                "name": name,
                "images_per_s": known_median(timed["images_per_s"]),
                "optimizer_step_ms": known_median(timed["optimizer_step_ms"]),
                "optimizer_state_bytes": known_median(timed["optimizer_state_bytes"]),
                "train_s": known_median(timed["train_seconds"]),
                "eval_s": known_median(timed["eval_seconds"]),
                "timed_trials": len(timed),
                "trials": len(own),
                "trial_s_sum": seconds[own.index].sum(min_count=1),
            }
        )
    frame = pd.DataFrame(rows, columns=[column for column in COLUMNS if column != "time_share"])
    total = frame["trial_s_sum"].sum()
    return frame.assign(time_share=frame["trial_s_sum"] / total if total > 0 else np.nan)


def timed_trials(own: pd.DataFrame) -> pd.DataFrame:
    """One optimizer's trials whose medians are its speed: complete confirm trials, else complete tune trials."""
    complete = own[own["status"] == COMPLETE]
    confirm = complete[complete["phase"] == CONFIRM]
    return confirm if len(confirm) else complete[complete["phase"] == TUNE]


def trial_seconds(records: pd.DataFrame) -> pd.Series:
    """Wall seconds of each trial, from its run's begin to its end; NaN where these are not known."""
    return (_number(records["ended_ms"]) - _number(records["started_ms"])) / 1000


@dataclass(frozen=True)
class TimeUse:
    """Where a study's time went, in seconds.

    Attributes:
        wall: From the first trial's start to the last one's end, pauses left out, times the workers.
        train: Inside training.
        evaluate: Inside evaluation.
        other: The rest: building networks and loaders, sample images, records, waiting; and trials that failed,
            whose training was not measured.
        pauses: Gaps of over `PAUSE_S` without a running trial, left out of ``wall``.
        workers: Trials that ran at once, at most.
    """

    wall: float
    train: float
    evaluate: float
    other: float
    pauses: float
    workers: int


def time_use(records: pd.DataFrame) -> TimeUse | None:
    """Add up where the time of a study's recorded trials went; None where their times are not known."""
    records = with_record_columns(records)
    times = pd.DataFrame({"start": _number(records["started_ms"]), "end": _number(records["ended_ms"])}) / 1000
    times = times.dropna().sort_values("start")
    if times.empty:
        return None
    ended_so_far = times["end"].cummax().shift()
    gaps = (times["start"] - ended_so_far).clip(lower=0).fillna(0)
    pauses = float(gaps[gaps > PAUSE_S].sum())
    workers = max(int(_number(records["concurrent_trials"]).fillna(1).max()), 1)
    wall = float(times["end"].max() - times["start"].min() - pauses) * workers
    train, evaluate = (float(_number(records[name]).sum()) for name in ("train_seconds", "eval_seconds"))
    return TimeUse(wall, train, evaluate, max(wall - train - evaluate, 0.0), pauses, workers)


def known_median(column: pd.Series) -> float:
    """Median of the measured values; NaN where nothing was measured."""
    known = _number(column)
    known = known[np.isfinite(known)]
    return float(known.median()) if len(known) else float("nan")


def _number(column: pd.Series) -> pd.Series:
    return pd.to_numeric(column, errors="coerce").astype(float)
