"""One tuning of one optimizer: which points of its space come next, by what its own trials have shown. Pure.

A point is one coordinate for each searched dimension, in their order: on a logarithmic range 0 is its low end and 1 its
high end, and a learning rate may lie beyond; of a choice it is the number of its value. The rounds:

1. *Where it works and where it breaks*: learning rates evenly over the range, all other hyperparameters at their
   defaults.
2. *Halving*: the middles of the gaps on both sides of the best rate. Where that one is outermost, a rate beyond the
   range comes in place of a middle; where nothing has learned yet, two rates between the best and the first that broke.
3. *Halving again, and the others*: the other hyperparameters anywhere in their ranges, at the best rate.
4. *Longer trials* near the best. The finalist is their weighted mean.

Why in this order, and what other searches found: docs/decisions.md, "How an optimizer is tuned".
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul

Point = tuple[float, ...]

SHORT = 0.5
"""Length of a trial of the earlier rounds, relative to one of the last."""
LAST_SHARE, OTHERS_SHARE = 0.25, 0.2
"""Shares of a tuning's trials that the last round has, and the points at which the others are varied."""
HALVED_FROM, TWICE_FROM = 8, 16
"""Trials of a tuning from which gaps are halved, and from which they are halved twice."""
VARIED = 0.3
"""Share of its range over which another hyperparameter is varied around the best in the last round."""
ABOUT = 1.1
"""Losses up to so many times the least are about the least."""
HARM = 1.02
"""A loss above so many times that of slower rates, which have hardly begun, is that of a run that did harm."""
GOOD = 0.7
"""Share of the best score from which a neighbouring rate is nearly as good."""
BEYOND = 0.5
"""How far the last round looks towards the next rate that is not so."""
SCALE, LOSS_SCALE = 0.08, 0.03
"""How far below the best, relative to it, a setting's weight in the finalist falls to 1/e: by score (above chance), and
by validation loss where no score is above chance."""


@dataclass(frozen=True)
class Seen:
    """What came of a trial."""

    score: float | None
    """None: it broke, it diverged or failed."""
    loss: float | None = None
    """Of validation; None: not measured."""


@dataclass(frozen=True)
class Search:
    """What a tuning searches.

    Attributes:
        defaults: The point whose hyperparameters stand at their defaults; the learning rate's coordinate is not read.
        choices: Number of values of each dimension that is a choice, 0 of a range.
        rate: Place of the learning rate among the dimensions; None where no range of one is searched.
        trials: Of the whole tuning.
        seed: Of its own random numbers: one tuning's are no other's.
        learned: The score from which a trial has learned anything.
        chance: What a trial scores that has learned nothing.
    """

    defaults: Point
    choices: tuple[int, ...]
    rate: int | None
    trials: int
    seed: str
    learned: float
    chance: float = 0.0

    @property
    def rounds(self) -> tuple[int, ...]:
        """Trials of each round."""
        return rounds_of(self.trials)


def rounds_of(trials: int) -> tuple[int, ...]:
    """Trials of each round of a tuning that has so many; at most two have a single round."""
    if trials <= 2:
        return (trials,)
    last = max(1, round(LAST_SHARE * trials))
    others = int(OTHERS_SHARE * trials) if trials >= HALVED_FROM else 0
    if trials >= TWICE_FROM:
        return (trials - last - others - 4, 2, 2 + others, last)
    return (trials - last - others - 2, 2 + others, last) if others else (trials - last, last)


def next_points(search: Search, before: Sequence[Sequence[Point]], seen: Sequence[Sequence[Seen]]) -> list[Point]:
    """The points of the next round.

    Args:
        search: What is searched.
        before: The points of the rounds before it.
        seen: What came of their trials, in the same order.
    """
    number, counts = len(before), search.rounds
    points = [point for each in before for point in each]
    outcomes = [outcome for each in seen for outcome in each]
    draw = random.Random(f"{search.seed}, round {number}")  # text as a seed: the same in every version of Python
    if search.rate is None or not number:
        return _spread(search, counts[number], draw, points, outcomes)
    if number == len(counts) - 1:
        return _near(search, counts[number], draw, points, outcomes)
    halved = [_with_rate(search, rate) for rate in _halvings(search, points, outcomes)]
    return [*halved, *_others(search, counts[number] - len(halved), draw, points, outcomes)]


