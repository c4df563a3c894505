"""Simulate optimizers studies with known true scores, to measure rates of false claims, coverage and detection.

`python -m tests.support.simulated_worlds [--studies N] [--tunings R] [--family NAME]` prints the tables of
docs/method.md.

A world gives, for each optimizer, the score of a run as a function of its learning rate: a curve with a best rate,
sometimes a limit beyond which runs diverge, and noise. Studies follow the plan of a preset. The true score of a
procedure is its mean over very many simulated tunings in its world.
"""

import argparse
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from bench.kinds.optimizers.search import TrialOutcome
from bench.kinds.optimizers.simulation import SimulatedTrial, preset_study, simulated_scores
from bench.kinds.optimizers.spec import StudySpec
from bench.optimizers.space import Log, from_document, rate_of
from bench.statistics.nested import claimed_signs, difference_intervals, pair_tests, tuning_spreads
from bench.trials.phases import CONFIRM
from bench.trials.score_scale import AP_FLOOR

TOP = 0.26
"""AP at the best rate."""
SEED_SD, RUN_SD = 0.008, 0.008
"""Of what a confirm seed does to all optimizers alike, and of what remains of a run."""
TUNE_SD = {0.5: 0.015, 1.0: 0.012}
"""Of a tune trial's AP, by its length."""
GROWN = {0.5: 0.5, 1.0: 0.7}
"""Share of the final AP that a tune trial of such a length reaches."""
TRUTH_STUDIES, TRUTH_TUNINGS = 40, 10
"""Their product is the number of tunings behind each truth."""
WORLDS = 10
"""Of a family: studies are spread over them."""
SECOND = 1_000_000
"""Numbers of the studies behind a truth begin here."""

Noise = Callable[[np.random.Generator], float]


def skewed(rng: np.random.Generator) -> float:
    """Mean 0, variance 1, skewed downwards: most runs do well, some badly."""
    return float(1 - rng.exponential())


@dataclass(frozen=True)
class Curve:
    """What one optimizer's runs score by the decimal logarithm of the rate, from the low end of its range.

    Attributes:
        best: The best rate, in decades.
        width: Decades from the best at which the score is 0.61 times the best.
        top: Score at the best.
        cliff: Decades above the best from where runs diverge.
        shift: How far the best of a shorter run lies to the right.
        others: Width over the other hyperparameters, each best where it stands by default, as a share of its range.
        collapses: Share of confirm runs that learn nothing.
        spread: Times the noise of a run.
        noise: Of a run, with mean 0 and variance 1.
    """

    best: float
    width: float
    top: float = TOP
    cliff: float = math.inf
    shift: float = 0.0
    others: float = math.inf
    collapses: float = 0.0
    spread: float = 1.0
    noise: Noise = field(default=lambda rng: float(rng.normal()))

    def score(self, rate: float, *, shorter: bool) -> float | None:
        """Without noise; None: it diverges."""
        best = self.best + (self.shift if shorter else 0.0)
        if rate > best + self.cliff:
            return None
        if math.isinf(self.width):
            return self.top
        return self.top * math.exp(-(((rate - best) / self.width) ** 2) / 2)


World = Mapping[str, Curve]
MakeCurve = Callable[[np.random.Generator, float, int], Curve]
"""A curve from random numbers, the decades of the optimizer's range, and its number."""


def somewhere(rng: np.random.Generator, decades: float) -> float:
    """Anywhere in the middle 60 % of the range."""
    return float(rng.uniform(0.2, 0.8) * decades)


def outside(rng: np.random.Generator, decades: float) -> float:
    """Up to half a decade beyond one end or the other."""
    beyond = rng.uniform(0, 0.5)
    return float(decades + beyond if rng.random() < 0.5 else -beyond)


