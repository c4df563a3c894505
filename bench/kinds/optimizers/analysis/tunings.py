"""The confirm trials by optimizer, tuning and seed: what claims about procedures are made of."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.statistics.nested import mean_ends, tuning_spreads
from bench.trials.columns import study_records
from bench.trials.phases import CONFIRM
from bench.trials.scores import AP_FLOOR, collapsed, score
from bench.trials.status import FAULTS


@dataclass(frozen=True)
class TunedScores:
    """Scores of the confirm trials, and how each tuning ended.

    Attributes:
        names: Optimizers with a confirm record, sorted.
        scores: Array (optimizers, tunings, seeds); NaN: no record yet. A tuning's seeds are the same for all.
        complete: Array (optimizers, tunings): whether all confirm trials of the tuning are recorded. Only then it
            counts.
        collapsed: Array (optimizers, tunings): complete, and one of its runs learned nothing.
        failed: Array (optimizers, tunings): complete, and one of its runs failed (it scores 0).
        places: Row of the confirm records (from `confirm_records`) in each place of ``scores``; -1: none.
        floor: Score under which a run has learned nothing.
    """

    names: tuple[str, ...]
    scores: np.ndarray
    complete: np.ndarray
    collapsed: np.ndarray
    failed: np.ndarray
    places: np.ndarray
    floor: float

    @property
    def steady(self) -> np.ndarray:
        """Array (optimizers): has a complete tuning, and none of them collapsed or failed."""
        steady: np.ndarray = self.complete.any(axis=1) & ~(self.collapsed | self.failed).any(axis=1)
        return steady

    def filled(self, values: np.ndarray) -> np.ndarray:
        """Values of the confirm records (as `confirm_records` has them) in the places of ``scores``."""
        return np.where(self.places >= 0, np.append(values, np.nan)[self.places], np.nan)


def confirm_records(records: pd.DataFrame) -> pd.DataFrame:
    """The study's own confirm trials, with every column, rows numbered from 0."""
    records = study_records(records)
    return records[records["phase"] == CONFIRM].reset_index(drop=True)


def tuned_scores(records: pd.DataFrame, *, seeds: int | None = None, floor: float = AP_FLOOR) -> TunedScores:
    """Arrange the confirm trials.

    Args:
        records: One row a trial, all phases, in any order.
        seeds: Confirm trials of each tuning; None: the most that any tuning has.
        floor: Score under which a run has learned nothing.

    Raises:
        ValueError: A tuning of an optimizer has two confirm records with one seed, or more records than ``seeds``.
    """
    confirm = confirm_records(records)
    keys = ["optimizer", "tuning", "seed"]
    twice = confirm[confirm.duplicated(keys)]
    if len(twice):
        first = twice.iloc[0]
        raise ValueError(
            f"{first['optimizer']} has more than one confirm record of tuning {first['tuning']} with seed "
            f"{first['seed']}: there is one for each optimizer, tuning and seed"
        )
    names = tuple(sorted(confirm["optimizer"].astype(str).unique()))
    rows = np.array([names.index(name) for name in confirm["optimizer"].astype(str)], dtype=int)
    tunings = confirm["tuning"].to_numpy(int)
    # A block's seeds in order: the place of a seed among those of its tuning, whoever has a record with it.
    seed_places = confirm.groupby("tuning")["seed"].rank(method="dense").to_numpy(int) - 1 if len(confirm) else rows
    most = seeds or int(seed_places.max(initial=-1)) + 1
    if len(confirm) and seed_places.max() >= most:
        raise ValueError(f"a tuning has more than {most} confirm seeds")
    places = np.full((len(names), int(tunings.max(initial=-1)) + 1, most), -1)
    places[rows, tunings, seed_places] = np.arange(len(confirm))
    complete = np.asarray((places >= 0).all(axis=2) & (most > 0))
    empty = TunedScores(names, np.empty(0), complete, complete, complete, places, floor)
    scores, learned_nothing, faults = (
        empty.filled(column.to_numpy(float))
        for column in (score(confirm), collapsed(confirm, floor), confirm["status"].isin(FAULTS))
    )
    return TunedScores(
        names=names,
        scores=scores,
        complete=complete,
        collapsed=complete & (learned_nothing == 1).any(axis=2),
        failed=complete & (faults == 1).any(axis=2),
        places=places,
        floor=floor,
    )


def common_tunings(found: TunedScores, among: Sequence[int]) -> np.ndarray:
    """Numbers of the tunings that all these optimizers (by place) have complete."""
    return np.flatnonzero(found.complete[list(among)].all(axis=0))


def learned_mean_intervals(found: TunedScores, values: np.ndarray) -> list[tuple[float, float, float]]:
    """Mean of each optimizer over its complete tunings that did not collapse, with its 95 % interval in 0..1.

    The interval stands only where none collapsed or failed: the spread is shared with the other steady optimizers that
    have the same tunings. NaN where nothing is known.

    Args:
        found: Who has which tunings.
        values: Array as ``found.scores``: the scores, or something else of the same trials.
    """
    rows = []
    tuned = np.where(found.complete, values.mean(axis=2), np.nan) if values.size else np.empty(found.complete.shape)
    for place, complete in enumerate(found.complete):
        learned = tuned[place, complete & ~found.collapsed[place]]
        mean = float(learned.mean()) if len(learned) else np.nan
        low = high = np.nan
        own = np.flatnonzero(complete)
        if found.steady[place] and len(own) > 1 and np.isfinite(values[place, own]).all():
            finite = np.isfinite(values[:, own]).all(axis=(1, 2))
            peers = np.flatnonzero(found.steady & finite & found.complete[:, own].all(axis=1))
            spreads = tuning_spreads(values[peers][:, own][None], floor=-np.inf)
            at = int(np.flatnonzero(peers == place)[0])
            low, high = (float(ends[0, at]) for ends in mean_ends(spreads))
        rows.append((mean, low, high))
    return rows
