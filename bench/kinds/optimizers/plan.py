"""StudySpec, and what its trials have shown so far -> TrialSpecs: pure, the same on every machine.

Each tuning of each optimizer goes through its rounds by its own records alone (`search`), and its finalist is
confirmed: no tuning waits for another, and any number of workers gives the same study. One thing alone is asked of the
whole study: whether any trial has scored yet, for before that there is nothing to confirm.
"""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from bench.kinds.optimizers.controls import LIMIT, control_name, controlled, limit_settings
from bench.kinds.optimizers.judged import score_of
from bench.kinds.optimizers.search import SHORT, Point, Search, Seen, finalist, next_points, rounds_of
from bench.kinds.optimizers.spec import MAX_TUNINGS, StudySpec
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
from bench.statistics.looks import LOOKS, sequential
from bench.trials.columns import numbers
from bench.trials.phases import CONFIRM, TUNE, Phase
from bench.trials.score_names import AP_SCORE, LOSS_SCORE, ScoreName
from bench.trials.scores import as_skill, collapse_floor
from bench.trials.spec import FIRST_CONFIRM_SEED, TrialSpec
from bench.trials.status import Status
from bench.workloads.of_study import own_settings, workload_of
from bench.workloads.protocol import REPORT, SELECT, Assignment, Budget
from posemodel.config import LoaderSettings

FIRST_TUNE_SEED = 0
BORDER = 0.05
"""Share of a range, at each end, that counts as its border (a random value lies there once in ten times)."""

Outcomes = Mapping[int, Seen]
"""What came of the trials that are recorded, by their place in the plan."""


def outcomes_of(records: pd.DataFrame, score: ScoreName = AP_SCORE) -> dict[int, Seen]:
    """What a study's records say, by each trial's place in its plan; ``score``: what it judges trials by."""
    if records.empty:
        return {}
    if score == LOSS_SCORE:
        records = as_skill(records)
    known = records.reindex(columns=["index", "status", "ap", "val_loss"])  # trials that failed have no score
    scores, losses = numbers(known["ap"]), numbers(known["val_loss"])
    return {
        int(index): _seen(Status(status), float(score), float(loss))
        for index, status, score, loss in zip(known["index"], known["status"], scores, losses, strict=True)
    }


def _seen(status: Status, score: float, loss: float) -> Seen:
    """What came of a trial; one that was pruned has learned nothing, and did not break."""
    if status == Status.PRUNED:
        return Seen(-math.inf)
    known = status == Status.COMPLETE and math.isfinite(score)
    return Seen(score if known else None, loss if math.isfinite(loss) else None)


def plan(spec: StudySpec, outcomes: Outcomes) -> list[TrialSpec]:
    """All trials that can be planned from what is known so far, those that have run included.

    In the order in which they are worth running: the first round of every tuning, optimizer by optimizer in turn, then
    what follows from them. Nothing is confirmed before some trial of the study has scored; confirm trials that an
    earlier version ran all the same stay.
    """
    confirms = spec.confirm_unscored or has_scored(spec, outcomes)
    searches = {name: OwnSearch(spec, name) for name in spec.optimizers}
    found = [
        (number, tuning, place, trial)
        for tuning, names in enumerate(who_is_tuned(spec, outcomes))
        for place, name in enumerate(names)
        for number, trial in enumerate(_trials_of(spec, searches[name], tuning, outcomes))
        if confirms or trial.phase == TUNE or trial.index in outcomes
    ]
    return [each[-1] for each in sorted(found, key=lambda each: each[:3])]


def has_scored(spec: StudySpec, outcomes: Outcomes) -> bool:
    """Whether any trial has scored above chance; more records never take that back."""
    floor = collapse_floor(score_of(spec))
    return any(seen.score is not None and seen.score >= floor for seen in outcomes.values())


def nothing_scored(spec: StudySpec, outcomes: Outcomes) -> bool:
    """Whether the study has ended without a confirm phase of its own: all is tuned, and no trial has scored."""
    if not outcomes or spec.confirm_unscored or has_scored(spec, outcomes):
        return False
    return all(trial.index in outcomes for trial in plan(spec, outcomes))