FAMILIES: dict[str, MakeCurve] = {
    "flat": lambda _rng, _decades, _number: Curve(0.0, math.inf),
    "2 decades": lambda rng, decades, _: Curve(somewhere(rng, decades), 2.0),
    "1 decade": lambda rng, decades, _: Curve(somewhere(rng, decades), 1.0),
    "0.6 decades": lambda rng, decades, _: Curve(somewhere(rng, decades), 0.6),
    "0.4 decades": lambda rng, decades, _: Curve(somewhere(rng, decades), 0.4),
    "cliff beyond the best": lambda rng, decades, _: Curve(somewhere(rng, decades), 0.5, cliff=0.3),
    "cliff at the best": lambda rng, decades, _: Curve(somewhere(rng, decades), 0.4, cliff=0.05),
    "best outside the range": lambda rng, decades, _: Curve(outside(rng, decades), 0.6),
    "unequal widths": lambda rng, decades, n: Curve(somewhere(rng, decades), (0.4, 0.5, 0.6, 1.0, 1.5, 2.0)[n]),
    "skewed noise": lambda rng, decades, _: Curve(somewhere(rng, decades), 0.6, noise=skewed),
    "unequal noise": lambda rng, decades, n: Curve(somewhere(rng, decades), 0.6, spread=(0.5, 0.7, 1, 1.5, 2, 3)[n]),
    "one collapses in 20 %": lambda rng, decades, n: Curve(somewhere(rng, decades), 0.6, collapses=0.2 * (n == 0)),
    "short runs mislead": lambda rng, decades, _: Curve(somewhere(rng, decades), 0.6, shift=float(rng.normal(0, 0.25))),
    "others matter": lambda rng, decades, _: Curve(somewhere(rng, decades), 0.6, others=0.4),
    "none learns": lambda _rng, _decades, _number: Curve(0.0, math.inf, top=0.001),
}


class Outcomes:
    """What comes of the trials of one world, in the order in which they are asked for."""

    def __init__(self, spec: StudySpec, world: World, seed: int) -> None:
        """``seed``: of the noise."""
        self.world, self.rng = world, np.random.default_rng(seed)
        self.spaces = {name: from_document(spec.spaces[name], name) for name in spec.optimizers}
        self.rates = {name: rate_of(space) or "" for name, space in self.spaces.items()}
        self.of_seed: dict[tuple[int, int, int], float] = {}

    def __call__(self, trial: SimulatedTrial) -> TrialOutcome:
        curve, name = self.world[trial.optimizer], self.rates[trial.optimizer]
        confirm = trial.phase == CONFIRM
        rate = math.log10(float(trial.hyperparameters[name]) / self.spaces[trial.optimizer][name].low)
        score = curve.score(rate, shorter=trial.length < 1)
        if score is None:
            return TrialOutcome(None)
        score *= self._others(trial, curve)
        if confirm:
            if self.rng.random() < curve.collapses:
                return TrialOutcome(0.0)
            key = (trial.study, trial.tuning, trial.number)
            if key not in self.of_seed:
                self.of_seed[key] = float(self.rng.normal(0, SEED_SD))
            noise = self.of_seed[key] + RUN_SD * curve.spread * curve.noise(self.rng)
        else:
            score *= GROWN[trial.length]
            noise = TUNE_SD[trial.length] * curve.spread * curve.noise(self.rng)
        learned = min(1.0, score / 0.03)  # who has learned nothing scores nothing
        return TrialOutcome(max(0.0, score + learned * noise), 1.0 - score)

    def _others(self, trial: SimulatedTrial, curve: Curve) -> float:
        if math.isinf(curve.others):
            return 1.0
        space = self.spaces[trial.optimizer]
        off = 0.0
        for key, value in trial.hyperparameters.items():
            each = space[key]
            if key != self.rates[trial.optimizer] and isinstance(each, Log):
                place = math.log(float(value) / each.low) / math.log(each.high / each.low)
                off += ((place - 0.6) / curve.others) ** 2
        return math.exp(-off / 2)


@dataclass(frozen=True)
class Figures:
    """What the studies of a family gave.

    Attributes:
        false_claims: Share of studies with a claim in the wrong direction, or between equal procedures.
        coverage: Share of the intervals of differences that hold the truth about tunings that have not collapsed, over
            all pairs: where one has, there is no interval.
        worst_coverage: Of the pair with the lowest.
        sd: Root mean square of the standard deviation of one tuning's mean.
        mean: Mean score of the procedures.
    """

    false_claims: float
    coverage: float
    worst_coverage: float
    sd: float
    mean: float


