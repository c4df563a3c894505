"""Every optimizer against every other, as procedures: which differences are more than the luck of tuning?

The statistics stand in `bench.statistics.nested` and `looks`; here they become rows.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from bench.kinds.optimizers.analysis.measure import AP, Measure
from bench.kinds.optimizers.analysis.tunings import TunedScores, common_tunings
from bench.statistics.intervals import DIFFERENCE_DECIMALS
from bench.statistics.looks import LOOK_MARGIN, Look, detectable_gap, sequential
from bench.statistics.nested import MARGIN, claimed_signs, difference_ends, may_be_best, pair_tests, tuning_spreads
from bench.statistics.p_values import ALPHA

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
    """What the pairs say.

    Attributes:
        pairs: One row for each pair, in the order of the names. ``a``, ``b``; ``n`` (tunings of each that it rests on);
            ``mean_difference`` (a - b) with its 95 % interval ``low`` and ``high`` (of this pair alone, without the
            margin; NaN where a tuning of either collapsed or failed); ``sd_difference`` (standard deviation of the
            difference of one tuning of each); ``t_p`` and ``t_p_adjusted`` (that the difference is within the margin;
            adjusted by Shaffer's step-down; NaN where undefined); ``probability_of_improvement`` (share of the shared
            confirm seeds where a > b, ties half); ``better``: ``a`` or ``b`` where a claim is made, else an empty text;
            ``level`` of the claim.
        best: Optimizers that no claimed pair beats, of those with a complete tuning, sorted.
        tunings: Tunings of each optimizer that the last tests rest on; 0: none.
        detectable: Gap in the score that the last tests find with 80 %, between optimizers that never collapse; NaN
            where that is not known.
        margin: Difference of two procedures that counts as none, in the score.
        until_decided: Whether claims are made at looks.
        looks: The looks taken, in order.
        level: Of the claims, over all pairs, where they are not made at looks.
        measure: What the scores are.
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
    found: TunedScores,
    *,
    alpha: float = ALPHA,
    until_decided: bool = False,
    scale: float = 1.0,
    measure: Measure = AP,
) -> Comparison:
    """Compare all pairs of optimizers.

    All with a complete tuning are compared by the tunings that all of them have complete; or, ``until_decided``, by the
    looks that can be taken, where a claim of an earlier look stays and whoever it beats is compared no longer.

    Args:
        found: From `tuned_scores`.
        alpha: Level of a claim, over all pairs.
        until_decided: Whether the study goes on until it is decided: by looks, with the levels of `looks.LOOKS`.
        scale: Range of the score: 1 for AP.
        measure: What the scores are.
    """
    rows: Pairs = {(a, b): _unknown(found, a, b) for a, b in combinations(range(len(found.names)), 2)}
    entered: list[int] = np.flatnonzero(found.complete.any(axis=1)).tolist()
    margin = scale * (LOOK_MARGIN if until_decided else MARGIN)
    if not until_decided:
        common = common_tunings(found, entered) if entered else np.empty(0, int)
        tested, detectable, beaten = _test(found, entered, common, alpha, margin)
        best = tuple(found.names[place] for place in entered if place not in beaten)
        return Comparison(_frame(rows | tested), best, len(common), detectable, margin, level=alpha, measure=measure)
    looks = sequential(found.scores, floor=found.floor, margin=margin) if len(entered) else []
    last, detectable, beaten = 0, np.nan, set[int]()
    for look in looks:
        last = look.tunings
        tested, detectable, _ = _test(found, look.compared, np.arange(last), look.level, margin)
        rows |= tested
        beaten |= {*look.left}
    best = tuple(found.names[place] for place in entered if place not in beaten)
    return Comparison(
        *(_frame(rows), best, last, detectable, margin), until_decided=True, looks=tuple(looks), measure=measure
    )


def _test(
    found: TunedScores, compared: list[int] | tuple[int, ...], tunings: np.ndarray, level: float, margin: float
) -> tuple[Pairs, float, set[int]]:
    """Rows of the pairs, the gap that they could show, and who is beaten."""
    if len(compared) < 2 or not len(tunings):
        return {}, np.nan, set()
    scores = found.scores[list(compared)][:, tunings]
    spreads = tuning_spreads(scores[None], floor=found.floor)
    tests = pair_tests(spreads, margin=margin)
    signs, (low, high) = claimed_signs(tests, alpha=level), difference_ends(tests)
    rows: Pairs = {}
    for pair, (i, j) in enumerate(combinations(range(len(compared)), 2)):
        difference = scores[i] - scores[j]
        values = (
            *(found.names[compared[i]], found.names[compared[j]], len(tunings)),
            *(tests.differences[0, pair], low[0, pair], high[0, pair], tests.sds[0, pair]),
            *(tests.p[0, pair], tests.adjusted[0, pair], _share_of_wins(difference)),
            *({1: "a", -1: "b", 0: ""}[int(signs[0, pair])], level),
        )
        rows[compared[i], compared[j]] = dict(zip(COLUMNS, values, strict=True))
    best = may_be_best(signs, len(compared))[0]
    gap = detectable_gap(len(tunings), len(compared), alpha=level)
    detectable = gap * float(np.sqrt(spreads.pooled_variance[0])) + margin
    return rows, detectable, {place for place, unbeaten in zip(compared, best, strict=True) if not unbeaten}


def _unknown(found: TunedScores, a: int, b: int) -> dict[str, object]:
    empty: dict[str, object] = dict.fromkeys(COLUMNS, np.nan)
    return empty | {"a": found.names[a], "b": found.names[b], "n": 0, "better": ""}


def _frame(rows: Pairs) -> pd.DataFrame:
    return pd.DataFrame(list(rows.values()), columns=list(COLUMNS))


def _share_of_wins(differences: np.ndarray) -> float:
    rounded = differences.round(DIFFERENCE_DECIMALS)
    return float(np.mean((rounded > 0) + 0.5 * (rounded == 0)))
