"""The score of a trial: its AP, and the worst AP for a trial that did not complete; which of them learned nothing.

A study may be judged by validation loss instead: then a trial's score is its skill, which is maximized, at chance 0 and
at best 1, as an AP is. The only place with these rules.
"""

from typing import Protocol

import numpy as np
import pandas as pd

from bench.trials.columns import numbers, study_records
from bench.trials.phases import CONFIRM
from bench.trials.score_names import AP_SCORE, LOSS_SCORE
from bench.trials.status import Status

REFERENCE_LOSS = "reference_loss"
"""Metric: the validation loss of finding nobody, on the same split as `val_loss`."""
ON_SELECT = "_select"
"""Ending of metrics that were measured on the select split besides."""
MEASURED_AP = "measured_ap"
"""Column of `as_skill`: the AP of a trial that is not judged by it."""

WORST_SCORE = 0.0
"""AP of a trial that diverged, failed, ran out of memory or timed out: the lowest AP there is, never a gap."""

COLLAPSE_SHARE = 0.02
"""Of a score's range, above what a run scores by chance: a run below has learned nothing."""

AP_FLOOR = 0.02
"""`collapse_floor` of AP."""


class ScoreRange(Protocol):
    """The part of a workload's score that says where it lies."""

    @property
    def low(self) -> float:
        """The lowest that a score can be."""

    @property
    def high(self) -> float:
        """The highest that a score can be."""

    @property
    def chance(self) -> float:
        """What a run scores that has learned nothing."""


def collapse_floor(score: ScoreRange) -> float:
    """The score under which a run has learned nothing: 0.02 for AP."""
    return score.chance + COLLAPSE_SHARE * (score.high - score.low)


def collapsed(records: pd.DataFrame, floor: float = AP_FLOOR) -> pd.Series:
    """Whether each trial is a collapsed run: it completed or diverged, and scores as if it had learned nothing.

    A trial that failed, ran out of memory or timed out is none: what it would have learned is not known.
    """
    ran = records["status"].isin([Status.COMPLETE, Status.DIVERGED])
    return (ran & (score(records) < floor)).rename("collapsed")


def has_scored(records: pd.DataFrame, floor: float = AP_FLOOR) -> bool:
    """Whether any trial, of whatever phase, has scored above chance."""
    return len(records) > 0 and bool((score(records) >= floor).any())


def score(records: pd.DataFrame, column: str = "ap") -> pd.Series:
    """Score each trial.

    Args:
        records: One row a trial, with ``status`` and ``column``.
        column: The AP to read: ``ap`` (last checkpoint) or ``ap_best`` (best checkpoint).

    Returns:
        One float a row on the records' index: the AP of a complete trial, ``WORST_SCORE`` for every other status and
        for a complete trial whose AP is not a finite number.
    """
    values = numbers(records[column])
    counts = (records["status"] == Status.COMPLETE).to_numpy(bool) & np.isfinite(values)
    return pd.Series(np.where(counts, values, WORST_SCORE), index=records.index, name=column)


def skill(losses: np.ndarray, references: np.ndarray) -> np.ndarray:
    """The share of the loss of finding nobody that a network takes away: 1 - loss / reference, not under 0.

    Args:
        losses: Validation losses.
        references: Of finding nobody on the same split: array of the same shape.

    Returns:
        Between 0 and 1; NaN where one of the two is not known.
    """
    known = np.isfinite(losses) & np.isfinite(references) & (references > 0)
    return np.where(known, np.maximum(1 - losses / np.where(known, references, 1.0), 0.0), np.nan)


def as_skill(records: pd.DataFrame) -> pd.DataFrame:
    """The records of a study that is judged by validation loss, as an analysis of scores reads them.

    Args:
        records: One row a trial.

    Returns:
        The records with the skill of each trial in the column ``ap``, that on the select split in ``ap_select``, and
        its AP in ``measured_ap``. ``ap_best`` is not known: best checkpoints are told by AP.
    """
    if records.empty:
        return records
    loss, reference, on_select, select_reference, ap = (
        _measured(records, name)
        for name in (
            *(LOSS_SCORE, REFERENCE_LOSS),
            *(LOSS_SCORE + ON_SELECT, REFERENCE_LOSS + ON_SELECT, AP_SCORE),
        )
    )
    return records.assign(
        ap=skill(loss, reference),
        ap_select=skill(on_select, select_reference),
        ap_best=np.nan,
        **{MEASURED_AP: ap, LOSS_SCORE: loss},
    )


def curves_as_skill(curves: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """The evaluations of such a study with the skill in ``ap``, by the reference loss of each trial's record."""
    if curves.empty:
        return curves
    of_trial = dict(zip(records["trial_id"], _measured(records, REFERENCE_LOSS), strict=True))
    references = curves["trial_id"].map(of_trial).to_numpy(float)
    return curves.assign(ap=skill(_measured(curves, LOSS_SCORE), references))


def _measured(frame: pd.DataFrame, name: str) -> np.ndarray:
    return numbers(frame[name]) if name in frame else np.full(len(frame), np.nan)


def score_table(records: pd.DataFrame) -> pd.DataFrame:
    """Arrange the scores of the confirm trials by seed, so that a row is a pairing.

    Args:
        records: One row a trial, all phases.

    Returns:
        Scores with ``seed`` as index and one column an optimizer, both sorted. NaN where a trial has no record yet.

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
