"""Quantities derived from a joint study's records, computed once for all sections of its report."""

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
    learned,
    objective_values,
    picks,
    picks_by_role,
    search_trials,
)
from bench.kinds.joint.objectives import AP_AT_TIME, AXES
from bench.report.names import marked, short_names
from bench.report.shown_score import ShownScore
from bench.statistics.pareto import hypervolume_history, on_front
from bench.statistics.repeats import Repeats, repeats
from bench.trials.columns import numbers, rows_of
from bench.trials.needed_length import NeededLength
from bench.trials.phases import CONFIRM
from bench.trials.status import Status

LEAST_REPEATS = 3
"""Minimum number of repeated trials from which the noise of images/s is estimated."""
NOISY, MOSTLY_NOISE = 0.25, 0.5
"""Limits of the share of the variance of images/s that repeated trials explain: from NOISY on, speed decides nothing;
from MOSTLY_NOISE on, it is called mostly noise."""


@dataclass(frozen=True)
class JointResults:
    """A joint study's records and settings; the fields are the arguments of `joint_findings`."""

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
    measure: ShownScore
    train_commands: Mapping[str, str]
    train_notes: Mapping[str, str]
    beginning: str
    needed: NeededLength | None
    schedule: str
    other_schedules: Mapping[str, str]
    schedule_note: str

    @property
    def single(self) -> bool:
        """Whether the score alone was searched."""
        return self.objective == AP_AT_TIME

    @cached_property
    def names(self) -> dict[str, str]:
        """Short names of the optimizers, by full name; those of the study first, in its order.

        They are marked if their schedule is not the study's.
        """
        names = short_names([*self.optimizers, *sorted(self.trials["optimizer"].astype(str).unique())])
        return marked(names, self.other_schedules)

    @property
    def schedule_notes(self) -> list[str]:
        """The footnote on optimizers whose schedule is not the study's, for below a table; empty if there are none."""
        return [self.schedule_note] if self.schedule_note else []

    def schedule_fields(self, optimizer: Any) -> dict[str, str]:
        """Return an optimizer's ``schedule`` for documents; empty if all follow the study's."""
        return {"schedule": self.other_schedules.get(str(optimizer), self.schedule)} if self.other_schedules else {}

    @cached_property
    def gradients_per_step(self) -> dict[str, float]:
        """Mean gradient evaluations of a step, by short name, of the optimizers that take more than one."""
        if "updates" not in self.records:
            return {}
        records = self.records[(numbers(self.records["updates"]) > 0) & (numbers(self.records["steps_done"]) > 0)]
        ratios = numbers(records["steps_done"]) / numbers(records["updates"])
        names = records["optimizer"].astype(str).map(lambda name: self.names.get(name, name))
        means = pd.Series(ratios, index=records.index).groupby(names).mean()
        return {str(name): float(mean) for name, mean in means.items() if mean > 1}

    @property
    def speed_notes(self) -> list[str]:
        """A sentence on speeds, for below a table, if some optimizer takes several gradient evaluations in a step."""
        if not self.gradients_per_step:
            return []
        return [f"{self.measure.speed_subject} count a batch once for each gradient evaluation."]

    @cached_property
    def trials(self) -> pd.DataFrame:
        """Search trials that have ended; ``number`` is their position in the plan, from 1."""
        trials = search_trials(self.records, self.measure)
        return trials.assign(number=trials["index"].astype(int) + 1)

    @cached_property
    def complete(self) -> pd.DataFrame:
        """Search trials with status `complete`."""
        return self.trials[self.trials["status"] == Status.COMPLETE]

    @cached_property
    def confirm(self) -> pd.DataFrame:
        """Confirm trials."""
        phases = self.records.get("phase", pd.Series(dtype=object))
        return self.records[phases == CONFIRM]

    @cached_property
    def learned_objectives(self) -> np.ndarray:
        """Objective values (trials, 1 or 2) of trials at or above the floor; NaN for the others."""
        values = objective_values(self.trials, self.objective, self.measure)
        return np.where(self.learned(self.trials)[:, None], values, np.nan)

    def learned(self, trials: pd.DataFrame) -> np.ndarray:
        """Return which trials score at least the floor."""
        return self.measure.above_chance(numbers(trials[self.measure.column])) >= self.measure.least

    @cached_property
    def front(self) -> pd.DataFrame:
        """Trials that learned something and that no other beats in all objectives, best score first."""
        return self._front(self.learned_objectives)

    @cached_property
    def full_front(self) -> pd.DataFrame:
        """Front of all complete trials, including those that learned nothing; column ``learned`` tells them apart."""
        front = self._front(objective_values(self.trials, self.objective, self.measure))
        return front.assign(learned=self.learned(front))

    def _front(self, values: np.ndarray) -> pd.DataFrame:
        trials = self.trials[on_front(values)]
        best_first = [self.measure.score.sign < 0, True]
        by = [self.measure.column, "number"]
        return trials.sort_values(by, ascending=best_first, kind="stable", ignore_index=True)

    @cached_property
    def hypervolumes(self) -> np.ndarray:
        """Hypervolume after each number of trials; with one objective the best gain over chance so far."""
        return hypervolume_history(self.learned_objectives)

    @cached_property
    def picks(self) -> list[Pick]:
        """The search's picks."""
        return picks(self.records, self.objective, self.measure)

    @cached_property
    def fresh(self) -> list[Confirmed]:
        """Confirm results of each pick, in the order of ``picks``."""
        return [confirmed(self.records, pick, self.measure) for pick in self.picks]

    @cached_property
    def picks_by_role(self) -> dict[str, int]:
        """Index of each role's pick, among those that learned something; from fresh seeds if all picks have some."""
        return picks_by_role(self.picks, self.fresh, self.measure)

    @cached_property
    def roles_by_pick(self) -> dict[int, list[str]]:
        """Roles of each pick that has a role, by the pick's index; the pick with the best score first."""
        return {
            index: [role for role, holder in self.picks_by_role.items() if holder == index]
            for index in dict.fromkeys(self.picks_by_role.values())
        }

    @cached_property
    def unlearned_picks(self) -> list[int]:
        """Indices of the picks that learned nothing, judged by fresh seeds if they have confirm trials."""
        return [
            index
            for index, (pick, fresh) in enumerate(zip(self.picks, self.fresh, strict=True))
            if not learned(pick, fresh, self.measure)
        ]

    @cached_property
    def speed(self) -> Repeats | None:
        """Noise of images/s from trials with the same optimizer and loader settings; None with too few repeats."""
        known = self.records[self.records["status"] == Status.COMPLETE] if len(self.records) else self.records
        if not len(known) or "images_per_s" not in known:
            return None
        known = known[np.isfinite(numbers(known["images_per_s"]))]
        settings = [tuple(row[name] for name in ("optimizer", *AXES)) for row in rows_of(known)]
        noise = repeats(numbers(known["images_per_s"]), settings)
        return None if noise is None or noise.repeats < LEAST_REPEATS else noise

    @property
    def speed_is_noise(self) -> bool:
        """Whether images/s are too noisy to choose by."""
        return self.speed is not None and self.speed.share >= NOISY

    def pick_score(self, index: int) -> float:
        """Return a pick's score on the select split, from fresh seeds if all picks have some."""
        fresh = self.fresh[index].score_select.estimate
        return fresh if self.all_confirmed and fresh is not None else self.picks[index].score

    def by_optimizer(self, trials: pd.DataFrame) -> list[tuple[str, int, pd.DataFrame]]:
        """Return short name, index in the study's list and trials of each optimizer that has trials."""
        parts = [(name, index, trials[trials["optimizer"] == name]) for index, name in enumerate(self.names)]
        return [(self.names[name], index, own) for name, index, own in parts if len(own)]

    @property
    def all_confirmed(self) -> bool:
        """Whether every pick has a confirm trial."""
        return bool(self.picks) and all(each.n for each in self.fresh)

    @property
    def shared_machine(self) -> bool:
        """Whether several trials ran at once."""
        return self.most_at_once > 1

    @property
    def most_at_once(self) -> int:
        """Maximum number of trials that ran at once; 0 if no trial recorded it."""
        most = pd.to_numeric(self.records.get("concurrent_trials", pd.Series(dtype=float))).max()
        return 0 if pd.isna(most) else int(most)

    @property
    def pinned(self) -> bool:
        """Whether pinned memory had an effect in any trial."""
        effective = self.trials["effective_pin_memory"]
        return bool(effective.where(effective.notna(), False).astype(bool).any())

    @property
    def asked_to_pin(self) -> bool:
        """Whether any trial requested pinned memory."""
        asked = self.trials["pin_memory"]
        return bool(asked.where(asked.notna(), False).astype(bool).any())
