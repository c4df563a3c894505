"""Simulated studies of six optimizers that are equally good when well tuned: how many claim a difference all the same?

`python -m tests.support.simulated_tuning [--studies N]` prints the table of docs/method.md.

AP is a peak over the logarithm of the learning rate, at another rate for each optimizer. A study tunes each optimizer
once, at quasi-random points that it sees with noise, confirms the best of them on paired seeds, and compares all pairs
by the rule of `bench.kinds.optimizers.analysis.comparisons`. `simulated_truth` has a plateau where this has a peak:
there any point on it is as good as another.
"""

import argparse
import math

import numpy as np
from scipy import special

from bench.kinds.optimizers.analysis.comparisons import DOUBT, SMALL_SPREAD
from bench.statistics.p_values import ALPHA

OPTIMIZERS = 6
DECADES = 4.0
"""Learning rates searched, as powers of ten; the best lies anywhere in the middle 60 % of them."""
BEST_AP = 0.26
"""At the best learning rate, of every optimizer."""
SEED_SD, RUN_SD, TUNE_SD = 0.008, 0.008, 0.02
"""Of what a seed does to all alike, of a confirm trial's own noise, and of the noise of a tune trial's AP."""
WIDTHS = (math.inf, 2.0, 1.0, 0.6, 0.4)
"""Standard deviation of the peak in decades: so far from the best learning rate AP is 0.61 times the best."""
PROTOCOLS = ((4, 5), (8, 10))
"""Tune trials and confirm seeds: those of the preset `small`, and those of `simulated_truth`. Five seeds are the fewest
from which a pair's own spread is believed, which `claims` takes for granted."""
PAIRS = np.triu_indices(OPTIMIZERS, 1)


def confirm_scores(rng: np.random.Generator, studies: int, width: float, trials: int, seeds: int) -> np.ndarray:
    """AP of the confirm trials of so many studies: (studies, seeds, optimizers)."""
    centre = rng.uniform(0.2, 0.8, (studies, OPTIMIZERS, 1)) * DECADES
    shift = rng.random((studies, OPTIMIZERS, 1))  # so a scrambled Halton sequence places 4 or 8 points on a line
    tried = (np.arange(trials) + shift) / trials * DECADES
    ap = BEST_AP * np.exp(-(((tried - centre) / width) ** 2) / 2)
    chosen = (ap + rng.normal(0, TUNE_SD, ap.shape)).argmax(axis=2, keepdims=True)
    configuration = np.take_along_axis(ap, chosen, axis=2)[:, :, 0]
    of_seed = rng.normal(0, SEED_SD, (studies, seeds, 1))
    return configuration[:, None, :] + of_seed + rng.normal(0, RUN_SD, (studies, seeds, OPTIMIZERS))


def claims(scores: np.ndarray) -> np.ndarray:
    """Whether each study (`confirm_scores`) claims any difference: its smallest p passes the first step of Holm's."""
    differences = scores[:, :, PAIRS[0]] - scores[:, :, PAIRS[1]]
    seeds, pairs = differences.shape[1:]
    spread = differences.std(axis=1, ddof=1)
    usual = np.median(spread, axis=1, keepdims=True)
    spread = np.maximum(spread, np.minimum(SMALL_SPREAD * usual, DOUBT * spread))  # a small one is doubted
    t = differences.mean(axis=1) / (spread / math.sqrt(seeds))
    return 2 * special.stdtr(seeds - 1, -np.abs(t)).min(axis=1) * pairs <= ALPHA


def false_claims(width: float, studies: int, *, trials: int = 4, seeds: int = 5) -> float:
    """Share of so many studies of equal optimizers that claim a difference."""
    rng = np.random.default_rng((trials, seeds))
    return float(claims(confirm_scores(rng, studies, width, trials, seeds)).mean())


def main() -> None:
    """Print a row for each width of the peak."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--studies", type=int, default=10_000)
    studies = parser.parse_args().studies
    print(f"{studies} studies a cell, {OPTIMIZERS} equal optimizers, one tuning each over {DECADES:.0f} decades")
    columns = [f"{trials} trials, {seeds} seeds" for trials, seeds in PROTOCOLS]
    print(f"| width of the peak | {' | '.join(columns)} |\n| --- |{' --- |' * len(columns)}")
    for width in WIDTHS:
        shares = [false_claims(width, studies, trials=trials, seeds=seeds) for trials, seeds in PROTOCOLS]
        name = "flat" if math.isinf(width) else f"{width:g} decade{'s' if width != 1 else ''}"
        print(f"| {name} | {' | '.join(f'{100 * share:.1f} %' for share in shares)} |")


if __name__ == "__main__":
    main()
