"""Arrange the scores of the confirm trials by optimizer, tuning and seed: the data behind every claim."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.statistics.nested import optimizer_mean_intervals, tuning_spreads
from bench.trials.columns import study_records
from bench.trials.phases import CONFIRM
from bench.trials.score_scale import AP_FLOOR
from bench.trials.scores import collapsed, score
from bench.trials.status import FAULTS

AP_ENDS = (0.0, 1.0)
"""Lowest and highest possible AP."""


@dataclass(frozen=True)
class TunedScores:
    """Scores of the confirm trials, and how each tuning ended.

    Attributes:
        names: Optimizers with a confirm record, sorted.
        scores: Array (optimizers, tunings, seeds); NaN: no record yet. A tuning's seeds are the same for all
            optimizers.
        complete: Array (optimizers, tunings): whether all confirm trials of the tuning are recorded. Only complete
            tunings are used.
        collapsed: Array (optimizers, tunings): complete, and one of its runs learned nothing.
        failed: Array (optimizers, tunings): complete, and one of its runs failed (it scores 0).
        record_rows: Row in `confirm_records` of each element of ``scores``; -1: none.
        floor: Score under which a run has learned nothing.
        ends: Lowest and highest possible score.
    """

    names: tuple[str, ...]
    scores: np.ndarray
    complete: np.ndarray
    collapsed: np.ndarray
    failed: np.ndarray
    record_rows: np.ndarray
    floor: float
    ends: tuple[float, float] = AP_ENDS

    @property
    def steady(self) -> np.ndarray:
        """Array (optimizers): whether the optimizer has a complete tuning, and none that collapsed or failed."""
        steady: np.ndarray = self.complete.any(axis=1) & ~(self.collapsed | self.failed).any(axis=1)
        return steady

    def arrange(self, values: np.ndarray) -> np.ndarray:
        """Arrange values of the rows of `confirm_records` like ``scores``; NaN: no record."""
        return np.where(self.record_rows >= 0, np.append(values, np.nan)[self.record_rows], np.nan)


def confirm_records(records: pd.DataFrame) -> pd.DataFrame:
    """Return the study's own confirm trials, with every column, rows numbered from 0."""
    records = study_records(records)
    return records[records["phase"] == CONFIRM].reset_index(drop=True)


def tuned_scores(
    records: pd.DataFrame,
    *,
    seeds: int | None = None,
    floor: float = AP_FLOOR,
    ends: tuple[float, float] = AP_ENDS,
) -> TunedScores:
    """Arrange the confirm trials by optimizer, tuning and seed.

    Args:
        records: One row a trial, all phases, in any order.
        seeds: Number of confirm trials of each tuning; None: the maximum over the tunings.
        floor: Score under which a run has learned nothing.
        ends: Lowest and highest possible score.

    Raises:
        ValueError: A tuning of an optimizer has two confirm records with one seed, or more records than ``seeds``.
    """
    confirm = confirm_records(records)
    keys = ["optimizer", "tuning", "seed"]
    duplicates = confirm[confirm.duplicated(keys)]
    if len(duplicates):
        first = duplicates.iloc[0]
        raise ValueError(
            f"{first['optimizer']} has more than one confirm record of tuning {first['tuning']} with seed "
            f"{first['seed']}: only one is allowed for each optimizer, tuning and seed"
        )
    names = tuple(sorted(confirm["optimizer"].astype(str).unique()))
    rows = np.array([names.index(name) for name in confirm["optimizer"].astype(str)], dtype=int)
    tunings = confirm["tuning"].to_numpy(int)
    # The rank of a seed among those of its tuning, over the records of all optimizers.
    seed_columns = confirm.groupby("tuning")["seed"].rank(method="dense").to_numpy(int) - 1 if len(confirm) else rows
    seed_count = seeds or int(seed_columns.max(initial=-1)) + 1
    if len(confirm) and seed_columns.max() >= seed_count:
        raise ValueError(f"a tuning has more than {seed_count} confirm seeds")
    record_rows = np.full((len(names), int(tunings.max(initial=-1)) + 1, seed_count), -1)
    record_rows[rows, tunings, seed_columns] = np.arange(len(confirm))
    complete = np.asarray((record_rows >= 0).all(axis=2) & (seed_count > 0))
    unfilled = TunedScores(names, np.empty(0), complete, complete, complete, record_rows, floor)
    scores, learned_nothing, faults = (
        unfilled.arrange(column.to_numpy(float))
        for column in (score(confirm), collapsed(confirm, floor), confirm["status"].isin(FAULTS))
    )
    return TunedScores(
        names=names,
        scores=scores,
        complete=complete,
        collapsed=complete & (learned_nothing == 1).any(axis=2),
        failed=complete & (faults == 1).any(axis=2),
        record_rows=record_rows,
        floor=floor,
        ends=ends,
    )


def common_tunings(tuned: TunedScores, among: Sequence[int]) -> np.ndarray:
    """Return the numbers of the tunings that are complete for all optimizers with an index in ``among``."""
    return np.flatnonzero(tuned.complete[list(among)].all(axis=0))


def learned_mean_intervals(tuned: TunedScores, values: np.ndarray) -> list[tuple[float, float, float]]:
    """Return each optimizer's mean over its complete tunings that did not collapse, with its 95 % interval within the
    range of the score.

    The interval is given only where none collapsed or failed: its variance is pooled over the steady optimizers that
    have the same tunings. NaN where unknown.

    Args:
        tuned: From `tuned_scores`.
        values: Array like ``tuned.scores``: the scores, or another value of the same trials.

    Returns:
        (mean, low, high) by optimizer, in the order of ``tuned.names``.
    """
    rows = []
    means_by_tuning = (
        np.where(tuned.complete, values.mean(axis=2), np.nan) if values.size else np.empty(tuned.complete.shape)
    )
    for row, complete in enumerate(tuned.complete):
        learned = means_by_tuning[row, complete & ~tuned.collapsed[row]]
        mean = float(learned.mean()) if len(learned) else np.nan
        low = high = np.nan
        tuning_numbers = np.flatnonzero(complete)
        if tuned.steady[row] and len(tuning_numbers) > 1 and np.isfinite(values[row, tuning_numbers]).all():
            finite = np.isfinite(values[:, tuning_numbers]).all(axis=(1, 2))
            peers = np.flatnonzero(tuned.steady & finite & tuned.complete[:, tuning_numbers].all(axis=1))
            spreads = tuning_spreads(values[peers][:, tuning_numbers][None], floor=-np.inf)
            peer_index = int(np.flatnonzero(peers == row)[0])
            low, high = (
                float(ends[0, peer_index])
                for ends in optimizer_mean_intervals(spreads, lowest=tuned.ends[0], highest=tuned.ends[1])
            )
        rows.append((mean, low, high))
    return rows