def who_is_tuned(spec: StudySpec, outcomes: Outcomes) -> list[tuple[str, ...]]:
    """The optimizers of each tuning: all, but where the study goes on until it is decided those that no claim beats.

    Decisions are functions of records that stay: whoever looks again decides as before.
    """
    tuned = [spec.optimizers] * spec.tunings
    if not spec.until_decided:
        return tuned
    score = score_of(spec)
    scores = np.full((len(spec.optimizers), spec.max_tunings, spec.seeds), np.nan)
    for place, name in enumerate(spec.optimizers):
        for tuning in range(spec.max_tunings):
            for number in range(spec.seeds):
                seen = outcomes.get(_index(spec, name, tuning, spec.trials + number))
                if seen is not None:
                    scores[place, tuning, number] = score.failure if seen.score is None else seen.score
    for look in sequential(scores, floor=collapse_floor(score), looks=looks_of(spec)):
        if not look.decided and look.tunings < spec.max_tunings:
            tuned.append(tuple(spec.optimizers[place] for place in look.goes_on))
    return tuned


def looks_of(spec: StudySpec) -> dict[int, float]:
    """Level of each look of a study that goes on until it is decided, by its number of tunings."""
    return {tunings: level for tunings, level in LOOKS.items() if tunings <= spec.max_tunings}


def planned_trials(spec: StudySpec, outcomes: Outcomes) -> int:
    """Trials of the tunings that are begun or certain, their later rounds, confirm trials and controls included.

    Of a study that ended without a confirm phase, for nothing scored: those that it has.
    """
    if nothing_scored(spec, outcomes):
        return len(plan(spec, outcomes))
    return sum(_trials_in(spec, names) for names in who_is_tuned(spec, outcomes))


def total_trials(spec: StudySpec) -> int:
    """Trials of a study; of one that goes on until it is decided, of its first tunings."""
    return spec.tunings * _trials_in(spec, spec.optimizers)


def _trials_in(spec: StudySpec, names: Sequence[str]) -> int:
    """Trials of one tuning of each of these optimizers."""
    controls = len(controlled(names, spec.spaces, controls=spec.controls))
    return (spec.trials + spec.seeds) * len(names) + spec.seeds * controls


class OwnSearch:
    """What is searched of one optimizer of a study: its space, and points of it as hyperparameters."""

    def __init__(self, spec: StudySpec, optimizer: str) -> None:
        """Of one of the study's optimizers."""
        self.spec, self.optimizer = spec, optimizer
        self.space: Space = from_document(spec.spaces[optimizer], f"spaces.{optimizer}")
        self.names = [name for name, each in self.space.items() if not isinstance(each, Fixed)]
        entry = optimizer_entry(optimizer)
        self.defaults = tuple(_coordinate(self.space[name], default_of(entry, name)) for name in self.names)
        rate = rate_of(self.space)
        searched = rate in self.names and isinstance(self.space[rate or ""], Log)
        self.rate = self.names.index(rate or "") if searched else None
        self.chance = score_of(spec).chance
        self.learned = collapse_floor(score_of(spec))

    def of(self, tuning: int, *, plan_seed: int | None = None) -> Search:
        """The search of one of its tunings; ``plan_seed``: in place of the study's."""
        choices = [d.count if isinstance(d, Categorical) else 0 for d in map(self.space.__getitem__, self.names)]
        study = self.spec.plan_seed if plan_seed is None else plan_seed
        seed = f"study {study}, tuning {tuning}"  # the same for all optimizers: like spaces, like points
        return Search(self.defaults, tuple(choices), self.rate, self.spec.trials, seed, self.learned, self.chance)

    def settings(self, point: Point) -> tuple[Hyperparameters, tuple[str, ...]]:
        """The hyperparameters at a point, and the names of those at the border of their range, or beyond it."""
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
    """Where a default lies in its dimension; in the middle where there is none, at an end where it lies outside."""
    if isinstance(dimension, Categorical):
        return float(dimension.place(default))
    assert isinstance(dimension, Log)
    if not isinstance(default, (int, float)) or isinstance(default, bool) or default <= 0:
        return 0.5
    return min(max(dimension.place(default), 0.0), 1.0)


