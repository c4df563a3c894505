"""Run through the plans of optimizers studies without running a trial."""

from bench.kinds.optimizers.plan import plan
from bench.kinds.optimizers.search import TrialOutcome
from bench.trials.phases import CONFIRM, TUNE


def first_trials(spec):
    """What is planned before any trial has run."""
    return plan(spec, {})


def whole_plan(spec, outcome=lambda _trial: TrialOutcome(0.3, 0.5)):
    """All trials of a study of which this comes, in the order of the plan at its end."""
    outcomes = {}
    while True:
        trials = plan(spec, outcomes)
        new = [trial for trial in trials if trial.index not in outcomes]
        if not new:
            return trials
        outcomes |= {trial.index: outcome(trial) for trial in new}


def tune_trials(spec, outcome=lambda _trial: TrialOutcome(0.3, 0.5)):
    """The tune trials among them."""
    return [trial for trial in whole_plan(spec, outcome) if trial.phase == TUNE]


def confirm_trials(spec, outcome=lambda _trial: TrialOutcome(0.3, 0.5)):
    """The confirm trials among them."""
    return [trial for trial in whole_plan(spec, outcome) if trial.phase == CONFIRM]
