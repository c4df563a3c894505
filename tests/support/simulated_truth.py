"""Simulated studies whose truth is known: how often do intervals cover it, are there false claims, is a gap found?

`python -m tests.support.simulated_truth [--studies N]` prints the figures that docs and docstrings give.

A study is six optimizers, tune trials, and ten confirm seeds. AP is the same over a plateau of learning rates, low
below it, and training diverges above; a tune trial sees it with noise, so that the chosen trial is the luckiest of the
plateau (its tune AP says too much, and must not leak into the score). A confirm trial's AP is the truth of its
settings, plus what its seed does to all optimizers alike, plus its own noise.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.kinds.optimizers.analysis import StudyAnalysis, study_analysis

OPTIMIZERS = ("adabound", "adadelta", "adagrad", "adam", "nesterov", "sgd")
TRUE_AP = 0.4
TUNE_TRIALS, SEEDS = 8, 10
PLATEAU, TOO_SLOW_AP = (1e-3, 0.3), 0.1
SEED_SD, OWN_SD, TUNE_SD = 0.01, 0.02, 0.03
"""Of what a seed does to all alike, of a trial's own noise, and of the noise of a tune trial's AP."""
PAIR = ("adam", "sgd")
"""The pair with a gap; where sizes of errors are unequal, one of those that spread most."""
NARROW_PAIR = ("adabound", "adadelta")
"""Where sizes of errors are unequal, the pair that spreads least."""
FEW_RESAMPLES = 49
"""Claims do not depend on them."""
GAP = 2.0
"""In standard deviations of the paired difference."""
NO_CURVES = pd.DataFrame(columns=["trial_id", "step", "train_seconds", "ap", "val_loss"])

Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
"""Standardised errors: (generator, (seeds, optimizers)) -> mean 0, and variance 1 on average over the optimizers."""


def _unequal(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Standard deviations from 1 to 4, by optimizer."""
    spread = np.linspace(1, 4, size[1])
    return rng.normal(size=size) * spread / np.sqrt(np.mean(spread**2))