def _trials_of(spec: StudySpec, own: OwnSearch, tuning: int, outcomes: Outcomes) -> Iterator[TrialSpec]:
    """The trials of one tuning that are known, and the confirm trials of its finalist once all have ended."""
    search = own.of(tuning)
    points: list[list[Point]] = []
    seen: list[list[Seen]] = []
    tried: Counter[str] = Counter()
    number = 0
    for count in search.rounds:
        indices = [_index(spec, own.optimizer, tuning, number + at) for at in range(count)]
        points.append(next_points(search, points, seen))
        for index, point in zip(indices, points[-1], strict=True):
            hyperparameters, _ = own.settings(point)
            key = json.dumps([len(seen), hyperparameters], sort_keys=True)
            seed = FIRST_TUNE_SEED + tuning + MAX_TUNINGS * tried[key]  # a point that comes again is another trial
            tried[key] += 1
            yield _trial(spec, TUNE, index, own.optimizer, hyperparameters, seed, tuning, of_round=len(seen))
        if not all(index in outcomes for index in indices):
            return
        seen.append([outcomes[index] for index in indices])
        number += count
    yield from _confirm_trials(spec, own.optimizer, tuning, *own.settings(finalist(search, points[-1], seen[-1])))


def _confirm_trials(
    spec: StudySpec, optimizer: str, tuning: int, hyperparameters: Hyperparameters, at_border: tuple[str, ...]
) -> Iterator[TrialSpec]:
    """A tuning's finalist on the tuning's fresh seeds, which are the same for all optimizers; its control beside it."""
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
    """The place in the plan of a tuning's trial of this number: tuning by tuning, the optimizers in turn.

    Behind them those of each optimizer that was added later: the places of the others stay.
    """
    each = spec.trials + 2 * spec.seeds  # as many confirm trials of controls as of optimizers
    first, place = len(spec.optimizers) - spec.added, spec.optimizers.index(optimizer)
    if place < first:
        return (tuning * each + number) * first + place
    return (place * MAX_TUNINGS + tuning) * each + number


def budget_of(spec: StudySpec, phase: Phase, *, last_round: bool = True) -> Budget:
    """How long a phase's trials train, and how often they are evaluated.

    A tune trial is scored once, at its end, unless a pruner wants to look at it before.
    """
    amount, _ = spec.length(phase)
    tune_evaluations = 1 if spec.pruner == "none" else spec.tune_evaluations
    evaluations = tune_evaluations if phase == TUNE else spec.evaluations
    if phase == TUNE and not last_round:
        amount *= SHORT
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
    its = workload_of(spec)
    assignment = Assignment(
        data=spec.data,
        split=SELECT if phase == TUNE else REPORT,
        budget=budget_of(spec, phase, last_round=of_round == len(rounds_of(spec.trials)) - 1),
        schedule=spec.schedule,
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
        workload=its.name,
        train=its.plan(own_settings(spec), assignment),
    )


def rounds(spec: StudySpec) -> list[tuple[int, float]]:
    """How many trials the rounds of a tuning have, and how long these are relative to the last round's."""
    counts = rounds_of(spec.trials)
    return [(count, 1.0 if number == len(counts) - 1 else SHORT) for number, count in enumerate(counts)]


def confirm_trials(spec: StudySpec, optimizer: str, tuning: int, hyperparameters: Hyperparameters) -> list[TrialSpec]:
    """The confirm trials of a tuning that ended with these settings, by seed; without those of its control."""
    trials = _confirm_trials(spec, optimizer, tuning, hyperparameters, ())
    return [trial for trial in trials if not trial.control_of]


def typical_trials(spec: StudySpec) -> dict[str, TrialSpec]:
    """A confirm trial of each optimizer and each control, with settings of the first round: to measure its cost."""
    typical: dict[str, TrialSpec] = {}
    for name in spec.optimizers:
        own = OwnSearch(spec, name)
        first = own.settings(next_points(own.of(0), [], [])[0])
        typical |= {trial.optimizer: trial for trial in _confirm_trials(spec, name, 0, *first)}
    return typical
