"""What was varied around the best combination, one setting at a time: which of it is a real gain, and what did nothing.

A variant costs attention, and there are many: it is taken only where it is faster than the best combination in the
blocks in which both were measured, by more than the machine's noise and with an interval that leaves out 1.
"""

from dataclasses import dataclass

import pandas as pd

from bench.kinds.loaders.analysis.choice import Gain, gain
from bench.kinds.loaders.analysis.configurations import END_TO_END, configuration_key
from bench.kinds.loaders.phases import AROUND
from bench.trials.loader_settings import SETTINGS, plain_setting
from bench.trials.status import Status


@dataclass(frozen=True)
class Variant:
    """The best combination but for one setting."""

    setting: str
    value: object
    key: str
    gain: Gain
    """Over the best combination, by the blocks in which both were measured."""
    epoch_gap_s: float
    """The border of two epochs with it, and with the best combination; NaN where there was none."""
    base_epoch_gap_s: float

    def is_faster(self, noise: float) -> bool:
        """Whether that is more than noise and chance."""
        return self.gain.low is not None and self.gain.low > 1 and self.gain.ratio - 1 > noise


def of_phase(rows: pd.DataFrame, phase: str) -> pd.DataFrame:
    """The rows of one phase of a study; all of them belong to the grid where phases are not told."""
    if "phase" not in rows:
        return rows if phase != AROUND else rows.iloc[:0]
    return rows[rows["phase"] == phase]


def variants(rows: pd.DataFrame, frame: pd.DataFrame, base: pd.Series) -> list[Variant]:
    """Every complete variant of ``base`` (a row of the summary ``frame``) that the study has measured around it."""
    own = of_phase(rows, AROUND)
    own = own[(own["arm"] == END_TO_END) & (own["status"] == Status.COMPLETE)] if len(own) else own
    if own.empty:
        return []
    found = []
    for key in dict.fromkeys(configuration_key(row) for _, row in own.iterrows()):
        row = frame[frame["key"] == key].iloc[0]
        changed = [name for name in SETTINGS if plain_setting(row[name]) != plain_setting(base[name])]
        if len(changed) == 1 and changed[0] != "num_workers":
            won = gain(own, row, base)
            value = plain_setting(row[changed[0]])
            found.append(Variant(changed[0], value, key, won, row["epoch_gap_s"], base["epoch_gap_s"]))
    return found


def best_variant(found: list[Variant], *, noise: float) -> Variant | None:
    """The fastest of those that are really faster than the best combination; None where none is."""
    faster = [each for each in found if each.is_faster(noise)]
    return max(faster, key=lambda each: each.gain.ratio, default=None)
