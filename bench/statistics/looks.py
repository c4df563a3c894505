"""Looks at a study tuning after tuning, and who leaves after each; what so many tunings can show."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from bench.statistics.nested import Tunings, claimed_signs, pair_tests, tuning_spreads
from bench.statistics.p_values import ALPHA

LOOKS: Mapping[int, float] = {3: 0.0124, 4: 0.0167, 5: 0.0208, 6: 0.0245}
"""Tunings at which a study that goes on until it is decided is looked at, and the level of each look in place of 0.05:
who looks often finds a difference by chance."""


def level_after(looks: int) -> float:
    """The level of claims after so many looks at a study that was then extended: half of 0.05, half of that, ..."""
    return float(ALPHA / 2**looks)


LOOK_MARGIN = 0.01
"""Margin of such a study, in AP."""

POWER = 0.8
"""A gap counts as one that would be found if this share of studies would claim it."""

STUDIES, HALVINGS = 4000, 10
"""Simulated studies behind `detectable_gap` (standard error of the power 0.004, of the gap 0.03), and how often the
interval that holds the gap is halved: to 0.01 standard deviations."""


@dataclass(frozen=True)
class Claim:
    """One optimizer beats another; both by their place in the scores."""

    winner: int
    loser: int
    p: float
    """Adjusted over the pairs of the look."""


@dataclass(frozen=True)
class Look:
    """A look at a study: who was compared, what was claimed, who goes on.

    Attributes:
        tunings: Of each optimizer that was compared.
        level: Of its claims.
        compared: Optimizers that were still in, by place.
        claims: New ones; those of earlier looks stay.
        left: Optimizers that leave after it: a claim of this look beats each of them.
        goes_on: Those that have not left.
        decided: Whether only one goes on.
    """

    tunings: int
    level: float
    compared: tuple[int, ...]
    claims: tuple[Claim, ...]
    left: tuple[int, ...]
    goes_on: tuple[int, ...]
    decided: bool


def sequential(
    scores: np.ndarray, *, floor: float, looks: Mapping[int, float] = LOOKS, margin: float = LOOK_MARGIN
) -> list[Look]:
    """Replay the looks that can be taken at one study.

    A look at R tunings is taken once all optimizers that are still in have R complete ones. Only pairs of these are
    compared, by their first R tunings; whoever a claim beats leaves. A claim is never revoked.

    Args:
        scores: Array (optimizers, tunings, seeds); NaN: no record, such as those of an optimizer that has left.
        floor: Score under which a run has learned nothing.
        looks: Level of each look by its number of tunings.
        margin: As in `nested.pair_tests`.

    Returns:
        The looks in order; it ends where only one optimizer is left, or with the last look that can be taken.
    """
    scores = np.asarray(scores, dtype=float)
    complete = np.isfinite(scores).all(axis=2)
    still_in = tuple(range(len(scores)))
    taken: list[Look] = []
    for tunings, level in sorted(looks.items()):
        if len(still_in) < 2 or tunings > scores.shape[1] or not complete[list(still_in), :tunings].all():
            break
        tests = pair_tests(tuning_spreads(scores[None, list(still_in), :tunings], floor=floor), margin=margin)
        signs = claimed_signs(tests, alpha=level)[0]
        claims = tuple(
            Claim(*((still_in[a], still_in[b]) if sign > 0 else (still_in[b], still_in[a])), p=float(p))
            for a, b, sign, p in zip(*np.triu_indices(len(still_in), 1), signs, tests.adjusted[0], strict=True)
            if sign
        )
        beaten = {claim.loser for claim in claims}
        goes_on = tuple(place for place in still_in if place not in beaten)
        left = tuple(place for place in still_in if place in beaten)
        taken.append(Look(tunings, level, still_in, claims, left, goes_on, decided=len(goes_on) < 2))
        still_in = goes_on
    return taken


@lru_cache(maxsize=256)
def detectable_gap(tunings: int, optimizers: int, *, alpha: float = ALPHA, power: float = POWER) -> float:
    """Gap that a study finds with probability ``power``, in standard deviations of one tuning's mean, without margin.

    One optimizer is better than all others, which are equal; the share of its pairs that are claimed, over simulated
    studies with normal errors of one size (the same random numbers in every call). In AP: the gap times the standard
    deviation, plus the margin.

    Args:
        tunings: Of each optimizer.
        optimizers: How many are compared.
        alpha: Level of the claims.
        power: Share of the pairs that are claimed.

    Returns:
        NaN with fewer than two tunings or optimizers.
    """
    if tunings < 2 or optimizers < 2:
        return float("nan")
    noise = np.random.default_rng((tunings, optimizers)).normal(size=(STUDIES, optimizers, tunings, 1))
    found = tuning_spreads(noise, floor=-np.inf)
    low, high = 0.0, 1.0
    while _power(found, high, alpha) < power:
        low, high = high, 2 * high
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _power(found, middle, alpha) < power else (low, middle)
    return (low + high) / 2


def _power(noise: Tunings, gap: float, alpha: float) -> float:
    """Share of the first optimizer's pairs that are claimed for it where it is better by ``gap``: spreads stay."""
    means = noise.means.copy()
    means[:, 0] += gap
    signs = claimed_signs(pair_tests(replace(noise, means=means), margin=0.0), alpha=alpha)
    return float((signs[:, : means.shape[1] - 1] > 0).mean())
