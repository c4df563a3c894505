"""Compare every pair of optimizers as procedures: tuning and training, with the tuning as the unit of error.

`bench.statistics.nested` and `looks` hold the statistics; this module turns them into rows.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from bench.kinds.optimizers.analysis.tunings import TunedScores, common_tunings
from bench.kinds.optimizers.measure import AP, Measure
from bench.statistics.intervals import DIFFERENCE_DECIMALS
from bench.statistics.level import ALPHA
from bench.statistics.looks import LOOK_MARGIN, Look, detectable_gap, sequential
from bench.statistics.nested import MARGIN, claimed_signs, difference_intervals, may_be_best, pair_tests, tuning_spreads

COLUMNS = (
    "a",
    "b",
    "n",
    "mean_difference",
    "low",
    "high",
    "sd_difference",
    "t_p",
    "t_p_adjusted",
    "probability_of_improvement",
    "better",
    "level",
)


Pairs = dict[tuple[int, int], dict[str, object]]


@dataclass(frozen=True)
class Comparison:
    """The compared pairs of a study, and the optimizers that may be the best.

    Attributes:
        pairs: One row for each pair, in the order of the names. ``a``, ``b``; ``n`` (number of tunings of each that are
            compared); ``mean_difference`` (a - b) with its 95 % interval ``low`` and ``high`` (of this pair alone,
            without the margin; NaN where a tuning of either collapsed or failed); ``sd_difference`` (standard deviation
            of the difference of one tuning of each); ``t_p`` and ``t_p_adjusted`` (p that the difference is within the
            margin; adjusted by Shaffer's step-down; NaN where undefined); ``probability_of_improvement`` (share of the
            shared confirm seeds where a > b, ties half); ``better``: ``a`` or ``b`` where a claim is made, otherwise
            empty; ``level`` of the claim.
        best: Optimizers that no claimed pair beats, of those with a complete tuning, sorted.
        tunings: Number of tunings of each optimizer that the last tests compare; 0: none.
        detectable: Gap in the score that the last tests detect with 80 % power, between optimizers that never collapse;
            NaN where unknown.
        margin: Difference between two procedures up to which they count as equal, in the score's unit.
        until_decided: Whether claims are made at looks (interim tests).
        looks: The looks taken, in order.
        level: Level of the claims over all pairs, unless they are made at looks.
        measure: The measure that the scores are in.
    """

    pairs: pd.DataFrame
    best: tuple[str, ...]
    tunings: int
    detectable: float
    margin: float
    until_decided: bool = False
    looks: tuple[Look, ...] = ()
    level: float = ALPHA
    measure: Measure = AP


def compare_procedures(
    tuned: TunedScores,
    *,
    alpha: float = ALPHA,
    until_decided: bool = False,
    scale: float = 1.0,
    measure: Measure = AP,
) -> Comparison:
    """Compare all pairs of optimizers.

    All with a complete tuning are compared by the tunings that all of them have complete. If ``until_decided``, the
    looks (interim tests) taken so far decide: a claim of an earlier look stays, and the optimizer that it beats drops
    out.

    Args:
        tuned: From `tuned_scores`.
        alpha: Level of a claim, over all pairs.
        until_decided: Whether the study goes on until it is decided: by looks, with the levels of `looks.LOOKS`.
        scale: Range of the score: 1 for AP.
        measure: The measure that the scores are in.
    """
    rows: Pairs = {(a, b): _untested(tuned, a, b) for a, b in combinations(range(len(tuned.names)), 2)}
    with_tuning: list[int] = np.flatnonzero(tuned.complete.any(axis=1)).tolist()
    margin = scale * (LOOK_MARGIN if until_decided else MARGIN)
    if not until_decided:
        common = common_tunings(tuned, with_tuning) if with_tuning else np.empty(0, int)
        tested, detectable, beaten = _test(tuned, with_tuning, common, alpha, margin)
        best = tuple(tuned.names[index] for index in with_tuning if index not in beaten)
        return Comparison(
            _pairs_frame(rows | tested), best, len(common), detectable, margin, level=alpha, measure=measure
        )
    looks = sequential(tuned.scores, floor=tuned.floor, margin=margin) if len(with_tuning) else []
    last_tunings, detectable, beaten = 0, np.nan, set[int]()
    for look in looks:
        last_tunings = look.tunings
        tested, detectable, _ = _test(tuned, look.compared, np.arange(last_tunings), look.level, margin)
        rows |= tested
        beaten |= {*look.eliminated}
    best = tuple(tuned.names[index] for index in with_tuning if index not in beaten)
    return Comparison(
        *(_pairs_frame(rows), best, last_tunings, detectable, margin),
        until_decided=True,
        looks=tuple(looks),
        measure=measure,
    )


def _test(
    tuned: TunedScores, compared: list[int] | tuple[int, ...], tunings: np.ndarray, level: float, margin: float
) -> tuple[Pairs, float, set[int]]:
    """Return the rows of the pairs, the detectable gap, and the beaten optimizers."""
    if len(compared) < 2 or not len(tunings):
        return {}, np.nan, set()
    scores = tuned.scores[list(compared)][:, tunings]
    spreads = tuning_spreads(scores[None], floor=tuned.floor)
    tests = pair_tests(spreads, margin=margin)
    signs, (low, high) = claimed_signs(tests, alpha=level), difference_intervals(tests)
    rows: Pairs = {}
    for pair, (i, j) in enumerate(combinations(range(len(compared)), 2)):
        difference = scores[i] - scores[j]
        values = (
            *(tuned.names[compared[i]], tuned.names[compared[j]], len(tunings)),
            *(tests.differences[0, pair], low[0, pair], high[0, pair], tests.sds[0, pair]),
            *(tests.p[0, pair], tests.adjusted[0, pair], _share_of_wins(difference)),
            *({1: "a", -1: "b", 0: ""}[int(signs[0, pair])], level),
        )
        rows[compared[i], compared[j]] = dict(zip(COLUMNS, values, strict=True))
    best = may_be_best(signs, len(compared))[0]
    gap = detectable_gap(len(tunings), len(compared), alpha=level)
    detectable = gap * float(np.sqrt(spreads.pooled_variance[0])) + margin
    return rows, detectable, {index for index, unbeaten in zip(compared, best, strict=True) if not unbeaten}


def _untested(tuned: TunedScores, a: int, b: int) -> dict[str, object]:
    empty: dict[str, object] = dict.fromkeys(COLUMNS, np.nan)
    return empty | {"a": tuned.names[a], "b": tuned.names[b], "n": 0, "better": ""}


def _pairs_frame(rows: Pairs) -> pd.DataFrame:
    return pd.DataFrame(list(rows.values()), columns=list(COLUMNS))


def _share_of_wins(differences: np.ndarray) -> float:
    rounded = differences.round(DIFFERENCE_DECIMALS)
    return float(np.mean((rounded > 0) + 0.5 * (rounded == 0)))
