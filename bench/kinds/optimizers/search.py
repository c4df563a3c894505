"""Search one optimizer's space in rounds: the points of a tuning's next round, and its finalist, from its trials. Pure.

A point has one coordinate for each searched dimension, in their order: 0 is the low and 1 the high end of a logarithmic
range (a learning rate may lie beyond). For a choice between values, the coordinate is the index of the value. The
rounds:

1. *Find where it works and where it breaks*: learning rates evenly over the range, all other hyperparameters at their
   defaults.
2. *Halve*: the middles of the gaps on both sides of the best rate. If that rate is the lowest or highest, a rate beyond
   the range replaces one of them; if nothing has learned yet, two rates between the best and the first that broke.
3. *Halve again and vary the others*: the other hyperparameters anywhere in their ranges, at the best rate.
4. *Longer trials* near the best. The finalist is their weighted mean.

Why in this order, and what other searches achieved: docs/decisions.md, "How an optimizer is tuned".
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul

Point = tuple[float, ...]
"""Coordinates of one configuration in the search space, see the module's docstring."""

EARLY_LENGTH = 0.5
"""Length of a trial of the earlier rounds, relative to a trial of the last round."""
LAST_SHARE, OTHERS_SHARE = 0.25, 0.2
"""Share of a tuning's trials in the last round, and share that varies the other hyperparameters."""
HALVED_FROM, TWICE_FROM = 8, 16
"""Minimum number of trials of a tuning for halving the gaps once, and for halving them twice."""
VARIED_SHARE = 0.3
"""Share of its range over which another hyperparameter is varied around the best in the last round."""
ABOUT_EQUAL = 1.1
"""A loss up to this many times the lowest loss counts as about equal to it."""
HARM_RATIO = 1.02
"""A loss above this many times the loss of slower rates, which have hardly begun to train, shows that the rate did
harm."""
GOOD_SHARE = 0.7
"""Share of the best score above chance from which a neighbouring rate counts as nearly as good."""
REACH_SHARE = 0.5
"""Reach of the last round beyond the good rates, as a share of the gap to the next worse rate."""
SCORE_SCALE, LOSS_SCALE = 0.08, 0.03
"""Distance below the best, relative to it, at which a point's weight in the finalist falls to 1/e: by score (above
chance), and by validation loss where no score is above chance."""


@dataclass(frozen=True)
class TrialOutcome:
    """The outcome of one trial, as the search uses it."""

    score: float | None
    """The trial's score; None: it diverged or failed."""
    loss: float | None = None
    """Validation loss; None: not measured."""


@dataclass(frozen=True)
class Search:
    """The search of one tuning.

    Attributes:
        defaults: The point of the default hyperparameters; the learning rate's coordinate is not used.
        choices: For each dimension, the number of values of a choice; 0 for a range.
        rate_index: Index of the learning rate among the dimensions; None where no range of one is searched.
        trials: Number of trials of the tuning.
        seed: Seed of its random numbers; each tuning has its own.
        floor: Score from which a trial has learned anything.
        chance: Score of a trial that has learned nothing.
    """

    defaults: Point
    choices: tuple[int, ...]
    rate_index: int | None
    trials: int
    seed: str
    floor: float
    chance: float = 0.0

    @property
    def rounds(self) -> tuple[int, ...]:
        """Number of trials of each round."""
        return rounds_of(self.trials)


def rounds_of(trials: int) -> tuple[int, ...]:
    """Return the number of trials of each round of a tuning; one or two trials form a single round."""
    if trials <= 2:
        return (trials,)
    last_round = max(1, round(LAST_SHARE * trials))
    varying = int(OTHERS_SHARE * trials) if trials >= HALVED_FROM else 0
    if trials >= TWICE_FROM:
        return (trials - last_round - varying - 4, 2, 2 + varying, last_round)
    return (
        (trials - last_round - varying - 2, 2 + varying, last_round) if varying else (trials - last_round, last_round)
    )


def next_points(
    search: Search, points_by_round: Sequence[Sequence[Point]], outcomes_by_round: Sequence[Sequence[TrialOutcome]]
) -> list[Point]:
    """Return the points of the next round.

    Args:
        search: The tuning.
        points_by_round: The points of the earlier rounds.
        outcomes_by_round: The outcomes of their trials, in the same order.
    """
    number, counts = len(points_by_round), search.rounds
    points = [point for each in points_by_round for point in each]
    outcomes = [outcome for each in outcomes_by_round for outcome in each]
    draw = random.Random(f"{search.seed}, round {number}")  # a text seed gives the same numbers in every Python version
    if search.rate_index is None or not number:
        return _spread_points(search, counts[number], draw, points, outcomes)
    if number == len(counts) - 1:
        return _around_best(search, counts[number], draw, points, outcomes)
    halved = [_with_rate(search, rate) for rate in _halved_rates(search, points, outcomes)]
    return [*halved, *_vary_others(search, counts[number] - len(halved), draw, points, outcomes)]


