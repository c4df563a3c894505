"""What is tried next: Optuna's samplers, asked when a worker takes a place of the plan.

The places are trials of the ledger that wait; whoever takes one asks for its configuration, and the choices are kept in
the same storage before it is trained. So any number of workers can join, each sees what the others have in hand
(constant liar), and after a kill the same place is tried again with the same choices.
"""

import warnings

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from bench.kinds.joint.plan import searched_trial
from bench.kinds.joint.space import OPTIMIZER, choices_of, shared_choices
from bench.kinds.joint.spec import JointSpec
from bench.ledger.store import Ledger
from bench.trials.identity import digest
from bench.trials.spec import Slot, TrialSpec


def make_sampler(spec: JointSpec, place: int) -> BaseSampler:
    """Optuna's sampler for one place of the plan, whose numbers are the same whoever takes it, and when.

    TPE (Bergstra et al., NeurIPS 2011; multi-objective: Ozaki et al., JAIR 2022) models choices jointly, those of each
    optimizer as a group of their own, and takes trials in hand for bad ones (constant liar).
    """
    seed = int(digest({"sampler": spec.sampler, "seed": spec.seed, "place": place})[:8], 16)
    if spec.sampler != "tpe":
        return RandomSampler(seed=seed)  # a quasi-random plan leaves nothing open but what a fixed configuration does
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(
            n_startup_trials=spec.startup_trials, seed=seed, multivariate=True, group=True, constant_liar=True
        )


def choose(ledger: Ledger, key: int, slot: Slot, spec: JointSpec) -> TrialSpec:
    """Choose what is tried at a place that this worker holds, and keep it in the ledger."""
    study = optuna.load_study(
        study_name=ledger.study_name, storage=ledger.storage, sampler=make_sampler(spec, slot.index)
    )
    study.get_trials(deepcopy=False)  # Optuna's cache takes parameters only of trials that it has seen
    asked = optuna.trial.Trial(study, key)
    made = {}
    shared = shared_choices(spec)
    for name, distribution in shared.items():
        made[name] = _suggest(asked, name, distribution)
    for name, distribution in choices_of(spec, str(made[OPTIMIZER])).items():
        made[name] = _suggest(asked, name, distribution)
    trial = searched_trial(spec, slot, made)
    ledger.settle(key, trial)
    return trial


def _suggest(trial: optuna.Trial, name: str, distribution: optuna.distributions.BaseDistribution) -> int | float | str:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)  # type: ignore[return-value]
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)
