"""Importance of each searched parameter for each objective: Optuna's PED-ANOVA, compared with chance.

PED-ANOVA (Watanabe, Bansal and Hutter 2023) measures how differently a parameter's values are spread over the good
trials and over all trials. Pure noise yields importances too, larger ones for parameters with more values. So each is
compared with the importances after the objective's values are shuffled among the trials.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import BaseDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import create_trial

ALL = "all"
"""Scope of the parameters that all trials share."""
MIN_TRIALS = 8
"""Minimum number of complete trials of a scope; fewer show nothing."""
GOOD_SHARE = 0.5
"""Share of the trials that counts as good: the best ones. In simulated studies with five parameters, one of which
decides, that one came first in 35 of 36 studies with 20 random trials and in 35 of 36 with 40; with a share of 0.25 in
27 and 33, with Optuna's 0.1 in 14 and 27."""
SHUFFLES = 100
"""Number of shuffles. A parameter without effect exceeds all of them once in about this many times."""
COLUMNS = ("objective", "scope", "parameter", "importance", "chance", "n", "why")


@dataclass(frozen=True)
class Observed:
    """A complete trial of the search.

    Attributes:
        optimizer: The trial's optimizer, which is the scope of ``own``.
        shared: Values of the parameters that every trial has, by the names to show.
        own: Values of the parameters of this optimizer alone.
        distributions: The distribution each value was drawn from, by the same names.
        outcomes: One number for each objective; all are maximised.
    """

    optimizer: str
    shared: Mapping[str, Any]
    own: Mapping[str, Any]
    distributions: Mapping[str, BaseDistribution]
    outcomes: Sequence[float]


def importances(trials: Sequence[Observed], objectives: Sequence[str], *, seed: int = 0) -> pd.DataFrame:
    """Return how much each parameter decided whether a trial was in the better half, for each objective.

    Args:
        trials: Complete trials, in any order.
        objectives: Names of the objectives, in the order of `Observed.outcomes`.
        seed: Seed of the shuffles: the same trials give the same frame.

    Returns:
        Columns: objective; scope (`ALL` for parameters that all trials share, else an optimizer, whose own parameters
        are compared within its trials); parameter; importance (shares that sum to 1 within objective and scope); chance
        (the largest that any shuffle gives, on the same scale: an importance at or below it says nothing); n (trials of
        the scope); why (empty, or why the importance is NaN). Scopes by name, `ALL` first; the most important parameter
        first in each.
    """
    scopes = [(ALL, [(trial, trial.shared) for trial in trials])]
    for name in sorted({trial.optimizer for trial in trials}):
        scopes.append((name, [(trial, trial.own) for trial in trials if trial.optimizer == name]))
    rows = [
        row
        for index, objective in enumerate(objectives)
        for scope, own in scopes
        for row in _of_scope(own, index, {"objective": objective, "scope": scope, "n": len(own)}, seed)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _of_scope(
    trials: Sequence[tuple[Observed, Mapping[str, Any]]], objective: int, common: dict[str, Any], seed: int
) -> list[dict[str, Any]]:
    """Return the rows of one objective in one scope; each also gets the columns of ``common``."""
    names = list(dict.fromkeys(name for _, own in trials for name in own))
    values = np.array([trial.outcomes[objective] for trial, _ in trials], dtype=float)
    why = {name: _why_not([own.get(name) for _, own in trials], values) for name in names}
    usable = [name for name in names if not why[name]]
    shares = _shares(trials, usable, values, seed) if usable else {}
    rows = [
        common | {"parameter": name, "importance": share, "chance": chance, "why": ""}
        for name, (share, chance) in sorted(shares.items(), key=lambda item: (-item[1][0], item[0]))
    ]
    unusable = [
        common | {"parameter": name, "importance": np.nan, "chance": np.nan, "why": why[name]} for name in names
    ]
    return rows + [row for row in unusable if row["why"]]


def _why_not(used: Sequence[Any], values: np.ndarray) -> str:
    if len(used) < MIN_TRIALS:
        return f"fewer than {MIN_TRIALS} complete trials"
    if len({repr(each) for each in used}) == 1:
        return "the same value in every trial"
    return "the objective is equal in all trials" if len(np.unique(values)) == 1 else ""


def _shares(
    trials: Sequence[tuple[Observed, Mapping[str, Any]]], names: list[str], values: np.ndarray, seed: int
) -> dict[str, tuple[float, float]]:
    """Return importance and chance level of each parameter."""
    study = _study(trials, names)
    quantile = _quantile(values)
    measured = _evaluate(study, names, values, quantile)
    generator = np.random.default_rng(seed)
    shuffled = [_evaluate(study, names, generator.permutation(values), quantile) for _ in range(SHUFFLES)]
    total = measured.sum()
    if total == 0:
        return dict.fromkeys(names, (0.0, 0.0))
    chance = np.max(shuffled, axis=0)
    return {name: (float(measured[i] / total), float(chance[i] / total)) for i, name in enumerate(names)}


def _study(trials: Sequence[tuple[Observed, Mapping[str, Any]]], names: list[str]) -> optuna.Study:
    """Build an in-memory Optuna study of a scope's trials; their values are passed with each evaluation."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study()
    finally:
        optuna.logging.set_verbosity(verbosity)
    for trial, own in trials:
        distributions = {name: trial.distributions[name] for name in names}
        study.add_trial(create_trial(params={n: own[n] for n in names}, distributions=distributions, value=0.0))
    return study


def _quantile(values: np.ndarray) -> float:
    """Return the share of good trials nearest to `GOOD_SHARE` that does not split trials of equal value."""
    ordered = np.sort(values)[::-1]
    ends = np.flatnonzero(np.diff(ordered)) + 1  # counts that do not split equal values
    count = ends[np.abs(ends - GOOD_SHARE * len(values)).argmin()]
    return float((count - 0.5) / len(values))  # Optuna rounds up


def _evaluate(study: optuna.Study, names: list[str], values: np.ndarray, quantile: float) -> np.ndarray:
    """Return Optuna's unnormalised importances of the parameters if the trials had these values."""
    with warnings.catch_warnings():
        # Optuna warns that low values count as good (hence the minus sign) and that `normalize` is experimental.
        warnings.simplefilter("ignore")
        by_name = get_param_importances(
            study,
            evaluator=PedAnovaImportanceEvaluator(target_quantile=quantile),
            params=names,
            target=lambda trial: -float(values[trial.number]),
            normalize=False,
        )
    return np.array([by_name[name] for name in names])