def finalist(search: Search, points: Sequence[Point], outcomes: Sequence[Seen]) -> Point:
    """The point that a tuning ends with: the weighted mean of its last round's, of choices the best one's.

    Points that diverged or failed, and those at chance where another has learned, have no weight: the mean moves away
    from cliffs.

    Args:
        search: What was searched.
        points: Those of the last round.
        outcomes: What came of their trials.
    """
    best = points[_best(points, outcomes, search)]
    weights = _weights(outcomes, search)
    total = sum(weights)
    if not total:
        return best
    means = [sum(map(mul, weights, column)) / total for column in zip(*points, strict=True)]
    return tuple(b if choices else mean for b, choices, mean in zip(best, search.choices, means, strict=True))


def _spread(
    search: Search, count: int, draw: random.Random, before: Sequence[Point], outcomes: Sequence[Seen]
) -> list[Point]:
    """Points evenly over the range of the rate; where there is none over all dimensions, later around the best."""
    if search.rate is not None:
        shift = draw.random()
        return [_with_rate(search, (number + shift) / count) for number in range(count)]
    centre = before[_best(before, outcomes, search)] if before else None
    columns = []
    for place, choices in enumerate(search.choices):
        column = _strata(count, draw)
        if choices:
            columns.append([float(min(int(each * choices), choices - 1)) for each in column])
        elif centre is None:
            columns.append(column)
        else:
            columns.append([min(max(centre[place] + VARIED * (each - 0.5), 0.0), 1.0) for each in column])
    points = [tuple(column[number] for column in columns) for number in range(count)]
    return points if centre is None else [centre, *points[1:]]


def _halvings(search: Search, points: Sequence[Point], outcomes: Sequence[Seen]) -> list[float]:
    """The middles of the gaps below and above the best rate; beyond the outermost one as far as the other gap is."""
    assert search.rate is not None
    rates, losses = [point[search.rate] for point in points], _losses(outcomes)
    place = _best(points, outcomes, search)
    best = rates[place]
    below = max((rate for rate in rates if rate < best), default=None)
    above = min((rate for rate in rates if rate > best), default=None)
    if above is not None and not _learned(outcomes[place], search):
        untrained = HARM * max((loss for rate, loss in zip(rates, losses, strict=True) if rate <= best), default=0.0)
        broke = [rate for rate, loss in zip(rates, losses, strict=True) if loss > untrained]
        if above in broke:
            return [best + (above - best) * part for part in (1 / 3, 2 / 3)]
    gap = best - below if below is not None else above - best if above is not None else 1.0
    return [
        best - gap if below is None else (best + below) / 2,
        best + gap if above is None else (best + above) / 2,
    ]


def _learned(seen: Seen, search: Search) -> bool:
    return seen.score is not None and seen.score >= search.learned


def _others(
    search: Search, count: int, draw: random.Random, points: Sequence[Point], outcomes: Sequence[Seen]
) -> list[Point]:
    """Points at the best rate with the other hyperparameters anywhere; other rates where there are none."""
    if len(search.defaults) == 1:
        low, high = _good_rates(search, points, outcomes)
        return [(low + each * (high - low),) for each in _strata(count, draw)]
    best = points[_best(points, outcomes, search)]
    columns = []
    for place, choices in enumerate(search.choices):
        column = _strata(count, draw)
        if place == search.rate:
            column = [best[place]] * count
        elif choices:
            column = [float(min(int(each * choices), choices - 1)) for each in column]
        columns.append(column)
    return [tuple(column[number] for column in columns) for number in range(count)]


def _near(
    search: Search, count: int, draw: random.Random, points: Sequence[Point], outcomes: Sequence[Seen]
) -> list[Point]:
    """The best point once more, and points around it, evenly spread in every dimension."""
    best = points[_best(points, outcomes, search)]
    plain = [at for at, point in enumerate(points) if _is_plain(point, search)]
    low, high = _good_rates(search, [points[at] for at in plain], [outcomes[at] for at in plain])
    columns = []
    for place, choices in enumerate(search.choices):
        column = _strata(count - 1, draw)
        if place == search.rate:
            columns.append([low + each * (high - low) for each in column])
        elif choices:
            columns.append([best[place]] * (count - 1))
        else:
            columns.append([min(max(best[place] + VARIED * (each - 0.5), 0.0), 1.0) for each in column])
    return [best, *(tuple(column[number] for column in columns) for number in range(count - 1))]


