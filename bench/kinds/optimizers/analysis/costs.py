"""Cost of each optimizer in time and memory, and where the study's time went."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.trials.columns import numbers, rows_by_value, study_records, with_record_columns
from bench.trials.phases import CONFIRM, TUNE
from bench.trials.status import Status

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


MEDIANS = {
    "images_per_s": "images_per_s",
    "optimizer_step_ms": "optimizer_step_ms",
    "optimizer_state_bytes": "optimizer_state_bytes",
    "train_s": "train_seconds",
    "eval_s": "eval_seconds",
}
"""Columns that are medians over the timed trials, and the record column of each."""


def costs(records: pd.DataFrame) -> pd.DataFrame:
    """Return the cost of each optimizer.

    Args:
        records: One row a trial, all phases, with ``started_ms`` and ``ended_ms``.

    Returns:
        One row for each optimizer that has a record, sorted by name, NaN where nothing is known: ``images_per_s``,
        ``optimizer_step_ms``, ``optimizer_state_bytes``, ``train_s`` and ``eval_s`` (seconds a trial; medians over the
        ``timed_trials`` complete confirm trials, or, before there are any, over complete tune trials), ``trials`` (all
        recorded), ``trial_s_sum`` (wall seconds of all its trials, failed ones included) and ``time_share`` (of that
        sum over all optimizers).
    """
    records = study_records(records)
    seconds = trial_seconds(records).to_numpy()
    measured = {name: numbers(records[name]) for name in MEDIANS.values()}
    timed = timed_rows(records)
    cost_rows = []
    for name, rows in sorted(rows_by_value(records, "optimizer").items()):
        medians = {column: known_median(measured[source][timed[name]]) for column, source in MEDIANS.items()}
        finite = seconds[rows][np.isfinite(seconds[rows])]
        wall_seconds = finite.sum() if len(finite) else np.nan
        cost_rows.append(
            {"name": name}
            | medians
            | {"timed_trials": len(timed[name]), "trials": len(rows), "trial_s_sum": wall_seconds}
        )
    frame = pd.DataFrame(cost_rows, columns=[column for column in COLUMNS if column != "time_share"])
    total = frame["trial_s_sum"].sum()
    return frame.assign(time_share=frame["trial_s_sum"] / total if total > 0 else np.nan)


def update_counts(records: pd.DataFrame) -> pd.DataFrame:
    """Return the gradient evaluations and updates (steps of the optimizer) of a trial of each optimizer.

    Budgets count gradient evaluations (``steps_done``); records have ``updates`` only where they differ from these.

    Args:
        records: One row a trial, all phases.

    Returns:
        One row an optimizer, sorted by ``name``: ``gradient_evaluations`` and ``updates``, medians over the same trials
        as the times of `costs`. No rows if they are equal in all trials.
    """
    records = study_records(records)
    evaluations, counted = numbers(records["steps_done"]), numbers(records["updates"])
    updates = np.where(np.isfinite(counted), counted, evaluations)
    rows = []
    if np.isfinite(counted).any() and (updates != evaluations)[np.isfinite(counted)].any():
        rows = [
            {
                "name": name,
                "gradient_evaluations": known_median(evaluations[timed]),
                "updates": known_median(updates[timed]),
            }
            for name, timed in sorted(timed_rows(records).items())
        ]
    return pd.DataFrame(rows, columns=["name", "gradient_evaluations", "updates"])


def timed_rows(records: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the rows whose medians are an optimizer's speed: its complete confirm trials or, before there are any, its
    complete tune trials.

    Args:
        records: From `study_records`.

    Returns:
        Row numbers by optimizer; empty where no trial completed.
    """
    complete = (records["status"] == Status.COMPLETE).to_numpy(bool)
    confirm, tune = ((records["phase"] == phase).to_numpy(bool) for phase in (CONFIRM, TUNE))
    timed = {}
    for name, rows in rows_by_value(records, "optimizer").items():
        confirmed = rows[complete[rows] & confirm[rows]]
        timed[name] = confirmed if len(confirmed) else rows[complete[rows] & tune[rows]]
    return timed


def trial_seconds(records: pd.DataFrame) -> pd.Series:
    """Return the wall seconds of each trial's run, from begin to end; NaN where unknown."""
    return (_number(records["ended_ms"]) - _number(records["started_ms"])) / 1000


@dataclass(frozen=True)
class TimeUse:
    """The wall time of a study's sessions by activity, in seconds and as shares."""

    wall_s: float
    train_s: float
    eval_s: float
    data_s: float
    other_s: float
    train_share: float
    eval_share: float
    data_share: float
    overhead_share: float
    workers: float
    sessions: int


def time_use(records: pd.DataFrame, sessions: pd.DataFrame) -> TimeUse | None:
    """Compute where the time of a study went.

    Its overhead is 1 - (training + evaluation + data generation) / wall time. A session with W workers offers W seconds
    of work each second, and generating data takes all of them: with the same W throughout, training and evaluation are
    the trials' sums divided by W, and data generation is its wall time. A killed session ends at its last-seen time, or
    with the last recorded trial that began in it, whichever is later.

    Args:
        records: One row a trial, with ``started_ms``, ``ended_ms``, ``train_seconds`` and ``eval_seconds``.
        sessions: One row a process that worked on the study: ``began_ms``, ``heard_ms`` (last seen), ``workers``,
            ``data_s``.

    Returns:
        None if unknown: sessions were not recorded, a trial ran before the first of them (an earlier version's, or
        another host's clock), or two worked on the study at the same time.
    """
    records = with_record_columns(records)
    sessions = sessions.sort_values("began_ms", ignore_index=True)
    started, ended = _number(records["started_ms"]), _number(records["ended_ms"])
    if sessions.empty or not (started >= sessions["began_ms"].min()).all():
        return None
    began = sessions["began_ms"].astype(float)
    session_of_trial = pd.Series(np.searchsorted(began, started, side="right") - 1, index=records.index)
    last_ended = ended.groupby(session_of_trial).max().reindex(sessions.index)
    lengths = (np.fmax(sessions["heard_ms"].astype(float), last_ended) - began) / 1000
    wall, offered = float(lengths.sum()), float((lengths * sessions["workers"]).sum())
    overlapping = (began.shift(-1) < sessions["heard_ms"]).any()
    if offered <= 0 or overlapping:
        return None
    data = float((sessions["data_s"] * sessions["workers"]).sum()) / offered
    train, evaluate = (float(_number(records[name]).sum()) / offered for name in ("train_seconds", "eval_seconds"))
    other = 1 - train - evaluate - data
    if other < 0:  # sessions overlapped, and one was killed before recording it
        return None
    return TimeUse(
        wall_s=wall,
        train_s=train * wall,
        eval_s=evaluate * wall,
        data_s=data * wall,
        other_s=other * wall,
        train_share=train,
        eval_share=evaluate,
        data_share=data,
        overhead_share=other,
        workers=offered / wall,
        sessions=len(sessions),
    )


def known_median(values: np.ndarray) -> float:
    """Return the median of the finite values; NaN if there are none."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else float("nan")


def _number(column: pd.Series) -> pd.Series:
    return pd.Series(numbers(column), index=column.index)
