"""Plan the trials of an optimizers study from its specification and the scores so far. Pure: the same on every machine.

Each tuning (independent search) of each optimizer goes through its rounds using only its own records (`search`), and
its finalist is trained again in confirm trials. No tuning waits for another, and any number of workers gives the same
study. Only one condition concerns all tunings: nothing is confirmed before some trial has scored.
"""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from bench.kinds.optimizers.controls import LIMIT, control_name, controlled, limit_settings
from bench.kinds.optimizers.search import EARLY_LENGTH, Point, Search, TrialOutcome, finalist, next_points, rounds_of
from bench.kinds.optimizers.spec import MAX_TUNINGS, StudySpec
from bench.kinds.optimizers.study_score import margin_scale, score_of
from bench.optimizers import optimizer_entry
from bench.optimizers.entry import WEIGHT_DECAY, default_of
from bench.optimizers.space import (
    Categorical,
    Dimension,
    Fixed,
    Hyperparameters,
    Log,
    Space,
    Value,
    from_document,
    rate_of,
)
from bench.optimizers.weight_decay import decay_of
from bench.statistics.looks import LOOK_MARGIN, LOOKS, sequential
from bench.trials.columns import numbers
from bench.trials.own_schedules import other_schedules, schedule_of
from bench.trials.phases import CONFIRM, TUNE, Phase
from bench.trials.score_names import AP_SCORE, LOSS_SCORE, ScoreName
from bench.trials.score_scale import WORST_SCORE, collapse_floor
from bench.trials.scores import as_gains, as_skill
from bench.trials.spec import FIRST_CONFIRM_SEED, TrialSpec
from bench.trials.status import Status
from bench.workloads.of_study import own_settings, workload_of
from bench.workloads.protocol import REPORT, SELECT, Assignment, Budget
from bench.workloads.score import Score
from posemodel.config import LoaderSettings

FIRST_TUNE_SEED = 0
BORDER = 0.05
"""Share of a range, at each end, that counts as its border (a random value lies there once in ten times)."""

Outcomes = Mapping[int, TrialOutcome]
"""Outcomes of the recorded trials, by trial index in the plan."""


def outcomes_of(
    records: pd.DataFrame, score: ScoreName = AP_SCORE, own: Score | None = None
) -> dict[int, TrialOutcome]:
    """Return the outcomes of a study's records by trial index.

    Args:
        records: One row a trial, as recorded.
        score: Name of what judges the trials.
        own: The workload's own score; None: AP.
    """
    if records.empty:
        return {}
    if score == LOSS_SCORE:
        records = as_skill(records)
    elif own is not None:
        records = as_gains(records, own)
    columns = records.reindex(columns=["index", "status", "ap", "val_loss"])  # trials that failed have no score
    scores, losses = numbers(columns["ap"]), numbers(columns["val_loss"])
    return {
        int(index): _outcome_of(Status(status), float(score), float(loss))
        for index, status, score, loss in zip(columns["index"], columns["status"], scores, losses, strict=True)
    }


def _outcome_of(status: Status, score: float, loss: float) -> TrialOutcome:
    """Return a trial's outcome; a pruned trial scores -inf (it learned nothing), but does not count as broken."""
    if status == Status.PRUNED:
        return TrialOutcome(-math.inf)
    has_score = status == Status.COMPLETE and math.isfinite(score)
    return TrialOutcome(score if has_score else None, loss if math.isfinite(loss) else None)


def study_outcomes(spec: StudySpec, records: pd.DataFrame) -> dict[int, TrialOutcome]:
    """Return the outcomes of a study's records by trial index."""
    return outcomes_of(records, spec.score, workload_of(spec).score)


def plan(spec: StudySpec, outcomes: Outcomes) -> list[TrialSpec]:
    """Return all trials that can be planned from the outcomes so far, those that have run included.

    They are in the order in which they should run: the first round of every tuning, the optimizers in turn, then the
    trials that follow from these. Nothing is confirmed before some trial of the study has scored; confirm trials that
    an earlier version ran nevertheless stay.

    Args:
        spec: The study.
        outcomes: From `outcomes_of`; empty for a new study.
    """
    confirms = spec.confirm_unscored or has_scored(spec, outcomes)
    searches = {name: OptimizerSearch(spec, name) for name in spec.optimizers}
    ordered = [
        (number, tuning, position, trial)
        for tuning, names in enumerate(optimizers_by_tuning(spec, outcomes))
        for position, name in enumerate(names)
        for number, trial in enumerate(_trials_of(spec, searches[name], tuning, outcomes))
        if confirms or trial.phase == TUNE or trial.index in outcomes
    ]
    return [each[-1] for each in sorted(ordered, key=lambda each: each[:3])]