def _log_normal(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Skewed upwards (skewness 1.75): most seeds do little, a few do well."""
    shape = 0.5
    mean, variance = np.exp(shape**2 / 2), (np.exp(shape**2) - 1) * np.exp(shape**2)
    return (rng.lognormal(0, shape, size=size) - mean) / np.sqrt(variance)


def _unequal_log_normal(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Both at once: differences are skewed too."""
    spread = np.linspace(1, 4, size[1])
    return _log_normal(rng, size) * spread / np.sqrt(np.mean(spread**2))


def _beta(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Skewed downwards and bounded (skewness -1.2): most seeds do well, a few do badly."""
    a, b = 5.0, 1.0
    return (rng.beta(a, b, size=size) - a / (a + b)) / np.sqrt(a * b / ((a + b) ** 2 * (a + b + 1)))


def _skewed_apart(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Half of the optimizers skewed upwards, half downwards: their differences are skewed too."""
    return _log_normal(rng, size) * np.where(np.arange(size[1]) % 2, 1, -1)


CASES: dict[str, Draw] = {
    "normal": lambda rng, size: rng.normal(size=size),
    "unequal variances": _unequal,
    "log-normal": _log_normal,
    "beta": _beta,
    "skewed apart": _skewed_apart,
    "unequal log-normal": _unequal_log_normal,
}


PROVED_CASES = ("normal", "unequal variances", "beta", "skewed apart", "unequal log-normal")
"""Those that tests hold to bounds."""
UNEQUAL = [case for case in PROVED_CASES if "unequal" in case]
PROVED_GAPS = [*((case, PAIR) for case in PROVED_CASES), *((case, NARROW_PAIR) for case in UNEQUAL)]


def raw_trials(rng: np.random.Generator, draw: Draw, gaps: Mapping[str, float] | None = None) -> pd.DataFrame:
    """Records of one study, both phases, in random order. ``gaps``: how much better than `TRUE_AP`, by optimizer."""
    true = {name: TRUE_AP + (gaps or {}).get(name, 0.0) for name in OPTIMIZERS}
    rows = []
    lucky: dict[str, tuple[float, float]] = {}
    for number, log_lr in enumerate(np.linspace(-4, 0, TUNE_TRIALS)):
        for place, name in enumerate(OPTIMIZERS):
            shift, noise = tune_noise(rng)
            lr = float(10 ** (log_lr + shift))
            ap = max(0.0, (true[name] if lr > PLATEAU[0] else TOO_SLOW_AP) + TUNE_SD * noise)
            status = "diverged" if lr > PLATEAU[1] else "complete"
            rows.append(_row(name, "tune", 0, number * len(OPTIMIZERS) + place, lr, ap, status))
            if status == "complete":
                lucky[name] = max(lucky.get(name, (0.0, 0.0)), (ap, lr))
    of_seed, errors = confirm_noise(rng, draw)
    for seed in range(SEEDS):
        for place, name in enumerate(OPTIMIZERS):
            ap = true[name] + of_seed[seed] + errors[seed, place]
            index = (TUNE_TRIALS + seed) * len(OPTIMIZERS) + place
            rows.append(_row(name, "confirm", 1001 + seed, index, lucky[name][1], ap))
    return pd.DataFrame([rows[at] for at in rng.permutation(len(rows))])


def tune_noise(rng: np.random.Generator) -> tuple[float, float]:
    """How far a tune trial's rate lies beside its place, in decades, and the noise of its AP in `TUNE_SD`."""
    return rng.uniform(-0.2, 0.2), float(rng.normal())


def confirm_noise(rng: np.random.Generator, draw: Draw) -> tuple[np.ndarray, np.ndarray]:
    """What each seed does to all optimizers (seeds), and each trial's own noise (seeds, optimizers), in AP."""
    return SEED_SD * rng.normal(size=SEEDS), OWN_SD * draw(rng, (SEEDS, len(OPTIMIZERS)))


def generator(case: str, number: int) -> np.random.Generator:
    """Random numbers of one study: the same in every call."""
    return np.random.default_rng((number, list(CASES).index(case)))


def gaps_between(case: str, pair: tuple[str, str]) -> dict[str, float]:
    """How much better than `TRUE_AP` the two of a pair are, `GAP` apart; the other four stand halfway between them."""
    better, worse = pair
    half = GAP / 2 * difference_sd(CASES[case], better, worse)
    return {better: half, worse: -half}


def _row(
    optimizer: str, phase: str, seed: int, index: int, lr: float, ap: float, status: str = "complete"
) -> dict[str, object]:
    return {
        "trial_id": f"{optimizer}-{index}",
        "phase": phase,
        "optimizer": optimizer,
        "hyperparameters": json.dumps({"lr": lr}),
        "seed": seed,
        "index": index,
        "status": status,
        "ap": float(ap),
        "ap_best": float(ap),
        "val_loss": 1.0 - float(ap),
    }


def difference_sd(draw: Draw, a: str, b: str) -> float:
    """Standard deviation of the paired difference of two optimizers."""
    errors = OWN_SD * draw(np.random.default_rng(0), (200_000, len(OPTIMIZERS)))
    return float((errors[:, OPTIMIZERS.index(a)] - errors[:, OPTIMIZERS.index(b)]).std())


def analyses(
    case: str, studies: int, gaps: Mapping[str, float] | None = None, **options: int
) -> Iterator[StudyAnalysis]:
    """What the public analysis finds in so many studies; study k has the same trials in every call."""
    for number in range(studies):
        yield study_analysis(raw_trials(generator(case, number), CASES[case], gaps), NO_CURVES, **options)


@dataclass(frozen=True)
class Figures:
    """What a case's studies of six equal optimizers gave.

    Attributes:
        mean_coverage: Share of the 95 % intervals of a mean that hold the truth.
        difference_coverage: Share of the 95 % intervals of a paired difference that hold 0.
        false_claims: Share of studies that call any optimizer better than another.
    """

    mean_coverage: float
    difference_coverage: float
    false_claims: float


def equal_optimizers(case: str, studies: int) -> Figures:
    """`Figures` of so many studies of one case."""
    means, differences, claims = [], [], []
    for found in analyses(case, studies):
        means.append(found.ranking["ap_low"].le(TRUE_AP) & found.ranking["ap_high"].ge(TRUE_AP))
        differences.append(found.comparisons["low"].le(0) & found.comparisons["high"].ge(0))
        claims.append((found.comparisons["better"] != "").any())
    return Figures(float(np.mean(means)), float(np.mean(differences)), float(np.mean(claims)))


def power(case: str, studies: int, pair: tuple[str, str] = PAIR) -> float:
    """Share of studies that find the gap between one given pair, as in `gaps_between`."""
    found = 0
    for analysis in analyses(case, studies, gaps_between(case, pair), resamples=FEW_RESAMPLES):
        pairs = analysis.comparisons.set_index(["a", "b"])
        found += pairs.loc[pair, "better"] == "a"
    return found / studies


def main() -> None:
    """Print a row for each case."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--studies", type=int, default=1000)
    studies = parser.parse_args().studies
    print(f"{studies} studies a case, {len(OPTIMIZERS)} optimizers, {SEEDS} seeds")
    print("| case | mean covered | difference covered | false claim | gap of 2 sd found | by the narrowest pair |")
    print("| --- | --- | --- | --- | --- | --- |")
    for case in CASES:
        equal = equal_optimizers(case, studies)
        shares = [equal.mean_coverage, equal.difference_coverage, equal.false_claims, power(case, studies)]
        if "unequal" in case:
            shares.append(power(case, studies, NARROW_PAIR))
        cells = [f"{100 * share:.1f} %" for share in shares] + ["same"] * (5 - len(shares))
        print(f"| {case} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
