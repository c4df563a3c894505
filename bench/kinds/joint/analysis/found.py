"""What a joint study's records hold, put together once for all that the report says of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from bench.kinds.joint.analysis.picks import (
    Confirmed,
    Pick,
    confirmed,
    holders,
    learned,
    objective_values,
    picks,
    search_trials,
)
from bench.kinds.joint.objectives import AP_AT_TIME, AXES
from bench.report.names import short_names
from bench.statistics.pareto import hypervolume_history, on_front
from bench.statistics.repeats import Repeats, repeats
from bench.trials.columns import numbers, rows_of
from bench.trials.needed import Needed
from bench.trials.phases import CONFIRM
from bench.trials.status import Status

LEAST_REPEATS = 3
"""Repeated trials under which nothing is said of how noisy images/s are."""
NOISY, MOSTLY_NOISE = 0.25, 0.5
"""Shares of the variance of images/s that repeats show from which on it is not chosen by them, and is mostly noise."""


@dataclass(frozen=True)
class JointFound:
    """A joint study's records with what the study was asked; the fields are the arguments of `joint_findings`."""

    records: pd.DataFrame
    objective: str
    importances: pd.DataFrame
    optimizers: Sequence[str]
    optimizer_lines: Mapping[str, str]
    fixed: int
    search_trials: int
    seeds: int
    sampler: str
    length: str
    data: str
    loader: Mapping[str, Any]
    hosts: int
    floor: float
    train_commands: Mapping[str, str]
    train_notes: Mapping[str, str]
    beginning: str
    needed: Needed | None

    @property
    def single(self) -> bool:
        """Whether AP alone was maximised."""
        return self.objective == AP_AT_TIME

    @cached_property
    def names(self) -> dict[str, str]:
        """Short names of the optimizers."""
        return short_names([*self.optimizers, *sorted(self.trials["optimizer"].astype(str).unique())])

    @cached_property
    def trials(self) -> pd.DataFrame:
        """The search's trials that have ended; ``number`` is their place in the plan, from 1."""
        found = search_trials(self.records)
        return found.assign(number=found["index"].astype(int) + 1)

    @cached_property
    def complete(self) -> pd.DataFrame:
        """Those that ended well."""
        return self.trials[self.trials["status"] == Status.COMPLETE]

    @cached_property
    def confirm(self) -> pd.DataFrame:
        """The trials of fresh seeds."""
        phases = self.records.get("phase", pd.Series(dtype=object))
        return self.records[phases == CONFIRM]

    @cached_property
    def reached(self) -> np.ndarray:
        """The objectives (trials, 1 or 2) of those that can be recommended; NaN for the others."""
        values = objective_values(self.trials, self.objective)
        enough = numbers(self.trials["ap"]) >= self.floor
        return np.where(enough[:, None], values, np.nan)

    @cached_property
    def front(self) -> pd.DataFrame:
        """The trials that learned something and that no other beats in everything, the highest AP first."""
        return self._front(self.reached)

    @cached_property
    def whole_front(self) -> pd.DataFrame:
        """The front of all complete trials, those that learned nothing too, which ``learned`` tells apart."""
        found = self._front(objective_values(self.trials, self.objective))
        return found.assign(learned=numbers(found["ap"]) >= self.floor)

    def _front(self, values: np.ndarray) -> pd.DataFrame:
        found = self.trials[on_front(values)]
        return found.sort_values(["ap", "number"], ascending=[False, True], kind="stable", ignore_index=True)

    @cached_property
    def hypervolumes(self) -> np.ndarray:
        """After each number of trials; with one objective the best AP so far."""
        return hypervolume_history(self.reached)

    @cached_property
    def picks(self) -> list[Pick]:
        """The search's choices."""
        return picks(self.records, self.objective)

    @cached_property
    def fresh(self) -> list[Confirmed]:
        """What fresh seeds made of each."""
        return [confirmed(self.records, pick) for pick in self.picks]

    @cached_property
    def holders(self) -> dict[str, int]:
        """The pick of each role among those that learned something, by fresh seeds where all picks have some."""
        return holders(self.picks, self.fresh, self.floor)

    @cached_property
    def held(self) -> dict[int, list[str]]:
        """The roles of each pick that holds some, that of the highest AP first."""
        return {
            place: [role for role, holder in self.holders.items() if holder == place]
            for place in dict.fromkeys(self.holders.values())
        }

    @cached_property
    def unlearned(self) -> list[int]:
        """Places of the picks that learned nothing, by fresh seeds where they have some."""
        return [
            place
            for place, (pick, fresh) in enumerate(zip(self.picks, self.fresh, strict=True))
            if not learned(pick, fresh, self.floor)
        ]

    @cached_property
    def speed(self) -> Repeats | None:
        """What repeats say of images/s: trials with the same optimizer and loader settings; None: hardly any."""
        known = self.records[self.records["status"] == Status.COMPLETE] if len(self.records) else self.records
        if not len(known) or "images_per_s" not in known:
            return None
        known = known[np.isfinite(numbers(known["images_per_s"]))]
        settings = [tuple(row[name] for name in ("optimizer", *AXES)) for row in rows_of(known)]
        found = repeats(numbers(known["images_per_s"]), settings)
        return None if found is None or found.repeats < LEAST_REPEATS else found

    @property
    def speed_is_noise(self) -> bool:
        """Whether images/s are too noisy to choose by."""
        return self.speed is not None and self.speed.share >= NOISY

    def level(self, place: int) -> float:
        """A pick's AP on the select split, by fresh seeds where all picks have some."""
        fresh = self.fresh[place].ap_select.estimate
        return fresh if self.all_confirmed and fresh is not None else self.picks[place].ap

    def by_optimizer(self, trials: pd.DataFrame) -> list[tuple[str, int, pd.DataFrame]]:
        """Short name, place in the study's list and trials of each optimizer that has some."""
        parts = [(name, place, trials[trials["optimizer"] == name]) for place, name in enumerate(self.names)]
        return [(self.names[name], place, own) for name, place, own in parts if len(own)]

    @property
    def all_confirmed(self) -> bool:
        """Whether every pick has a confirm trial."""
        return bool(self.picks) and all(each.n for each in self.fresh)

    @property
    def shared_machine(self) -> bool:
        """Whether trials ran beside each other."""
        return self.most_at_once > 1

    @property
    def most_at_once(self) -> int:
        """Trials that ran at once; 0 before one has said so."""
        most = pd.to_numeric(self.records.get("concurrent_trials", pd.Series(dtype=float))).max()
        return 0 if pd.isna(most) else int(most)

    @property
    def pinned(self) -> bool:
        """Whether pinned memory had an effect in any trial."""
        effective = self.trials["effective_pin_memory"]
        return bool(effective.where(effective.notna(), False).astype(bool).any())

    @property
    def asked_to_pin(self) -> bool:
        """Whether any trial asked for pinned memory."""
        asked = self.trials["pin_memory"]
        return bool(asked.where(asked.notna(), False).astype(bool).any())