def finalist(search: Search, points: Sequence[Point], outcomes: Sequence[TrialOutcome]) -> Point:
    """Return the point that a tuning ends with: the weighted mean of its last round, with choices taken from the best
    point.

    Points that diverged or failed, and those at chance where another has learned, have no weight: the mean moves away
    from cliffs.

    Args:
        search: The tuning.
        points: The points of the last round.
        outcomes: The outcomes of their trials.
    """
    best = points[_best_index(points, outcomes, search)]
    weights = _weights(outcomes, search)
    total = sum(weights)
    if not total:
        return best
    means = [sum(map(mul, weights, column)) / total for column in zip(*points, strict=True)]
    return tuple(b if choices else mean for b, choices, mean in zip(best, search.choices, means, strict=True))


def _spread_points(
    search: Search, count: int, draw: random.Random, earlier_points: Sequence[Point], outcomes: Sequence[TrialOutcome]
) -> list[Point]:
    """Return points spread evenly over the rate's range.

    If no rate is searched, the points are spread over all dimensions, in later rounds around the best point.
    """
    if search.rate_index is not None:
        shift = draw.random()
        return [_with_rate(search, (number + shift) / count) for number in range(count)]
    centre = earlier_points[_best_index(earlier_points, outcomes, search)] if earlier_points else None
    columns = []
    for dimension, choices in enumerate(search.choices):
        column = _strata(count, draw)
        if choices:
            columns.append([float(min(int(each * choices), choices - 1)) for each in column])
        elif centre is None:
            columns.append(column)
        else:
            columns.append([min(max(centre[dimension] + VARIED_SHARE * (each - 0.5), 0.0), 1.0) for each in column])
    points = [tuple(column[number] for column in columns) for number in range(count)]
    return points if centre is None else [centre, *points[1:]]


def _halved_rates(search: Search, points: Sequence[Point], outcomes: Sequence[TrialOutcome]) -> list[float]:
    """Return the middles of the gaps below and above the best rate.

    If the best rate is the lowest or highest, one gap is missing; a rate at the other gap's distance beyond it is used
    then.
    """
    assert search.rate_index is not None
    rates, losses = [point[search.rate_index] for point in points], _losses(outcomes)
    best_index = _best_index(points, outcomes, search)
    best = rates[best_index]
    below = max((rate for rate in rates if rate < best), default=None)
    above = min((rate for rate in rates if rate > best), default=None)
    if above is not None and not _learned(outcomes[best_index], search):
        untrained = HARM_RATIO * max(loss for rate, loss in zip(rates, losses, strict=True) if rate <= best)
        broke = [rate for rate, loss in zip(rates, losses, strict=True) if loss > untrained]
        if not any(map(math.isfinite, losses)) and outcomes[best_index].score is not None:  # without validation losses
            broke = [rate for rate, outcome in zip(rates, outcomes, strict=True) if outcome.score is None]
        if above in broke:
            return [best + (above - best) * part for part in (1 / 3, 2 / 3)]
    gap = best - below if below is not None else above - best if above is not None else 1.0
    return [
        best - gap if below is None else (best + below) / 2,
        best + gap if above is None else (best + above) / 2,
    ]


def _learned(outcome: TrialOutcome, search: Search) -> bool:
    return outcome.score is not None and outcome.score >= search.floor


def _vary_others(
    search: Search, count: int, draw: random.Random, points: Sequence[Point], outcomes: Sequence[TrialOutcome]
) -> list[Point]:
    """Return points at the best rate with the other hyperparameters varied over their whole ranges; more rates if there
    are none."""
    if len(search.defaults) == 1:
        low, high = _good_rates(search, points, outcomes)
        return [(low + each * (high - low),) for each in _strata(count, draw)]
    best = points[_best_index(points, outcomes, search)]
    columns = []
    for dimension, choices in enumerate(search.choices):
        column = _strata(count, draw)
        if dimension == search.rate_index:
            column = [best[dimension]] * count
        elif choices:
            column = [float(min(int(each * choices), choices - 1)) for each in column]
        columns.append(column)
    return [tuple(column[number] for column in columns) for number in range(count)]


