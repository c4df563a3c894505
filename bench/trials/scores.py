"""Score of a trial: its AP, or the worst AP if it did not complete; and which runs learned nothing (collapsed).

A study may be judged by validation loss instead. A trial's score is then its skill, which like AP is maximized, 0 at
chance level and 1 at best. The score of a workload with another score is its gain over a failed run (`Score.gain`).
Only this module defines these rules.
"""

import numpy as np
import pandas as pd

from bench.trials.columns import numbers, study_records
from bench.trials.phases import CONFIRM
from bench.trials.score_names import AP_SCORE, LOSS_SCORE
from bench.trials.score_scale import AP_FLOOR, REFERENCE_LOSS, SELECT_SUFFIX, WORST_SCORE, skill
from bench.trials.status import Status
from bench.workloads.score import Score

MEASURED_AP = "measured_ap"
"""Column of `as_skill`: the AP of a trial that is not judged by AP."""


def collapsed(records: pd.DataFrame, floor: float = AP_FLOOR) -> pd.Series:
    """Return True for each trial that is a collapsed run: it completed or diverged, and scores below ``floor``.

    A trial that failed, ran out of memory or timed out is not collapsed: it is unknown what it would have learned.
    """
    ran = records["status"].isin([Status.COMPLETE, Status.DIVERGED])
    return (ran & (score(records) < floor)).rename("collapsed")


def has_scored(records: pd.DataFrame, floor: float = AP_FLOOR) -> bool:
    """Return True if any trial, of any phase, scored at least ``floor``."""
    return len(records) > 0 and bool((score(records) >= floor).any())


def score(records: pd.DataFrame, column: str = "ap") -> pd.Series:
    """Score each trial.

    Args:
        records: One row per trial, with ``status`` and ``column``.
        column: The AP to read: ``ap`` (last checkpoint) or ``ap_best`` (best checkpoint).

    Returns:
        One float per row, on the records' index: the AP of a complete trial; ``WORST_SCORE`` for every other status
        and for a complete trial whose AP is not a finite number.
    """
    return pd.Series(counted(records, column, WORST_SCORE), index=records.index, name=column)


def counted(records: pd.DataFrame, column: str, failure: float) -> np.ndarray:
    """Return the scores in a column as they count: ``failure`` where a trial did not complete or has no finite one."""
    values = numbers(records[column])
    counts = (records["status"] == Status.COMPLETE).to_numpy(bool) & np.isfinite(values)
    return np.where(counts, values, failure)


def as_skill(records: pd.DataFrame) -> pd.DataFrame:
    """Convert the records of a study that is judged by validation loss, so that an AP analysis reads skill.

    Args:
        records: One row per trial.

    Returns:
        The records with each trial's skill in ``ap``, its skill on the select split in ``ap_select``, and its AP in
        ``measured_ap``. ``ap_best`` is NaN, since the best checkpoint is chosen by AP.
    """
    if records.empty:
        return records
    loss, reference, on_select, select_reference, ap = (
        _measured(records, name)
        for name in (
            *(LOSS_SCORE, REFERENCE_LOSS),
            *(LOSS_SCORE + SELECT_SUFFIX, REFERENCE_LOSS + SELECT_SUFFIX, AP_SCORE),
        )
    )
    return records.assign(
        ap=skill(loss, reference),
        ap_select=skill(on_select, select_reference),
        ap_best=np.nan,
        **{MEASURED_AP: ap, LOSS_SCORE: loss},
    )


def as_gains(records: pd.DataFrame, own: Score) -> pd.DataFrame:
    """Convert the records, or the curves, of a workload with a score of its own, so that an AP analysis reads gains.

    Args:
        records: One row per trial, or per evaluation.
        own: The workload's score.

    Returns:
        The records with the gains of the score, of its best value during training and of its value on the select split
        in ``ap``, ``ap_best`` and ``ap_select``; unchanged if the score is AP.
    """
    if records.empty or (own.name == AP_SCORE and own.sign > 0 and not own.failure):
        return records
    measured = {f"{AP_SCORE}{end}": _measured(records, f"{own.name}{end}") for end in ("", "_best", SELECT_SUFFIX)}
    return records.assign(**{name: own.gain(values) for name, values in measured.items()})


def curves_as_skill(curves: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """Return the curves of a study judged by validation loss, with skill in ``ap``, from the reference losses in its
    records."""
    if curves.empty:
        return curves
    of_trial = dict(zip(records["trial_id"], _measured(records, REFERENCE_LOSS), strict=True))
    references = curves["trial_id"].map(of_trial).to_numpy(float)
    return curves.assign(ap=skill(_measured(curves, LOSS_SCORE), references))


def _measured(frame: pd.DataFrame, name: str) -> np.ndarray:
    return numbers(frame[name]) if name in frame else np.full(len(frame), np.nan)


def score_table(records: pd.DataFrame) -> pd.DataFrame:
    """Arrange the scores of the confirm trials by seed and optimizer, for paired comparisons.

    Args:
        records: One row per trial, all phases.

    Returns:
        Scores with ``seed`` as index and one column per optimizer, both sorted. NaN if a trial has no record yet.

    Raises:
        ValueError: An optimizer has two confirm records with the same seed.
    """
    records = study_records(records)
    confirm = records[records["phase"] == CONFIRM]
    twice = confirm[confirm.duplicated(["optimizer", "seed"])]
    if len(twice):
        first = twice.iloc[0]
        raise ValueError(
            f"{first['optimizer']} has more than one confirm record with seed {first['seed']}: "
            "pairing needs one record for each optimizer and seed"
        )
    seeds, rows = np.unique(confirm["seed"].to_numpy(), return_inverse=True)
    names, columns = np.unique(confirm["optimizer"].to_numpy(str), return_inverse=True)
    table = np.full((len(seeds), len(names)), np.nan)
    table[rows, columns] = score(confirm)
    return pd.DataFrame(
        table, index=pd.Index(seeds, name="seed"), columns=pd.Index(names, name="optimizer", dtype=object)
    )
