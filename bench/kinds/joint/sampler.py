"""Choose a search trial's configuration with an Optuna sampler when a worker takes its slot.

Slots are waiting trials of the ledger. A worker that takes one asks the sampler for its configuration, and the choices
are kept in the same storage before training starts. So any number of workers can join, each sees which trials the
others are running (constant liar), and after a kill the slot is run again with the same choices.
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


def make_sampler(spec: JointSpec, index: int) -> BaseSampler:
    """Return Optuna's sampler for one slot; its random numbers do not depend on which worker takes it, or when.

    TPE (Bergstra et al., NeurIPS 2011; multi-objective: Ozaki et al., JAIR 2022) models choices jointly, those of each
    optimizer as a group of their own, and treats running trials as bad ones (constant liar).
    """
    seed = int(digest({"sampler": spec.sampler, "seed": spec.seed, "place": index})[:8], 16)
    if spec.sampler != "tpe":
        return RandomSampler(seed=seed)  # a quasi-random plan leaves open only what a fixed configuration does not set
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(
            n_startup_trials=spec.startup_trials, seed=seed, multivariate=True, group=True, constant_liar=True
        )


def choose(ledger: Ledger, key: int, slot: Slot, spec: JointSpec) -> TrialSpec:
    """Choose the configuration of a slot that this worker has claimed, and keep it in the ledger."""
    study = optuna.load_study(
        study_name=ledger.study_name, storage=ledger.storage, sampler=make_sampler(spec, slot.index)
    )
    study.get_trials(deepcopy=False)  # Optuna's cache accepts parameters only for trials that it has loaded
    optuna_trial = optuna.trial.Trial(study, key)
    choices = {}
    shared = shared_choices(spec)
    for name, distribution in shared.items():
        choices[name] = _suggest(optuna_trial, name, distribution)
    for name, distribution in choices_of(spec, str(choices[OPTIMIZER])).items():
        choices[name] = _suggest(optuna_trial, name, distribution)
    trial = searched_trial(spec, slot, choices)
    ledger.store_choice(key, trial)
    return trial


def _suggest(trial: optuna.Trial, name: str, distribution: optuna.distributions.BaseDistribution) -> int | float | str:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)  # type: ignore[return-value]
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)
