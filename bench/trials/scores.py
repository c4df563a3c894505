"""The score of a trial: its AP, and the worst AP for a trial that did not complete; which of them learned nothing.

The only place with these rules.
"""

from typing import Protocol

import numpy as np
import pandas as pd

from bench.trials.columns import numbers, study_records
from bench.trials.phases import CONFIRM
from bench.trials.status import Status

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
