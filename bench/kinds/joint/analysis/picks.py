"""Choose a joint search's picks (configurations to confirm and recommend); summarise their trials on fresh seeds."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.kinds.joint.objectives import AP_AT_TIME, AXES
from bench.report.shown_score import AP, ShownScore
from bench.statistics.interval import Interval
from bench.statistics.intervals import mean_interval, paired_interval, unpaired_interval
from bench.trials.columns import numbers, rows_of
from bench.trials.phases import CONFIRM, SEARCH
from bench.trials.scores import counted
from bench.trials.status import Status

NEAR = 0.02
"""Share of the best score's gain over chance by which another may be lower and still count as near it."""
BEST_AP, NEAR_BEST, FASTEST = "best AP", f"fastest within {100 * NEAR:.0f} % of it", "fastest"
COLUMNS = (
    "trial_id",
    "run_id",
    "phase",
    "index",
    "optimizer",
    "hyperparameters",
    *AXES,
    "effective_pin_memory",
    "seed",
    "status",
    "error",
    "network",
    "size",
    "device",
    "concurrent_trials",
    "images_per_s",
    "train_seconds",
    "steps_done",
)
"""Columns that are read from records, with those of the score; a missing one counts as unknown for all trials."""


@dataclass(frozen=True)
class Pick:
    """A search trial whose configuration is trained again on fresh seeds ("confirmed").

    Attributes:
        roles: Why it was picked: some of `BEST_AP`, `NEAR_BEST`, `FASTEST`.
        key: The configuration as one text, see `configuration_key`.
        settings: The configuration as a flat dict: optimizer, its hyperparameters, num_workers, pin_memory, batch_size.
        trial_id: Id of the search trial.
        run_id: Id of its MLflow run.
        score: Score of the search trial on the select split.
        images_per_s: Speed of the search trial; NaN where it was not measured.
        pinned: Whether pinned memory had an effect.
    """

    roles: tuple[str, ...]
    key: str
    settings: dict[str, Any]
    trial_id: str
    run_id: str
    score: float
    images_per_s: float
    pinned: bool


@dataclass(frozen=True)
class Confirmed:
    """Results of a pick's confirm trials; a trial that did not complete has the score of a failure.

    Attributes:
        n: Number of confirm trials recorded.
        failed: Number of those that did not complete.
        score_select: Score on the select split, by which the search chose, so that it can be compared with the search
            trial's.
        score: Score on the report split, by which nothing was chosen.
        images_per_s: Speed of the complete trials.
        by_seed: ``score_select`` by seed.
    """

    n: int
    failed: int
    score_select: Interval
    score: Interval
    images_per_s: Interval
    by_seed: dict[int, float]


def configuration_key(record: Any) -> str:
    """Return a configuration as one text: equal for a pick and its confirm trials.

    Args:
        record: A row with optimizer, hyperparameters (JSON), batch_size, num_workers and pin_memory.
    """
    return json.dumps(settings_of(record), sort_keys=True)


def settings_of(record: Any) -> dict[str, Any]:
    """Return a row's optimizer, hyperparameters and loader settings as one flat dict of plain values."""
    return {
        "optimizer": str(record["optimizer"]),
        **json.loads(record["hyperparameters"]),
        "num_workers": int(record["num_workers"]),
        "pin_memory": bool(record["pin_memory"]),
        "batch_size": int(record["batch_size"]),
    }


def search_trials(records: pd.DataFrame, measure: ShownScore = AP) -> pd.DataFrame:
    """Return the search trials in the order in which they were asked, with all of `COLUMNS`."""
    own = _of_phase(records, SEARCH, measure)
    return own.sort_values(["index", "trial_id"], kind="stable", ignore_index=True)


def objective_values(trials: pd.DataFrame, objective: str, measure: ShownScore = AP) -> np.ndarray:
    """Return the values that the search maximised, (trials, 1 or 2): the score's gain over chance (of AP, the AP), and
    images/s unless the score alone is searched.

    A row is NaN if the trial did not complete or is no better than chance: its speed is not worth choosing.
    """
    speeds = [] if objective == AP_AT_TIME else [numbers(trials["images_per_s"])]
    values = np.column_stack([measure.above_chance(numbers(trials[measure.column])), *speeds]).reshape(
        len(trials), 1 + len(speeds)
    )
    usable = (
        (trials["status"] == Status.COMPLETE).to_numpy(bool)
        & np.isfinite(values).all(axis=1)
        & (values > 0).all(axis=1)
    )
    return np.where(usable[:, None], values, np.nan)


def picks(records: pd.DataFrame, objective: str, measure: ShownScore = AP) -> list[Pick]:
    """Choose the configurations to confirm, by the search's score on the select split and speed.

    `BEST_AP`: the best score. `NEAR_BEST`: the highest images/s of those whose gain over chance is at least 98 % of
    the best. `FASTEST`: the highest images/s. Ties go to the better one in the other objective, then to the earlier
    trial. With the score at equal time only `BEST_AP`.

    Args:
        records: A row for each trial, confirm trials included; see `COLUMNS`.
        objective: `AP_AND_SPEED` or `AP_AT_TIME`.
        measure: The score.

    Returns:
        One pick for each configuration, in the order of the roles, with all its roles and the trial of the first. Empty
        where no search trial is complete and better than chance (and, with two objectives, has a speed).
    """
    trials = search_trials(records, measure)
    values = objective_values(trials, objective, measure)
    rows = np.flatnonzero(np.isfinite(values[:, 0]))
    if not len(rows):
        return []
    gain, speed = values[:, 0], values[:, -1]
    chosen = {BEST_AP: _best(rows, gain, speed)}
    if objective != AP_AT_TIME:
        near = rows[gain[rows] >= (1 - NEAR) * gain[chosen[BEST_AP]]]
        chosen |= {NEAR_BEST: _best(near, speed, gain), FASTEST: _best(rows, speed, gain)}
    keys = {row: configuration_key(trials.iloc[row].to_dict()) for row in chosen.values()}
    roles: dict[str, list[str]] = {}
    for role, row in chosen.items():
        roles.setdefault(keys[row], []).append(role)
    first = {key: row for row, key in reversed(keys.items())}
    return [_pick(trials.iloc[first[key]], tuple(own), measure) for key, own in roles.items()]