def has_scored(spec: StudySpec, outcomes: Outcomes) -> bool:
    """Return whether any trial scored above chance; further records never change True to False."""
    floor = collapse_floor(score_of(spec))
    return any(outcome.score is not None and outcome.score >= floor for outcome in outcomes.values())


def nothing_scored(spec: StudySpec, outcomes: Outcomes) -> bool:
    """Return whether the study has ended without confirm trials: all tuning is done, and no trial has scored."""
    if not outcomes or spec.confirm_unscored or has_scored(spec, outcomes):
        return False
    return all(trial.index in outcomes for trial in plan(spec, outcomes))


def optimizers_by_tuning(spec: StudySpec, outcomes: Outcomes) -> list[tuple[str, ...]]:
    """Return the optimizers that each tuning includes, by tuning.

    All optimizers; if the study runs until it is decided, later tunings leave out those that a claim has beaten.
    Decisions depend on stored records alone, so a replay decides the same.
    """
    included = [spec.optimizers] * spec.tunings
    if not spec.until_decided:
        return included
    score = score_of(spec)
    scores = np.full((len(spec.optimizers), spec.max_tunings, spec.seeds), np.nan)
    for row, name in enumerate(spec.optimizers):
        for tuning in range(spec.max_tunings):
            for number in range(spec.seeds):
                outcome = outcomes.get(_index(spec, name, tuning, spec.trials + number))
                if outcome is not None:
                    scores[row, tuning, number] = WORST_SCORE if outcome.score is None else outcome.score
    for look in sequential(
        scores, floor=collapse_floor(score), looks=looks_of(spec), margin=LOOK_MARGIN * margin_scale(score)
    ):
        if not look.decided and look.tunings < spec.max_tunings:
            included.append(tuple(spec.optimizers[row] for row in look.remaining))
    return included


def looks_of(spec: StudySpec) -> dict[int, float]:
    """Return the level of each look of an ``until_decided`` study, by number of tunings."""
    return {tunings: level for tunings, level in LOOKS.items() if tunings <= spec.max_tunings}


def planned_trials(spec: StudySpec, outcomes: Outcomes) -> int:
    """Return the number of trials of the tunings that are begun or certain.

    Their later rounds, confirm trials and controls are included. If a study ended without confirm trials because
    nothing scored, the number of trials that it has.
    """
    if nothing_scored(spec, outcomes):
        return len(plan(spec, outcomes))
    return sum(_trials_in(spec, names) for names in optimizers_by_tuning(spec, outcomes))


def total_trials(spec: StudySpec) -> int:
    """Return the number of trials of a study; for an ``until_decided`` study, of its first tunings only."""
    return spec.tunings * _trials_in(spec, spec.optimizers)


def _trials_in(spec: StudySpec, names: Sequence[str]) -> int:
    """Return the number of trials of one tuning of each of these optimizers."""
    controls = len(controlled(names, spec.spaces, controls=spec.controls))
    return (spec.trials + spec.seeds) * len(names) + spec.seeds * controls


