"""What a worker takes of a study, in which order trials are enqueued, and that the trials of two workers overlap."""

import signal
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from bench.cli.actions.going_on import going_on
from bench.cli.actions.worker import is_finished, why_it_leaves
from bench.engines import interruption, processes
from bench.engines.events import TrialEnded, ignore_event
from bench.engines.stint import Stint
from bench.engines.worker import work
from bench.kinds.optimizers.trial import TRIALS
from bench.ledger.store import Ledger
from bench.records.writer import Tracker
from bench.study import ledger_runner
from bench.study.begun_study import _workers_before, read_begun_study
from bench.study.join import (
    DESCRIBED_S,
    Ending,
    Limits,
    _has_ended,
    join_study,
    read_study_to_join,
    version_differences,
)
from bench.study.store_paths import StorePaths
from bench.trials.record import Session, make_record
from bench.trials.spec import TrialSpec
from bench.trials.status import Status
from bench.trials.training import run_trial
from posemodel.errors import SettingsError
from tests.bench.test_plans_ahead import WAIT_S, WithoutReport
from tests.support.forking_process import forked_starts
from tests.support.plans import first_trials, whole_plan

KIND = WithoutReport()


@pytest.fixture
def paths(storage_url, tracking_uri, hermetic):
    return StorePaths(storage_url, tracking_uri, hermetic / "reports")


@pytest.fixture
def begun(valley_spec, paths):
    """A study with its first trials in the ledger, as a worker finds it: its settings, ledger and tracker."""
    spec = valley_spec(tune_steps=10, steps=10)
    ledger, tracker = Ledger(paths.storage_url, spec.name, spec.identity()), Tracker(paths.tracking_uri, spec.name)
    settings = ledger_runner.worker_settings(KIND, spec, paths, tracker.open_study(spec, {"torch": "2.0"}), None)
    ledger.enqueue(first_trials(spec))
    return spec, settings, ledger, tracker


def test_a_worker_runs_as_many_trials_as_it_may(begun, hermetic):
    spec, settings, ledger, tracker = begun
    stint = Stint(hermetic / "stint", trials=1)
    stint.folder.mkdir()
    work(replace(settings, stint=stint))
    assert len(tracker.records()) == 1
    assert ledger.counts()["waiting"] == len(first_trials(spec)) - 1
    work(replace(settings, stint=stint))
    assert len(tracker.records()) == 1


def test_a_trial_that_would_end_too_late_waits_for_another_worker(begun, hermetic):
    spec, settings, ledger, tracker = begun
    stint = Stint(hermetic / "stint", until=time.time() + 100, mean_s={"tune": 1000.0})
    stint.folder.mkdir()
    work(replace(settings, stint=stint))
    assert len(tracker.records()) == 0
    assert dict(+ledger.counts()) == {"waiting": len(first_trials(spec))}
    claim = ledger.claim()
    assert claim is not None
    assert claim.spec.id == first_trials(spec)[0].id, "in its place"


def test_a_trial_that_has_its_record_is_closed_and_not_counted(begun, hermetic):
    """Its worker died before it closed the trial, or the ledger was deleted."""
    spec, settings, _, tracker = begun
    known, *_ = first_trials(spec)
    stint = Stint(hermetic / "stint", trials=1)
    stint.folder.mkdir()
    parent = tracker.own_run()
    tracker.record_trial(
        tracker.start_trial(known, parent), make_record(known, Status.COMPLETE, steps_done=2, metrics={}), []
    )
    work(replace(settings, stint=stint))
    assert len(tracker.records()) == 2, "one was there, and one was run"
    assert stint.has_taken_all()


class Heard(Stint):
    """Keeps the means that it hears from its worker process."""

    def take(self, phase, mean_s=None):
        (self.folder.parent / f"heard {time.monotonic_ns()}").write_text(str(mean_s))
        return super().take(phase, mean_s)


def test_the_mean_of_a_worker_is_that_of_trials_that_it_has_run(begun, hermetic):
    """Not of one that had a record, nor of the time in which a record waits."""
    spec, settings, _, tracker = begun
    known, *_ = first_trials(spec)
    record = make_record(known, Status.COMPLETE, steps_done=2, metrics={})
    tracker.record_trial(tracker.start_trial(known, tracker.own_run()), record, [])
    stint = Heard(hermetic / "stint")
    stint.folder.mkdir()
    settings = replace(settings, stint=stint, trials=replace(settings.trials, run_trial=run_for_a_while))
    work(settings)
    without, still_without, *means = [file.read_text() for file in sorted(hermetic.glob("heard *"))]
    assert (without, still_without) == ("None", "None")
    assert means
    assert all(float(mean) >= LEAST_S for mean in means)
    assert stint.taken() == len(first_trials(spec)) - 1


LEAST_S = 0.2


def run_for_a_while(spec: TrialSpec, **how):
    """Run a trial that takes its time."""
    time.sleep(LEAST_S)
    return run_trial(spec, **how)