def _good_rates(search: Search, points: Sequence[Point], outcomes: Sequence[Seen]) -> tuple[float, float]:
    """Where rates are nearly as good as the best: from its neighbours that are so, to halfway to the next beyond."""
    assert search.rate is not None
    place = _best(points, outcomes, search)
    best = outcomes[place].score
    least = GOOD * best if best is not None and best >= search.learned else math.inf
    ordered = sorted(range(len(points)), key=lambda at: points[at][search.rate or 0])
    rates = [points[at][search.rate] for at in ordered]
    good = [at == place or (outcomes[at].score or -math.inf) >= least for at in ordered]
    first = last = ordered.index(place)
    while first > 0 and good[first - 1]:
        first -= 1
    while last < len(rates) - 1 and good[last + 1]:
        last += 1
    below = rates[first] - rates[first - 1] if first else None
    above = rates[last + 1] - rates[last] if last < len(rates) - 1 else None
    gap = min((each for each in (below, above) if each is not None), default=1.0)
    return rates[first] - BEYOND * (below or gap), rates[last] + BEYOND * (above or gap)


def _strata(count: int, draw: random.Random) -> list[float]:
    """So many random numbers of the unit interval, one in each of as many equal parts, in random order."""
    places = list(range(count))
    draw.shuffle(places)
    return [(place + draw.random()) / count for place in places]


def _with_rate(search: Search, rate: float) -> Point:
    return tuple(rate if place == search.rate else each for place, each in enumerate(search.defaults))


def _best(points: Sequence[Point], outcomes: Sequence[Seen], search: Search) -> int:
    """The best point. The first of equals.

    By score where any has learned. Where none has, the least validation loss, and before it, of the points with the
    others at their defaults, the fastest rate below all that broke: what learns at all may do so only just below them.
    """
    places = range(len(points))
    scores = [-math.inf if each.score is None else each.score for each in outcomes]
    if max(scores) >= search.learned:
        return max(places, key=scores.__getitem__)
    losses = _losses(outcomes)
    plain = [at for at in places if _is_plain(points[at], search)]
    if search.rate is None or not any(outcomes[at].score is None for at in plain):
        return max(places, key=lambda at: (-losses[at], scores[at]))
    edge = min(points[at][search.rate] for at in plain if outcomes[at].score is None)
    least = min(losses[at] for at in plain)
    slower = [at for at in plain if points[at][search.rate] < edge and not losses[at] > ABOUT * least]
    if not slower:
        return min(plain, key=lambda at: points[at][search.rate or 0])
    fastest = max(slower, key=lambda at: points[at][search.rate or 0])
    return min([fastest, *(at for at in places if at not in plain)], key=losses.__getitem__)


def _losses(outcomes: Sequence[Seen]) -> list[float]:
    """Validation losses; infinite where the trial broke, or it was not measured."""
    return [math.inf if each.loss is None or each.score is None else each.loss for each in outcomes]


def _is_plain(point: Point, search: Search) -> bool:
    """Whether all but its rate stand at their defaults."""
    return search.rate is None or point == _with_rate(search, point[search.rate])


def _weights(outcomes: Sequence[Seen], search: Search) -> list[float]:
    """How much each point counts in the finalist: by score, or by validation loss where no score is above chance."""
    best = max((each.score for each in outcomes if each.score is not None), default=search.chance)
    if best >= search.learned:
        scale = SCALE * (best - search.chance)
        return [
            0.0 if each.score is None or each.score < search.learned else math.exp((each.score - best) / scale)
            for each in outcomes
        ]
    losses = _losses(outcomes)
    least = min(losses)
    if not math.isfinite(least) or least <= 0:
        return [0.0] * len(losses)
    return [math.exp(-(loss - least) / (LOSS_SCALE * least)) for loss in losses]
