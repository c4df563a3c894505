"""The studies of `simulated_truth` as arrays, a thousand at once: the suite's own rules without its data frames."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np

from bench.kinds.optimizers.analysis.comparisons import claimed_signs, paired_differences, paired_t_tests
from bench.statistics.intervals import mean_intervals
from tests.support.simulated_truth import (
    CASES,
    OPTIMIZERS,
    PAIR,
    TRUE_AP,
    TUNE_TRIALS,
    Figures,
    confirm_noise,
    gaps_between,
    generator,
    tune_noise,
)

RESAMPLES = 4999
"""As in `study_analysis`."""
PAIRS = list(combinations(OPTIMIZERS, 2))


@dataclass(frozen=True)
class Claims:
    """p of every pair's test and what is claimed, as the columns of `paired_comparisons`; arrays (studies, pairs)."""

    p: np.ndarray
    adjusted: np.ndarray
    signs: np.ndarray
    """1: the first of the pair is better; -1: the second; 0: no claim."""


def confirm_scores(case: str, numbers: Sequence[int], gaps: Mapping[str, float] | None = None) -> np.ndarray:
    """AP (studies, seeds, optimizers) of the confirm trials of the studies with these numbers."""
    true = np.array([TRUE_AP + (gaps or {}).get(name, 0.0) for name in OPTIMIZERS])
    noise = [_confirm_noise(case, number) for number in numbers]
    return np.stack([true + of_seed[:, np.newaxis] + errors for of_seed, errors in noise])


@lru_cache(maxsize=10_000)
def _confirm_noise(case: str, number: int) -> tuple[np.ndarray, np.ndarray]:
    rng = generator(case, number)
    for _ in range(TUNE_TRIALS * len(OPTIMIZERS)):
        tune_noise(rng)  # drawn first
    return confirm_noise(rng, CASES[case])


def claims(scores: np.ndarray) -> Claims:
    """What the suite claims from scores (studies, seeds, optimizers)."""
    differences = paired_differences(scores)
    p, adjusted = paired_t_tests(differences)
    return Claims(p, adjusted, claimed_signs(differences, adjusted))


def mean_ends(scores: np.ndarray, resamples: int = RESAMPLES) -> np.ndarray:
    """Low and high end of the interval of each optimizer's mean: (studies, optimizers, 2)."""
    found = [mean_intervals(study.T, resamples=resamples) for study in scores]
    return np.array([[(interval.of_ap().low, interval.of_ap().high) for interval in study] for study in found])


def difference_ends(scores: np.ndarray, resamples: int = RESAMPLES) -> np.ndarray:
    """Low and high end of the interval of each pair's mean difference: (studies, pairs, 2)."""
    differences = np.stack(paired_differences(scores), axis=1)
    found = [mean_intervals(study, resamples=resamples) for study in differences]
    return np.array([[(interval.low, interval.high) for interval in study] for study in found])


def equal_optimizers(case: str, studies: int, resamples: int = RESAMPLES) -> Figures:
    """As in `simulated_truth`, of the same studies."""
    scores = confirm_scores(case, range(studies))
    return Figures(
        mean_coverage=_share_between(mean_ends(scores, resamples), TRUE_AP),
        difference_coverage=_share_between(difference_ends(scores, resamples), 0),
        false_claims=float((claims(scores).signs != 0).any(axis=1).mean()),
    )


def power(case: str, studies: int, pair: tuple[str, str] = PAIR) -> float:
    """As in `simulated_truth`, of the same studies."""
    scores = confirm_scores(case, range(studies), gaps_between(case, pair))
    return float((claims(scores).signs[:, PAIRS.index(pair)] == 1).mean())


def _share_between(ends: np.ndarray, truth: float) -> float:
    return float(((ends[..., 0] <= truth) & (truth <= ends[..., 1])).mean())