def confirmed(records: pd.DataFrame, pick: Pick, measure: ShownScore = AP) -> Confirmed:
    """Summarise the confirm trials of a pick's configuration."""
    trials = _of_phase(records, CONFIRM, measure)
    same = [configuration_key(row) == pick.key for row in rows_of(trials)]
    own = trials[np.array(same, dtype=bool)].sort_values("seed", kind="stable")
    complete = (own["status"] == Status.COMPLETE).to_numpy(bool)
    speeds = numbers(own["images_per_s"])[complete]
    on_select = counted(own, measure.select_column, measure.score.failure)
    return Confirmed(
        n=len(own),
        failed=int((~complete).sum()),
        score_select=measure.clipped(mean_interval(on_select)),
        score=measure.clipped(mean_interval(counted(own, measure.column, measure.score.failure))),
        images_per_s=mean_interval(speeds[np.isfinite(speeds)]).clipped(0.0, np.inf),
        by_seed={int(seed): float(value) for seed, value in zip(own["seed"], on_select, strict=True)},
    )


def completed_confirm(records: pd.DataFrame, key: str) -> dict[int, dict[str, Any]]:
    """Return the complete confirm trials of a configuration, by seed; ``key``: from `configuration_key`."""
    trials = rows_of(_of_phase(records, CONFIRM, AP).sort_values("seed", kind="stable"))
    own = (row for row in trials if row["status"] == Status.COMPLETE and configuration_key(row) == key)
    return {int(row["seed"]): row for row in own}


def learned(pick: Pick, fresh: Confirmed, measure: ShownScore) -> bool:
    """Return whether a pick's score reached the floor, on fresh seeds or, without confirm trials, in the search."""
    reached = pick.score if fresh.score_select.estimate is None else fresh.score_select.estimate
    return measure.has_learned(reached)


def picks_by_role(candidates: Sequence[Pick], fresh: Sequence[Confirmed], measure: ShownScore = AP) -> dict[str, int]:
    """Return the index of the pick that each role belongs to, judged by fresh seeds on the select split.

    A role stays with the search's choice unless all picks were confirmed. A pick that learned nothing (see `learned`)
    has no role: its roles pass to the best of the others. Empty if none learned.
    """
    roles = {role: index for index, pick in enumerate(candidates) for role in pick.roles}
    rows = np.flatnonzero([learned(*each, measure) for each in zip(candidates, fresh, strict=True)])
    if not len(rows):
        return {}
    confirmed_all = all(each.n for each in fresh)
    if confirmed_all:
        means = [each.score_select.estimate for each in fresh]
        gain = np.array([0.0 if mean is None else measure.above_chance(mean) for mean in means])
        speed = np.array([each.images_per_s.estimate or 0.0 for each in fresh])
    else:
        gain = np.array([measure.above_chance(pick.score) for pick in candidates])
        speed = np.nan_to_num([pick.images_per_s for pick in candidates], nan=0.0)
    best = _best(rows, gain, speed)
    near = rows[gain[rows] >= (1 - NEAR) * gain[best]]
    now = {BEST_AP: best, NEAR_BEST: _best(near, speed, gain), FASTEST: _best(rows, speed, gain)}
    stays = set() if confirmed_all else set(rows.tolist())
    return {role: roles[role] if roles[role] in stays else now[role] for role in now if role in roles}


def difference(one: Confirmed, other: Confirmed) -> Interval:
    """Return the difference in score on the select split, one minus the other: paired if both ran the same seeds."""
    if one.by_seed.keys() == other.by_seed.keys():
        return paired_interval([one.by_seed[seed] - other.by_seed[seed] for seed in one.by_seed])
    return unpaired_interval(list(one.by_seed.values()), list(other.by_seed.values()))


def _best(rows: np.ndarray, first: np.ndarray, second: np.ndarray) -> int:
    """Return the row with the highest first value, ties by the second value, then the earliest."""
    return int(max(rows, key=lambda row: (first[row], second[row], -row)))


def _pick(row: pd.Series, roles: tuple[str, ...], measure: ShownScore) -> Pick:
    return Pick(
        roles=roles,
        key=configuration_key(row),
        settings=settings_of(row),
        trial_id=str(row["trial_id"]),
        run_id=str(row["run_id"]) if isinstance(row["run_id"], str) else "",
        score=float(row[measure.column]),
        images_per_s=float(numbers(pd.Series([row["images_per_s"]]))[0]),
        pinned=bool(pd.notna(row["effective_pin_memory"]) and row["effective_pin_memory"]),
    )


def _of_phase(records: pd.DataFrame, phase: str, measure: ShownScore) -> pd.DataFrame:
    missing = [name for name in (*COLUMNS, measure.column, measure.select_column) if name not in records]
    frame = records.assign(**dict.fromkeys(missing, float("nan")))
    return frame[frame["phase"] == phase].reset_index(drop=True)