class Asked(Stint):
    """Limits of a command whose process is asked to stop while it takes a trial."""

    def take(self, phase, mean_s=None):
        signal.raise_signal(signal.SIGTERM)
        return super().take(phase, mean_s)


class Unreachable(Stint):
    """Limits of a command whose folder is gone while it takes a trial."""

    def take(self, phase, mean_s=None):
        raise OSError("no such folder")


@pytest.mark.parametrize(("limits", "error"), [(Asked, KeyboardInterrupt), (Unreachable, OSError)])
def test_what_stops_a_worker_while_it_takes_a_trial_gives_it_back(begun, hermetic, limits, error):
    spec, settings, ledger, tracker = begun
    stint = limits(hermetic / "stint")
    stint.folder.mkdir()
    with interruption.handle_signals(), pytest.raises(error):
        work(replace(settings, stint=stint))
    assert dict(+ledger.counts()) == {"waiting": len(first_trials(spec))}
    assert len(tracker.records()) == 0


def planner(begun, paths, *, workers):
    spec, _, ledger, tracker = begun
    return ledger_runner.Planner(KIND, spec, ledger, tracker, paths, ignore_event, workers=workers)


def test_several_workers_get_the_longest_trials_first(begun, paths):
    """With one worker alone the order changes nothing but what a pruner sees, so that it stays the plan's."""
    short, *others = first_trials(begun[0])
    long = others[-1].model_copy(update={"train": others[-1].run.model_copy(update={"steps": 100})})
    trials = [short, *others[:-1], long]
    assert planner(begun, paths, workers=2).in_order(trials) == [long, short, *others[:-1]]
    assert planner(begun, paths, workers=1).in_order(trials) == trials


def run_beside_another(spec: TrialSpec, **how):
    """Run a trial while another one runs, in another process: each waits for the other's mark."""
    mark = Path(f"running-{spec.id}")
    if spec.phase == "tune":
        mark.touch()
        deadline = time.monotonic() + WAIT_S
        while len([*Path().glob("running-*")]) < 2:
            assert time.monotonic() < deadline, "no other trial runs at the same time"
            time.sleep(0.01)
    return TRIALS.run_trial(spec, **how)


class Together(WithoutReport):
    """Its tune trials run only two at a time."""

    trials = replace(TRIALS, run_trial=run_beside_another)


@pytest.mark.long
def test_the_trials_of_two_workers_run_at_the_same_time(valley_spec, paths):
    ended = []
    with forked_starts(processes):
        ledger_runner.run_study(
            Together(),
            valley_spec(tunings=1, optimizers=["sgd", "adam"], tune_steps=5, steps=5),
            paths,
            workers=2,
            on_event=lambda event: ended.append(event.record.status) if isinstance(event, TrialEnded) else None,
            began=None,
            data_s=0.0,
        )
    assert set(ended) == {"complete"}


def kind_of(_document):
    return KIND


def time_with(**changed):
    """The module `time` for one module alone: libraries sleep, too."""
    return SimpleNamespace(**vars(time) | changed)


def test_a_study_that_is_being_begun_is_waited_for(valley_spec, paths, monkeypatch):
    """The ledger has it before MLflow does; one that never comes is refused with the remedy."""
    spec = valley_spec()
    Ledger(paths.storage_url, spec.name, spec.identity())
    said = []

    def describe(_seconds):
        said.append("waited")
        Tracker(paths.tracking_uri, spec.name).open_study(spec, {})

    monkeypatch.setattr("bench.study.join.time", time_with(sleep=describe))
    assert read_study_to_join(spec.name, paths, kind_of, said.append).spec.identity() == spec.identity()
    assert len(said) == 2
    assert "waiting for its description" in said[0]


def test_whether_all_trials_have_ended_is_not_waited_for():
    def away():
        raise ConnectionRefusedError

    def planner(look, *, unfinished=False):
        ledger = SimpleNamespace(is_unfinished=lambda: unfinished)
        return SimpleNamespace(ledger=ledger, tracker=SimpleNamespace(at_once="at once"), look=look)

    def looked(*recorded):
        plan = [SimpleNamespace(id="a"), SimpleNamespace(id="b")]
        return pd.DataFrame({"trial_id": recorded}), plan, None

    assert _has_ended(planner(lambda: looked("a", "b", "c")))
    assert not _has_ended(planner(lambda: looked("a")))
    assert not _has_ended(planner(lambda: looked("a", "b"), unfinished=True))
    assert not _has_ended(planner(away))


def test_one_that_is_never_described_is_refused(valley_spec, paths, monkeypatch):
    spec = valley_spec()
    Ledger(paths.storage_url, spec.name, spec.identity())
    Tracker(paths.tracking_uri, "another").open_study(spec.model_copy(update={"name": "another"}), {})
    now = [0.0]
    wait = time_with(monotonic=lambda: now[0], sleep=lambda _seconds: now.__setitem__(0, now[0] + DESCRIBED_S / 3))
    monkeypatch.setattr("bench.study.join.time", wait)
    said = []
    with pytest.raises(SettingsError, match="holds no result of it"):
        read_study_to_join(spec.name, paths, kind_of, said.append)
    assert len(said) == 1


