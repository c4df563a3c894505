"""What a joint study's records hold, put together once for all that the report says of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from bench.kinds.joint.analysis.picks import Confirmed, Pick, confirmed, holders, objective_values, picks, search_trials
from bench.kinds.joint.objectives import AP_AT_TIME
from bench.report.names import short_names
from bench.statistics.pareto import hypervolume_history, on_front
from bench.trials.phases import CONFIRM
from bench.trials.status import Status


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
        """The objectives (trials, 1 or 2) of those that can be chosen; NaN for the others."""
        return objective_values(self.trials, self.objective)

    @cached_property
    def front(self) -> pd.DataFrame:
        """The trials that no other beats in everything, the highest AP first."""
        found = self.trials[on_front(self.reached)]
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
        """The pick of each role, by fresh seeds where all picks have some."""
        return holders(self.picks, self.fresh)

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