def figures(spec: StudySpec, family: str, studies: int) -> Figures:
    """Figures of so many studies of one family."""
    false, held, spreads, means = [], [], [], []
    for number in range(WORLDS):
        world = make_world(spec, family, number)
        tuned = _many_tunings(spec, world, number)
        truth, error = tuned.mean(axis=1), tuned.std(axis=1) / math.sqrt(tuned.shape[1])
        signs, low, high = _claims(spec, world, number, studies)
        first, second = np.triu_indices(len(truth), 1)
        learned = np.nanmean(np.where(tuned < AP_FLOOR, np.nan, tuned), axis=1) if tuned.max() >= AP_FLOOR else truth
        of_learned = learned[first] - learned[second]
        differences, sure = truth[first] - truth[second], 2 * np.hypot(error[first], error[second])
        false.append((((signs > 0) & (differences < sure)) | ((signs < 0) & (differences > -sure))).any(axis=1))
        held.append(np.where(np.isfinite(low), (low <= of_learned) & (of_learned <= high), np.nan))
        spreads.append(tuned.std(axis=1))
        means.append(truth)
    known = [each for each in np.concatenate(held).T if np.isfinite(each).any()]
    per_pair = [float(np.nanmean(each)) for each in known]
    return Figures(
        false_claims=float(np.concatenate(false).mean()),
        coverage=float(np.mean(per_pair)) if per_pair else math.nan,
        worst_coverage=min(per_pair, default=math.nan),
        sd=float(np.sqrt(np.mean(np.square(spreads)))),
        mean=float(np.mean(means)),
    )


def power(spec: StudySpec, family: str, studies: int, gap: float) -> float:
    """Share of the first optimizer's pairs that are claimed for it where its best is better by ``gap``."""
    found = [_claims(spec, make_world(spec, family, n, gap), n, studies)[0] for n in range(WORLDS)]
    return float(np.mean([(signs[:, : len(spec.optimizers) - 1] > 0).mean() for signs in found]))


def _many_tunings(spec: StudySpec, world: World, number: int) -> np.ndarray:
    """Scores (optimizers, tunings) of very many tunings in one world."""
    many = spec.model_copy(update={"tunings": TRUTH_TUNINGS})
    numbers = range(SECOND, SECOND + TRUTH_STUDIES)
    scores = simulated_scores(many, Outcomes(many, world, SECOND + number), numbers).mean(axis=3)
    return scores.swapaxes(0, 1).reshape(len(spec.optimizers), -1)


def _claims(spec: StudySpec, world: World, number: int, studies: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Claims, and both ends of the intervals (studies, pairs), of one world's share of so many studies."""
    numbers = range(number * studies // WORLDS, (number + 1) * studies // WORLDS)
    scores = simulated_scores(spec, Outcomes(spec, world, number), numbers)
    tests = pair_tests(tuning_spreads(scores, floor=AP_FLOOR))
    return claimed_signs(tests), *difference_intervals(tests)


def make_world(spec: StudySpec, family: str, number: int, gap: float = 0.0) -> World:
    """One of a family's worlds; ``gap``: by how much the first optimizer's best is better."""
    rng = np.random.default_rng((list(FAMILIES).index(family), number))
    world = {}
    for place, name in enumerate(spec.optimizers):
        space = from_document(spec.spaces[name], name)
        rate = space[rate_of(space) or ""]
        assert isinstance(rate, Log)
        curve = FAMILIES[family](rng, math.log10(rate.high / rate.low), place)
        world[name] = replace(curve, top=curve.top + gap) if place == 0 else curve
    return world


def main() -> None:
    """Print a row for each family."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--tunings", type=int, default=3)
    parser.add_argument("--trials", type=int, default=None)
    parser.add_argument("--family", choices=FAMILIES)
    given = parser.parse_args()
    settings = {"tunings": given.tunings} | ({"trials": given.trials} if given.trials else {})
    spec = preset_study(**settings)
    print(
        f"{given.studies} studies a family, {len(spec.optimizers)} optimizers, {spec.tunings} tunings of {spec.trials}"
    )
    print("| family | sd of a tuning | mean | false claims | covered | worst pair | 0.03 found | 0.04 | 0.05 |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for family in [given.family] if given.family else FAMILIES:
        equal = figures(spec, family, given.studies)
        found = [power(spec, family, given.studies // 4, gap) for gap in (0.03, 0.04, 0.05)]
        cells = [f"{equal.sd:.3f}", f"{equal.mean:.3f}"]
        cells += [
            f"{100 * share:.1f} %" for share in (equal.false_claims, equal.coverage, equal.worst_coverage, *found)
        ]
        print(f"| {family} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