def test_a_worker_names_the_versions_in_which_it_differs(begun, paths):
    study = read_begun_study(begun[0].name, paths, kind_of)
    assert version_differences(study, {"torch": "2.0", "cpu": "another"}) == []
    assert version_differences(study, {"torch": "3.0"}) == ["torch: '2.0' -> '3.0'"]
    assert version_differences(replace(study, machine={"cuda": "none"}), {"cuda": "12.8"}) == []
    assert version_differences(replace(study, machine={"cuda": "12.8"}), {"cuda": "none"}) == []


@pytest.mark.parametrize(
    ("sessions", "workers"),
    [
        ([], 1),
        ([(1, 3, False), (3, 8, True), (2, 5, False)], 5),
        ([(3, 8, True)], 0),
        ([(1, 3, None), (2, 8, True)], 3),
    ],
)
def test_a_study_goes_on_with_the_workers_of_its_own_latest_command(sessions, workers):
    """Not of those who joined it; without a session of its own it was begun with --workers 0."""
    assert _workers_before(pd.DataFrame(sessions, columns=["began_ms", "workers", "joined"])) == workers


def test_what_a_cluster_ran_says_nothing_of_this_machine():
    columns = ["began_ms", "workers", "joined", "engine"]
    assert _workers_before(pd.DataFrame([(2, 8, False, "ray"), (1, 3, False, None)], columns=columns)) == 3
    assert _workers_before(pd.DataFrame([(2, 8, False, "ray")], columns=columns)) == 1


def test_the_last_trials_of_a_study_are_its_end_and_the_worker_leaves_its_command_as_it_was(begun, paths):
    spec, _, ledger, tracker = begun

    def join(trials):
        with forked_starts(processes):
            return join_study(
                KIND,
                spec,
                paths,
                workers=1,
                limits=Limits(trials),
                machine={"cpu": "the worker's", "torch": "3.0"},
                on_event=ignore_event,
                began=time.time(),
                data_s=1.5,
            )

    assert join(1) == Ending.TRIALS
    assert join(len(whole_plan(spec)) - 1) == Ending.COMPLETE, "not only as many as it was to run"
    assert not ledger.is_unfinished()
    sessions = tracker.sessions()
    assert (set(sessions["joined"]), set(sessions["data_s"])) == ({True}, {1.5})
    study = read_begun_study(spec.name, paths, kind_of)
    assert study.workers == 0, "a command with workers would have a session of its own"
    assert study.machine == {"cpu": "the worker's", "torch": "2.0"}, "who began it described no hardware"
    tracker.describe_machine({"cpu": "another", "gpu": "one"})
    assert tracker.machine() == study.machine
    tracker.update_session(Session(1000, 1500, 3, 0.25, "here", 7))
    assert read_begun_study(spec.name, paths, kind_of).workers == 3, "whatever joined later"


def test_a_session_is_noted_again_once_time_has_passed_or_where_it_must_be(begun, monkeypatch):
    tracker, now = begun[3], [100.0]
    monkeypatch.setattr(ledger_runner, "time", time_with(monotonic=lambda: now[0]))
    moments = iter(range(1000, 2000))
    monkeypatch.setattr(ledger_runner, "now_ms", lambda: next(moments))
    session = ledger_runner.SessionHere(Session(1, 1, 1, 0.0, "here", 7))

    def heard(**every):
        ledger_runner.note_at_once(tracker, session, **every)
        return tracker.sessions()["heard_ms"].item()

    assert heard(every_s=5) == 1000
    now[0] += 4.9
    assert heard(every_s=5) == 1000
    assert heard() == 1001
    now[0] += 4.9
    assert heard(every_s=5) == 1001
    now[0] += 0.1
    assert heard(every_s=5) == 1002
    ledger_runner.note_at_once(tracker, None, 5)
    assert len(tracker.sessions()) == 1


def test_a_worker_asks_whether_the_report_is_written_only_at_the_end_and_waits_for_no_server(begun, paths):
    def asked():
        raise AssertionError

    again = going_on(["posebench", "worker", "mine"], None)
    for ending in (Ending.TRIALS, Ending.TIME):
        assert "posebench worker mine" in why_it_leaves(ending, "mine", again, asked)
    assert "posebench study resume mine" in why_it_leaves(Ending.COMPLETE, "mine", again, lambda: False)
    assert not is_finished("http://127.0.0.1:1", "mine")
    assert not is_finished(paths.tracking_uri, begun[0].name)
    begun[3].close_study("FINISHED")
    assert is_finished(paths.tracking_uri, begun[0].name)
