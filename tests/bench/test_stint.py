"""A worker's command takes as many trials as it is to run, and none that would not end in its time."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bench.cli.actions.study import with_idle_share
from bench.engines.events import TrialBegan, TrialEnded
from bench.engines.stint import Stint
from bench.report.command_output import CommandOutput
from bench.study.idle_share import IdleShare
from bench.trials.phases import CONFIRM, TUNE
from bench.trials.progress import RunningTrial
from bench.trials.record import make_record
from bench.trials.status import Status
from tests.support.plans import first_trials

HOUR = 3600.0


def test_without_limits_any_number_is_taken(hermetic):
    stint = Stint(hermetic)
    assert all(stint.take(TUNE) for _ in range(20))
    assert not stint.is_over()


def test_no_more_trials_are_taken_than_are_allowed(hermetic):
    stint = Stint(hermetic, trials=3)
    assert [stint.take(TUNE) for _ in range(5)] == [True, True, True, False, False]
    assert stint.is_over()
    assert stint.has_taken_all()


def test_several_takers_share_one_number(hermetic):
    """Each of many at once gets a trial or is refused, and no two get the same one."""
    stint = Stint(hermetic, trials=40)
    with ThreadPoolExecutor(16) as takers:
        taken = [*takers.map(lambda _: stint.take(TUNE), range(200))]
    assert sum(taken) == 40


def test_who_looked_too_early_takes_or_gives_back_another_one(hermetic, monkeypatch):
    """Between the look and what follows from it, another process has taken 0 and 1, or given back 0."""
    stint = Stint(hermetic, trials=4)
    for name in ("0", "1"):
        (hermetic / name).touch()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", lambda _folder: iter(()))
        assert stint.take(TUNE)
    assert {each.name for each in hermetic.iterdir()} == {"0", "1", "2"}
    (hermetic / "0").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", lambda folder: iter([folder / name for name in ("0", "1", "2")]))
        stint.give_back()
    assert {each.name for each in hermetic.iterdir()} == {"2"}


@pytest.mark.parametrize(("mean_s", "own_s", "allowed"), [
    ({TUNE: HOUR / 2}, None, True),
    ({TUNE: 2 * HOUR}, None, False),
    ({TUNE: 2 * HOUR}, HOUR / 2, True),
    ({TUNE: HOUR / 2}, 2 * HOUR, False),
    ({CONFIRM: 2 * HOUR}, None, True),
    ({}, None, True),
])  # fmt: skip
def test_a_trial_that_would_end_too_late_is_not_begun(hermetic, mean_s, own_s, allowed):
    """By the mean of those of its phase that ended: here, else in the study; nothing known: it is tried."""
    stint = Stint(hermetic, until=time.time() + HOUR, mean_s=mean_s)
    assert stint.take(TUNE, own_s) is allowed
    assert stint.is_over() is not allowed
    assert not stint.has_taken_all()


def test_a_trial_that_can_go_on_elsewhere_is_begun_all_the_same(hermetic):
    assert Stint(hermetic, until=time.time() + HOUR, can_go_on=True, mean_s={TUNE: 2 * HOUR}).take(TUNE)


def test_what_did_not_have_to_be_run_does_not_count(hermetic):
    """Whichever number is given back, by whom: the next taker gets it, and one alone."""
    stint = Stint(hermetic, trials=3)
    assert all(stint.take(TUNE) for _ in range(3))
    for _ in range(2):
        stint.give_back()
        assert not stint.is_over()
        assert stint.take(TUNE)
        assert stint.is_over()
    with ThreadPoolExecutor(8) as several:
        [*several.map(lambda _: stint.give_back(), range(2))]
        assert stint.taken() == 1
        assert sum(several.map(lambda _: stint.take(TUNE), range(20))) == 2
    stint.close()
    for _ in range(4):
        stint.give_back()
    assert stint.taken() == 0
    assert stint.is_over(), "its time, which nobody gives back"


def test_a_closed_stint_is_closed_for_all(hermetic):
    Stint(hermetic, trials=5).close()
    assert Stint(hermetic, trials=5).is_over()
    assert not Stint(hermetic, trials=5).take(TUNE)


def ran(idle, trial, since, seconds):
    """One trial from its begin to its end."""
    here = RunningTrial(trial.id, trial.phase, trial.optimizer, trial.seed, 2, since, "here", 1)
    idle.on_event(TrialBegan(here))
    record = make_record(trial, Status.COMPLETE, steps_done=2, metrics={})
    return TrialEnded(record, seconds, 1)


def test_the_idle_share_is_what_the_workers_did_not_use(make_spec):
    """Two workers: 10 s and 6 s + 2 s of 2 x 10 s."""
    idle = IdleShare(2)
    first, second, third = first_trials(make_spec())[:3]
    for end in (ran(idle, first, 100.0, 10.0), ran(idle, second, 100.0, 6.0), ran(idle, third, 107.0, 2.0)):
        idle.on_event(end)
    assert idle.share == pytest.approx(1 - 18 / 20)
    assert "10.0%" in idle.text()


def test_there_is_no_idle_share_without_trials_nor_a_line_for_one_worker(make_spec):
    assert IdleShare(2).share is None
    assert IdleShare(2).text() == ""
    alone = IdleShare(1)
    alone.on_event(ran(alone, first_trials(make_spec())[0], 5.0, 10.0))
    assert alone.share == 0
    assert alone.text() == ""


@pytest.mark.parametrize(("workers", "document"), [(1, {"a": 1}), (2, {"a": 1, "idle_share": 0.5})])
def test_the_document_of_a_study_with_several_workers_has_their_idle_share(make_spec, workers, document):
    idle = IdleShare(workers)
    idle.on_event(ran(idle, first_trials(make_spec())[0], 5.0, 10.0))
    assert with_idle_share(CommandOutput({"a": 1}, []), idle).document == document
    assert with_idle_share(CommandOutput({"a": 1}, []), IdleShare(workers)).document == {"a": 1}, "nothing has run"