class OptimizerSearch:
    """The search over one optimizer's space, and the conversion of its points to hyperparameters.

    Attributes:
        space: The tuning space, by hyperparameter.
        names: Hyperparameters that are searched, in the order of a point's coordinates.
        defaults: The point of the default hyperparameters.
        rate_index: Index of the learning rate among ``names``; None where no range of one is searched.
        chance: Score of a trial that learned nothing.
        floor: Score from which a trial has learned anything.
    """

    def __init__(self, spec: StudySpec, optimizer: str) -> None:
        """Prepare the search of ``optimizer``, one of the study's."""
        self.spec, self.optimizer = spec, optimizer
        self.space: Space = from_document(spec.spaces[optimizer], f"spaces.{optimizer}")
        self.names = [name for name, each in self.space.items() if not isinstance(each, Fixed)]
        entry = optimizer_entry(optimizer)
        self.defaults = tuple(_coordinate(self.space[name], default_of(entry, name)) for name in self.names)
        rate = rate_of(self.space)
        searched = rate in self.names and isinstance(self.space[rate or ""], Log)
        self.rate_index = self.names.index(rate or "") if searched else None
        self.chance = score_of(spec).gain(score_of(spec).chance)
        self.floor = collapse_floor(score_of(spec))

    def tuning_search(self, tuning: int, *, plan_seed: int | None = None) -> Search:
        """Return the search of one tuning; ``plan_seed`` replaces the study's."""
        choices = [d.count if isinstance(d, Categorical) else 0 for d in map(self.space.__getitem__, self.names)]
        study = self.spec.plan_seed if plan_seed is None else plan_seed
        seed = f"study {study}, tuning {tuning}"  # the same for all: equal spaces get equal points
        return Search(self.defaults, tuple(choices), self.rate_index, self.spec.trials, seed, self.floor, self.chance)

    def settings(self, point: Point) -> tuple[Hyperparameters, tuple[str, ...]]:
        """Return the hyperparameters at a point, and the names of those at or beyond the border of their range."""
        values = {name: each.value for name, each in self.space.items() if isinstance(each, Fixed)}
        border = []
        for name, at in zip(self.names, point, strict=True):
            dimension = self.space[name]
            if isinstance(dimension, Log):
                values[name] = dimension.beyond(at)
                rounding = 1e-9
                if min(at, 1 - at) <= BORDER + rounding:
                    border.append(name)
            elif isinstance(dimension, Categorical):
                values[name] = dimension.nth(int(at))
        return {name: values[name] for name in self.space}, tuple(sorted(border))


def _coordinate(dimension: Dimension, default: Value | None) -> float:
    """Return the coordinate of a default: the middle if there is no default, an end if the default lies outside the
    range."""
    if isinstance(dimension, Categorical):
        return float(dimension.index_of(default))
    assert isinstance(dimension, Log)
    if not isinstance(default, (int, float)) or isinstance(default, bool) or default <= 0:
        return 0.5
    return min(max(dimension.unit_of(default), 0.0), 1.0)


def _trials_of(
    spec: StudySpec, optimizer_search: OptimizerSearch, tuning: int, outcomes: Outcomes
) -> Iterator[TrialSpec]:
    """Yield the known trials of one tuning; the confirm trials of its finalist once all tune trials have ended."""
    search = optimizer_search.tuning_search(tuning)
    points_by_round: list[list[Point]] = []
    outcomes_by_round: list[list[TrialOutcome]] = []
    repeats: Counter[str] = Counter()
    number = 0
    for count in search.rounds:
        indices = [_index(spec, optimizer_search.optimizer, tuning, number + at) for at in range(count)]
        points_by_round.append(next_points(search, points_by_round, outcomes_by_round))
        for index, point in zip(indices, points_by_round[-1], strict=True):
            hyperparameters, _ = optimizer_search.settings(point)
            key = json.dumps([len(outcomes_by_round), hyperparameters], sort_keys=True)
            seed = FIRST_TUNE_SEED + tuning + MAX_TUNINGS * repeats[key]  # a repeated point is another trial
            repeats[key] += 1
            yield _trial(
                spec,
                TUNE,
                index,
                optimizer_search.optimizer,
                hyperparameters,
                seed,
                tuning,
                of_round=len(outcomes_by_round),
            )
        if not all(index in outcomes for index in indices):
            return
        outcomes_by_round.append([outcomes[index] for index in indices])
        number += count
    yield from _confirm_trials(
        spec,
        optimizer_search.optimizer,
        tuning,
        *optimizer_search.settings(finalist(search, points_by_round[-1], outcomes_by_round[-1])),
    )


def _confirm_trials(
    spec: StudySpec, optimizer: str, tuning: int, hyperparameters: Hyperparameters, at_border: tuple[str, ...]
) -> Iterator[TrialSpec]:
    """Yield a finalist's confirm trials on the tuning's fresh seeds (the same for all optimizers), and its controls."""
    has_control = optimizer in controlled(spec.optimizers, spec.spaces, controls=spec.controls)
    for number in range(spec.seeds):
        seed = FIRST_CONFIRM_SEED + tuning * spec.seeds + number
        index = _index(spec, optimizer, tuning, spec.trials + number)
        yield _trial(spec, CONFIRM, index, optimizer, hyperparameters, seed, tuning, at_border=at_border)
        if has_control:
            tuned = {name: value for name, value in hyperparameters.items() if name == WEIGHT_DECAY}
            limit = {**limit_settings(optimizer, hyperparameters), **tuned}
            index = _index(spec, optimizer, tuning, spec.trials + spec.seeds + number)
            trial = _trial(spec, CONFIRM, index, control_name(optimizer), limit, seed, tuning)
            yield trial.model_copy(update={"built_by": LIMIT, "control_of": optimizer})


