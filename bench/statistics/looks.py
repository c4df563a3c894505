"""Looks (interim tests) at a study after each tuning, the optimizers that they eliminate, and the gap they detect."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from bench.statistics.level import ALPHA
from bench.statistics.nested import Tunings, claimed_signs, pair_tests, tuning_spreads

LOOKS: Mapping[int, float] = {3: 0.0124, 4: 0.0167, 5: 0.0208, 6: 0.0245}
"""Level of each look, by its number of tunings, used instead of 0.05, because repeated looks find differences by
chance."""


def level_after(looks: int) -> float:
    """Return the level of claims after so many looks at a study that was then extended: 0.05 halved once for each."""
    return float(ALPHA / 2**looks)


LOOK_MARGIN = 0.01
"""Margin of the pair tests in a study that goes on until it is decided, in AP."""

POWER = 0.8
"""A gap counts as detectable if at least this share of studies would claim it."""

STUDIES, HALVINGS = 4000, 10
"""Simulated studies behind `detectable_gap` (standard error of the power 0.004, of the gap 0.03), and halvings of the
interval around the gap: to 0.01 standard deviations."""


@dataclass(frozen=True)
class Claim:
    """The claim that one optimizer beats another; both are indices into the scores."""

    winner: int
    loser: int
    p: float
    """p value, adjusted over the pairs of the look."""


@dataclass(frozen=True)
class Look:
    """One look at a study; optimizers are indices into the scores.

    Attributes:
        tunings: Tunings of each optimizer compared.
        level: Level of its claims.
        compared: Optimizers that had not been eliminated before.
        claims: New claims; those of earlier looks stay.
        eliminated: Optimizers eliminated at this look, because one of its claims says that they are beaten.
        remaining: Optimizers that remain.
        decided: Whether only one remains.
    """

    tunings: int
    level: float
    compared: tuple[int, ...]
    claims: tuple[Claim, ...]
    eliminated: tuple[int, ...]
    remaining: tuple[int, ...]
    decided: bool


def sequential(
    scores: np.ndarray, *, floor: float, looks: Mapping[int, float] = LOOKS, margin: float = LOOK_MARGIN
) -> list[Look]:
    """Replay the looks that a study's scores allow.

    A look at R tunings is taken once all remaining optimizers have R complete ones. Only pairs of these are compared,
    by their first R tunings; each optimizer that a claim beats is eliminated. A claim is never revoked.

    Args:
        scores: Array (optimizers, tunings, seeds); NaN: no record, as for an eliminated optimizer.
        floor: Score under which a run has learned nothing.
        looks: Level of each look by its number of tunings.
        margin: As in `nested.pair_tests`.

    Returns:
        The looks in order, up to the one that leaves a single optimizer or the last that can be taken.
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
        remaining = tuple(optimizer for optimizer in still_in if optimizer not in beaten)
        eliminated = tuple(optimizer for optimizer in still_in if optimizer in beaten)
        taken.append(Look(tunings, level, still_in, claims, eliminated, remaining, decided=len(remaining) < 2))
        still_in = remaining
    return taken


@lru_cache(maxsize=256)
def detectable_gap(tunings: int, optimizers: int, *, alpha: float = ALPHA, power: float = POWER) -> float:
    """Return the gap that a study detects with probability ``power``, in standard deviations of one tuning's mean.

    One optimizer is better than all others, which are equal; power is the share of its pairs that are claimed, over
    simulated studies with normal errors of one size (the same random numbers in every call), without margin. In AP: the
    gap times the standard deviation, plus the margin.

    Args:
        tunings: Tunings of each optimizer.
        optimizers: Number of optimizers compared.
        alpha: Level of the claims.
        power: Share of the pairs that are claimed.

    Returns:
        NaN with fewer than two tunings or optimizers.
    """
    if tunings < 2 or optimizers < 2:
        return float("nan")
    noise = np.random.default_rng((tunings, optimizers)).normal(size=(STUDIES, optimizers, tunings, 1))
    noise_spreads = tuning_spreads(noise, floor=-np.inf)
    low, high = 0.0, 1.0
    while _power(noise_spreads, high, alpha) < power:
        low, high = high, 2 * high
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _power(noise_spreads, middle, alpha) < power else (low, middle)
    return (low + high) / 2


def _power(noise: Tunings, gap: float, alpha: float) -> float:
    """Return the share of the first optimizer's pairs that are claimed for it if it is better by ``gap``.

    The spreads stay those of ``noise``.
    """
    means = noise.means.copy()
    means[:, 0] += gap
    signs = claimed_signs(pair_tests(replace(noise, means=means), margin=0.0), alpha=alpha)
    return float((signs[:, : means.shape[1] - 1] > 0).mean())
