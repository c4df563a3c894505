"""Which parameters of a search decided its objectives: Optuna's PED-ANOVA, beside what chance alone would give.

PED-ANOVA (Watanabe, Bansal and Hutter 2023) asks how differently a parameter's values are spread over the good trials
and over all. Of pure noise it makes shares too, larger ones for parameters with more values: so each is set against
the same with the objective's values shuffled among the trials.
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
"""The scope of the parameters that all trials share."""
MIN_TRIALS = 8
"""In a scope; fewer tell nothing."""
GOOD_SHARE = 0.5
"""Of the trials, the best ones, are good. With 20 and 40 random trials and five parameters of which one decides, that
one came first in 35 and 35 of 36 made-up studies; with 0.25 in 27 and 33, with Optuna's 0.1 in 14 and 27."""
SHUFFLES = 100
"""A parameter without effect is above all of them once in so many times."""
COLUMNS = ("objective", "scope", "parameter", "importance", "chance", "n", "why")


@dataclass(frozen=True)
class Observed:
    """A complete trial of the search.

    Attributes:
        optimizer: Its scope.
        shared: The parameters that every trial has, by the names to be shown.
        own: Those of its optimizer alone.
        distributions: What each was drawn from, by the same names.
        outcomes: A number for each objective; all are maximised.
    """

    optimizer: str
    shared: Mapping[str, Any]
    own: Mapping[str, Any]
    distributions: Mapping[str, BaseDistribution]
    outcomes: Sequence[float]


def importances(trials: Sequence[Observed], objectives: Sequence[str], *, seed: int = 0) -> pd.DataFrame:
    """How much each parameter decided whether a trial was among the better half, for each objective.

    Args:
        trials: Complete trials, in any order.
        objectives: Their names, in the order of `Observed.outcomes`.
        seed: Of the shuffles: the same trials give the same frame.

    Returns:
        Rows objective, scope (`ALL` for what all trials share, else an optimizer, whose own parameters are compared
        within its trials), parameter, importance (shares of 1 within objective and scope), chance (the most that any of
        the shuffles gives, on the same scale: at or below it an importance says nothing), n (trials of the scope), why
        (empty, or why the parameter has no importance, which is NaN then). The most important first in each scope;
        scopes by name, `ALL` first.
    """
    scopes = [(ALL, [(trial, trial.shared) for trial in trials])]
    for name in sorted({trial.optimizer for trial in trials}):
        scopes.append((name, [(trial, trial.own) for trial in trials if trial.optimizer == name]))
    rows = [
        row
        for place, objective in enumerate(objectives)
        for scope, own in scopes
        for row in _of_scope(own, place, {"objective": objective, "scope": scope, "n": len(own)}, seed)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _of_scope(
    trials: Sequence[tuple[Observed, Mapping[str, Any]]], objective: int, place: dict[str, Any], seed: int
) -> list[dict[str, Any]]:
    """Rows of one objective in one scope, each with what ``place`` says."""
    names = list(dict.fromkeys(name for _, own in trials for name in own))
    values = np.array([trial.outcomes[objective] for trial, _ in trials], dtype=float)
    why = {name: _why_not([own.get(name) for _, own in trials], values) for name in names}
    asked = [name for name in names if not why[name]]
    found = _shares(trials, asked, values, seed) if asked else {}
    rows = [
        place | {"parameter": name, "importance": share, "chance": chance, "why": ""}
        for name, (share, chance) in sorted(found.items(), key=lambda item: (-item[1][0], item[0]))
    ]
    left = [place | {"parameter": name, "importance": np.nan, "chance": np.nan, "why": why[name]} for name in names]
    return rows + [row for row in left if row["why"]]


def _why_not(used: Sequence[Any], values: np.ndarray) -> str:
    if len(used) < MIN_TRIALS:
        return f"fewer than {MIN_TRIALS} complete trials"
    if len({repr(each) for each in used}) == 1:
        return "the same value in every trial"
    return "the objective is equal in all trials" if len(np.unique(values)) == 1 else ""


def _shares(
    trials: Sequence[tuple[Observed, Mapping[str, Any]]], names: list[str], values: np.ndarray, seed: int
) -> dict[str, tuple[float, float]]:
    """Importance and what chance gives, by parameter."""
    study = _study(trials, names)
    quantile = _quantile(values)
    found = _evaluate(study, names, values, quantile)
    random = np.random.default_rng(seed)
    shuffled = [_evaluate(study, names, random.permutation(values), quantile) for _ in range(SHUFFLES)]
    whole = found.sum()
    if whole == 0:
        return dict.fromkeys(names, (0.0, 0.0))
    chance = np.max(shuffled, axis=0)
    return {name: (float(found[i] / whole), float(chance[i] / whole)) for i, name in enumerate(names)}


def _study(trials: Sequence[tuple[Observed, Mapping[str, Any]]], names: list[str]) -> optuna.Study:
    """The trials of a scope in memory; their values are given with each question."""
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
    """The share of good trials next to `GOOD_SHARE` at which no trial outside is as good as one inside."""
    ordered = np.sort(values)[::-1]
    ends = np.flatnonzero(np.diff(ordered)) + 1  # so many trials are better than all others
    count = ends[np.abs(ends - GOOD_SHARE * len(values)).argmin()]
    return float((count - 0.5) / len(values))  # Optuna rounds up


def _evaluate(study: optuna.Study, names: list[str], values: np.ndarray, quantile: float) -> np.ndarray:
    """Optuna's importances of the parameters, not normalised, where the trials have these values."""
    with warnings.catch_warnings():
        # Told: that it takes low values as good, hence the sign; that leaving out the normalisation is experimental.
        warnings.simplefilter("ignore")
        found = get_param_importances(
            study,
            evaluator=PedAnovaImportanceEvaluator(target_quantile=quantile),
            params=names,
            target=lambda trial: -float(values[trial.number]),
            normalize=False,
        )
    return np.array([found[name] for name in names])