def _around_best(
    search: Search, count: int, draw: random.Random, points: Sequence[Point], outcomes: Sequence[TrialOutcome]
) -> list[Point]:
    """Return the best point and others around it, evenly spread in every dimension."""
    best = points[_best_index(points, outcomes, search)]
    default_indices = [index for index, point in enumerate(points) if _at_defaults(point, search)]
    low, high = _good_rates(
        search, [points[index] for index in default_indices], [outcomes[index] for index in default_indices]
    )
    columns = []
    for dimension, choices in enumerate(search.choices):
        column = _strata(count - 1, draw)
        if dimension == search.rate_index:
            columns.append([low + each * (high - low) for each in column])
        elif choices:
            columns.append([best[dimension]] * (count - 1))
        else:
            columns.append([min(max(best[dimension] + VARIED_SHARE * (each - 0.5), 0.0), 1.0) for each in column])
    return [best, *(tuple(column[number] for column in columns) for number in range(count - 1))]


def _good_rates(search: Search, points: Sequence[Point], outcomes: Sequence[TrialOutcome]) -> tuple[float, float]:
    """Return the ends of the range of nearly best rates, extended halfway to the next worse rate on each side."""
    assert search.rate_index is not None
    best_index = _best_index(points, outcomes, search)
    best = outcomes[best_index].score
    chance = search.chance
    least = chance + GOOD_SHARE * (best - chance) if best is not None and best >= search.floor else math.inf
    ordered = sorted(range(len(points)), key=lambda index: points[index][search.rate_index or 0])
    rates = [points[index][search.rate_index] for index in ordered]
    good = [index == best_index or _score(outcomes[index]) >= least for index in ordered]
    first = last = ordered.index(best_index)
    while first > 0 and good[first - 1]:
        first -= 1
    while last < len(rates) - 1 and good[last + 1]:
        last += 1
    below = rates[first] - rates[first - 1] if first else None
    above = rates[last + 1] - rates[last] if last < len(rates) - 1 else None
    gap = min((each for each in (below, above) if each is not None), default=1.0)
    return rates[first] - REACH_SHARE * (below or gap), rates[last] + REACH_SHARE * (above or gap)


def _score(outcome: TrialOutcome) -> float:
    """Return a trial's score; -inf if it broke."""
    return -math.inf if outcome.score is None else outcome.score


def _strata(count: int, draw: random.Random) -> list[float]:
    """Return random numbers in [0, 1), one in each of ``count`` equal parts, in random order."""
    parts = list(range(count))
    draw.shuffle(parts)
    return [(part + draw.random()) / count for part in parts]


def _with_rate(search: Search, rate: float) -> Point:
    return tuple(
        rate if dimension == search.rate_index else default for dimension, default in enumerate(search.defaults)
    )


def _best_index(points: Sequence[Point], outcomes: Sequence[TrialOutcome], search: Search) -> int:
    """Return the index of the best point; if points are equally good, of the first.

    By score if any point has learned, otherwise by the lowest validation loss. One exception: among the points at
    default settings, the fastest rate below all rates that broke comes first, since the only rates that learn may lie
    just below those.
    """
    indices = range(len(points))
    scores = [*map(_score, outcomes)]
    if max(scores) >= search.floor:
        return max(indices, key=scores.__getitem__)
    losses = _losses(outcomes)
    default_indices = [index for index in indices if _at_defaults(points[index], search)]
    if search.rate_index is None or not any(outcomes[index].score is None for index in default_indices):
        return max(indices, key=lambda index: (-losses[index], scores[index]))
    edge = min(points[index][search.rate_index] for index in default_indices if outcomes[index].score is None)
    least = min(losses[index] for index in default_indices)
    slower = [
        index
        for index in default_indices
        if points[index][search.rate_index] < edge and not losses[index] > ABOUT_EQUAL * least
    ]
    if not slower:
        return min(default_indices, key=lambda index: points[index][search.rate_index or 0])
    fastest = max(slower, key=lambda index: points[index][search.rate_index or 0])
    return min([fastest, *(index for index in indices if index not in default_indices)], key=losses.__getitem__)


def _losses(outcomes: Sequence[TrialOutcome]) -> list[float]:
    """Return the validation losses; infinite where the trial broke or has none."""
    return [math.inf if each.loss is None or each.score is None else each.loss for each in outcomes]


def _at_defaults(point: Point, search: Search) -> bool:
    """Return whether all coordinates but the rate are defaults."""
    return search.rate_index is None or point == _with_rate(search, point[search.rate_index])


def _weights(outcomes: Sequence[TrialOutcome], search: Search) -> list[float]:
    """Return each point's weight in the finalist, by score, or by validation loss where no score is above chance."""
    best = max((each.score for each in outcomes if each.score is not None), default=search.chance)
    if best >= search.floor:
        scale = SCORE_SCALE * (best - search.chance)
        return [
            0.0 if each.score is None or each.score < search.floor else math.exp((each.score - best) / scale)
            for each in outcomes
        ]
    losses = _losses(outcomes)
    least = min(losses)
    if not math.isfinite(least) or least <= 0:
        return [0.0] * len(losses)
    return [math.exp(-(loss - least) / (LOSS_SCALE * least)) for loss in losses]
