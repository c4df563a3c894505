"""Trials are enqueued with the longest first; those of about equal length stay in the plan's order."""

import heapq
from itertools import permutations

import pytest

from bench.kinds.optimizers.plan import plan
from bench.study.longest_first import Pace, by_phase, longest_first
from bench.trials.phases import CONFIRM, TUNE
from bench.trials.spec import Slot
from tests.support.plans import first_trials


@pytest.fixture
def trials(make_spec):
    """Six tune trials, three of each optimizer, by turns."""
    return first_trials(make_spec(tunings=3))


def lengths(*seconds):
    """The seconds of trials by their place in a plan."""
    known = list(seconds)

    def seconds_of(trial):
        return known[order[trial.id]]

    order = {}

    def of(planned):
        order.update({trial.id: place for place, trial in enumerate(planned)})
        return seconds_of

    return of


def makespan(seconds, workers):
    """When the last trial ends, if each free worker takes the next one."""
    free = [0.0] * workers
    for each in seconds:
        heapq.heapreplace(free, free[0] + each)
    return max(free)


def ordered(trials, *seconds):
    """The places in the plan of trials with these lengths, in the order in which they are enqueued."""
    planned = trials[: len(seconds)]
    found = longest_first(planned, lengths(*seconds)(planned))
    return [planned.index(trial) for trial in found]


def test_the_longest_is_first(trials):
    assert ordered(trials, 1, 5, 2, 9) == [3, 1, 2, 0]


def test_equal_ones_keep_the_plan_s_order(trials):
    assert ordered(trials, 10, 10.9, 10.5, 10, 9.9, 10) == [0, 1, 2, 3, 4, 5]
    assert ordered(trials, 9.8, 10.9, 5, 10.5, 5.2) == [1, 3, 0, 2, 4]


def test_equal_is_measured_from_the_longest_of_a_group(trials):
    """10, 9.5 and 9.1 count as equal, 8.9 as shorter: no chain of small steps joins what lies far apart."""
    assert ordered(trials, 8.9, 9.1, 9.5, 10) == [1, 2, 3, 0]


def test_the_last_trial_ends_earlier(trials):
    """Two workers, a trial of 4 s after four of 1 s: in the plan's order 6 s, with the longest first 4 s."""
    seconds = [1, 1, 1, 1, 4]
    assert makespan(seconds, 2) == 6
    found = makespan([seconds[place] for place in ordered(trials, *seconds)], 2)
    assert found == 4
    assert found == min(makespan(each, 2) for each in permutations(seconds))


def test_nothing_is_known_of_a_slot(trials):
    slots = [Slot(index=number, study="feed") for number in range(4)]
    assert longest_first(slots, Pace([]).seconds_of) == slots
    mixed = [*slots, *trials]
    assert longest_first(mixed, Pace([]).seconds_of) == mixed


def row(optimizer, seconds, steps, *, num_workers=0, batch_size=2):
    return {
        "optimizer": optimizer,
        "num_workers": num_workers,
        "batch_size": batch_size,
        "train_seconds": seconds,
        "steps_done": steps,
    }


def test_the_pace_is_that_of_the_optimizer_with_the_same_loader(make_spec):
    sgd, adam = first_trials(make_spec(tunings=1, tune_steps=100))
    steps = sgd.run.steps
    pace = Pace([row("sgd", 2.0, 10), row("sgd", 4.0, 10), row("adam", 5.0, 5), row("adam", 90.0, 5, num_workers=4)])
    assert pace.seconds_of(sgd) == pytest.approx(steps * 6 / 20)
    assert pace.seconds_of(adam) == pytest.approx(steps * 1.0)
    assert Pace([row("sgd", 2.0, 10), row("adamw", 6.0, 10)]).seconds_of(adam) == pytest.approx(steps * 8 / 20)


@pytest.mark.parametrize("rows", [[], [row("sgd", float("nan"), 10)], [row("sgd", None, 10)], [row("sgd", 1.0, 0)]])
def test_before_the_first_record_the_budget_counts(make_spec, rows):
    trial = first_trials(make_spec(tune_steps=100))[0]
    assert Pace(rows).seconds_of(trial) == trial.run.steps


def test_a_budget_in_seconds_is_the_expectation(make_spec):
    trial = first_trials(make_spec(tune_steps=None, steps=None, tune_seconds=7.5, seconds=30.0))[0]
    assert Pace([row("sgd", 99.0, 1)]).seconds_of(trial) == trial.run.seconds


def test_phases_keep_their_order(make_spec):
    spec = make_spec(tunings=1, tune_steps=4, steps=400)
    tune = list(plan(spec, {}))
    confirm = [trial.model_copy(update={"phase": CONFIRM, "train": trial.run.model_copy(update={"steps": 400})})
               for trial in tune]  # fmt: skip
    found = by_phase([*tune, *confirm], Pace([]).seconds_of)
    assert [trial.phase for trial in found] == [TUNE] * len(tune) + [CONFIRM] * len(confirm)