def _index(spec: StudySpec, optimizer: str, tuning: int, number: int) -> int:
    """Return the trial index in the plan: tuning by tuning, the optimizers in turn.

    Optimizers that were added later come behind all others, so that no index changes.
    """
    per_tuning = spec.trials + 2 * spec.seeds  # as many confirm trials of controls as of optimizers
    original, position = len(spec.optimizers) - spec.added, spec.optimizers.index(optimizer)
    if position < original:
        return (tuning * per_tuning + number) * original + position
    return (position * MAX_TUNINGS + tuning) * per_tuning + number


def budget_of(spec: StudySpec, phase: Phase, *, last_round: bool = True) -> Budget:
    """Return how long a phase's trials train and how often they are evaluated.

    A tune trial is scored once, at its end, unless a pruner needs earlier scores.
    """
    amount, _ = spec.length(phase)
    tune_evaluations = 1 if spec.pruner == "none" else spec.tune_evaluations
    evaluations = tune_evaluations if phase == TUNE else spec.evaluations
    if phase == TUNE and not last_round:
        amount *= EARLY_LENGTH
    if spec.steps is None:
        return Budget(seconds=amount, evaluations=evaluations)
    return Budget(steps=max(1, round(amount)), evaluations=evaluations)


def _trial(
    spec: StudySpec,
    phase: Phase,
    index: int,
    optimizer: str,
    hyperparameters: Hyperparameters,
    seed: int,
    tuning: int,
    *,
    of_round: int | None = None,
    at_border: tuple[str, ...] = (),
) -> TrialSpec:
    workload = workload_of(spec)
    assignment = Assignment(
        data=spec.data,
        split=SELECT if phase == TUNE else REPORT,
        budget=budget_of(spec, phase, last_round=of_round == len(rounds_of(spec.trials)) - 1),
        schedule=schedule_of(spec, optimizer),
        precision=spec.precision,
        loader=LoaderSettings(
            batch_size=spec.batch_size,
            num_workers=spec.num_workers,
            pin_memory=spec.pin_memory,
            persistent_workers=spec.num_workers > 0,
        ),
        seed=seed,
        device=spec.device,
        time_limit=spec.trial_time_limit,
    )
    return TrialSpec(
        phase=phase,
        index=index,
        tuning=tuning,
        round=of_round,
        optimizer=optimizer,
        hyperparameters=hyperparameters,
        at_border=at_border,
        weight_decay=decay_of(hyperparameters, spec.weight_decay),
        data_digest=spec.data_digest,
        weights_digest=spec.weights_digest,
        workload=workload.name,
        own_schedule=other_schedules(spec).get(optimizer),
        train=workload.plan(own_settings(spec), assignment),
    )


def rounds(spec: StudySpec) -> list[tuple[int, float]]:
    """Return (number of trials, length relative to the last round's) of each round of a tuning."""
    counts = rounds_of(spec.trials)
    return [(count, 1.0 if number == len(counts) - 1 else EARLY_LENGTH) for number, count in enumerate(counts)]


def confirm_trials(spec: StudySpec, optimizer: str, tuning: int, hyperparameters: Hyperparameters) -> list[TrialSpec]:
    """Return the confirm trials of a tuning that ended with these settings, by seed, without its control's."""
    trials = _confirm_trials(spec, optimizer, tuning, hyperparameters, ())
    return [trial for trial in trials if not trial.control_of]


def typical_trials(spec: StudySpec) -> dict[str, TrialSpec]:
    """Return a confirm trial of each optimizer and control, with settings of the first round, to measure its cost."""
    typical: dict[str, TrialSpec] = {}
    for name in spec.optimizers:
        search = OptimizerSearch(spec, name)
        settings = search.settings(next_points(search.tuning_search(0), [], [])[0])
        typical |= {trial.optimizer: trial for trial in _confirm_trials(spec, name, 0, *settings)}
    return typical
