"""What each optimizer cost, and where the study's time went."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.trials.columns import numbers, places_by, study_records, with_record_columns
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
"""Columns that are medians over the timed trials, and what of."""


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
    records = study_records(records)
    seconds = trial_seconds(records).to_numpy()
    measured = {name: numbers(records[name]) for name in MEDIANS.values()}
    timed = timed_places(records)
    rows = []
    for name, own in sorted(places_by(records, "optimizer").items()):
        medians = {column: known_median(measured[source][timed[name]]) for column, source in MEDIANS.items()}
        known = seconds[own][np.isfinite(seconds[own])]
        spent = known.sum() if len(known) else np.nan
        rows.append(
            {"name": name} | medians | {"timed_trials": len(timed[name]), "trials": len(own), "trial_s_sum": spent}
        )
    frame = pd.DataFrame(rows, columns=[column for column in COLUMNS if column != "time_share"])
    total = frame["trial_s_sum"].sum()
    return frame.assign(time_share=frame["trial_s_sum"] / total if total > 0 else np.nan)


def timed_places(records: pd.DataFrame) -> dict[str, np.ndarray]:
    """Rows of the trials whose medians are an optimizer's speed: complete confirm trials, else complete tune trials.

    Args:
        records: From `study_records`.

    Returns:
        Row numbers by optimizer; none where no trial completed.
    """
    complete = (records["status"] == Status.COMPLETE).to_numpy(bool)
    confirm, tune = ((records["phase"] == phase).to_numpy(bool) for phase in (CONFIRM, TUNE))
    found = {}
    for name, own in places_by(records, "optimizer").items():
        confirmed = own[complete[own] & confirm[own]]
        found[name] = confirmed if len(confirmed) else own[complete[own] & tune[own]]
    return found


def trial_seconds(records: pd.DataFrame) -> pd.Series:
    """Wall seconds of each trial, from its run's begin to its end; NaN where these are not known."""
    return (_number(records["ended_ms"]) - _number(records["started_ms"])) / 1000


@dataclass(frozen=True)
class TimeUse:
    """Where the wall time of a study's sessions went, in seconds, and in shares of it.

    Attributes:
        wall_s: From each session's begin to its end, added up over the sessions; pauses between them are none of it.
        train_s: Inside training: the sum over the recorded trials, divided by the trials that ran at once.
        eval_s: Inside evaluation, likewise.
        data_s: Generating the data set, before the first trial.
        other_s: The rest. Trials that failed or were given back are in it, idle workers too; but not what a killed
            session did after its last record.
        train_share: ``train_s`` over ``wall_s``.
        eval_share: ``eval_s`` over ``wall_s``.
        data_share: ``data_s`` over ``wall_s``.
        overhead_share: ``other_s`` over ``wall_s``.
        workers: Trials that ran at once: the mean over the sessions by their length.
        sessions: How many worked on the study.
    """

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
    """Where the time of a study went: 1 - (training + evaluation + data generation) / wall time is its overhead.

    A session with W workers offers W seconds of work each second, and generating data takes all of them: with the same
    W throughout, training and evaluation are the trials' sums divided by W, and data generation is its wall time.
    A session that was killed ends with the last of the trials that began in it and were recorded, or where it was last
    heard of.

    Args:
        records: One row a trial, with ``started_ms``, ``ended_ms``, ``train_seconds`` and ``eval_seconds``.
        sessions: One row a process that worked on the study: ``began_ms``, ``heard_ms``, ``workers``, ``data_s``.

    Returns:
        None where it is not known: sessions were not recorded, a trial ran before the first of them (an earlier
        version's, or another host's clock), or two worked on the study at the same time.
    """
    records = with_record_columns(records)
    sessions = sessions.sort_values("began_ms", ignore_index=True)
    started, ended = _number(records["started_ms"]), _number(records["ended_ms"])
    if sessions.empty or not (started >= sessions["began_ms"].min()).all():
        return None
    began = sessions["began_ms"].astype(float)
    own = pd.Series(np.searchsorted(began, started, side="right") - 1, index=records.index)  # each trial's session
    last = ended.groupby(own).max().reindex(sessions.index)
    lengths = (np.fmax(sessions["heard_ms"].astype(float), last) - began) / 1000
    wall, offered = float(lengths.sum()), float((lengths * sessions["workers"]).sum())
    together = (began.shift(-1) < sessions["heard_ms"]).any()
    if offered <= 0 or together:
        return None
    data = float((sessions["data_s"] * sessions["workers"]).sum()) / offered
    train, evaluate = (float(_number(records[name]).sum()) / offered for name in ("train_seconds", "eval_seconds"))
    other = 1 - train - evaluate - data
    if other < 0:  # sessions that overlapped, one of them killed before it could say so
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
    """Median of the measured values; NaN where nothing was measured."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _number(column: pd.Series) -> pd.Series:
    return pd.Series(numbers(column), index=column.index)
