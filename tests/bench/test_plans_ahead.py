"""A study that plans ahead: whatever a record makes possible stands in the ledger before the next trial is taken."""

import shutil
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from bench.engines import processes
from bench.engines.events import TrialBegan, TrialEnded, ignore_event
from bench.kinds.optimizers.kind import OptimizersKind
from bench.kinds.optimizers.plan import outcomes_of, plan, total_trials
from bench.kinds.optimizers.spec import StudySpec
from bench.kinds.optimizers.trial import TRIALS
from bench.ledger.reader import read_studies
from bench.records.writer import Tracker
from bench.report.findings import Findings
from bench.report.findings_result import FindingsResult
from bench.study import ledger_runner
from bench.study.store_paths import StorePaths
from bench.trials.phases import CONFIRM, TUNE
from bench.trials.spec import TrialSpec
from tests.bench.ledger_process import CONTEXT
from tests.bench.test_findings_report import study as made_up_study
from tests.support.forking_process import forked_starts
from tests.support.long_tests import long
from tests.support.plans import first_trials
from tests.support.stores import empty_store

WAIT_S = 120
MARK = Path("one-tuning-is-confirmed")
FIRST_OF_SECOND = 10
"""Place in the plan of one optimizer with eight tune trials in a tuning, a confirm trial and one of a control."""


class WithoutReport(OptimizersKind):
    """The studies of this file are looked at in their stores."""

    def write_report(self, _runs, folder, update_session=lambda: None):
        folder.mkdir(parents=True, exist_ok=True)
        update_session()
        return FindingsResult(Findings("", []), made_up_study()), folder / "report.md"


def run_once_another_is_confirmed(spec: TrialSpec, **how):
    """Run a trial; the first one of the second tuning waits for the mark that its study's process leaves."""
    deadline = time.monotonic() + WAIT_S
    while spec.index == FIRST_OF_SECOND and not MARK.exists():
        if time.monotonic() > deadline:
            raise TimeoutError("the first tuning waits for the second one")
        time.sleep(0.01)
    return TRIALS.run_trial(spec, **how)


class Waiting(WithoutReport):
    """The second tuning waits in its first trial until the first one is confirmed."""

    trials = replace(TRIALS, run_trial=run_once_another_is_confirmed)


@pytest.fixture
def paths(storage_url, tracking_uri, hermetic):
    return StorePaths(storage_url, tracking_uri, hermetic / "reports")


def small_study(valley_spec):
    """Two optimizers, two tunings of two rounds: two trials and one."""
    return valley_spec(trials=3, tune_steps=10, steps=10)


@pytest.fixture
def spec(valley_spec):
    return small_study(valley_spec)


def run(spec, paths, *, workers=1, on_event=ignore_event, kind=WithoutReport):
    ledger_runner.run_study(kind(), spec, paths, workers=workers, on_event=on_event, began=None, data_s=0.0)


def ids(paths, spec):
    """Of the trials that stand in the ledger."""
    return [entry.trial_id for entry in read_studies(paths.storage_url)[spec.name].entries]


def records(paths, spec):
    return Tracker(paths.tracking_uri, spec.name).records()


def trained(paths, spec):
    """How often each trial was trained, by MLflow's runs."""
    tracker = Tracker(paths.tracking_uri, spec.name)
    runs = tracker.client.search_runs([tracker.experiment_id], max_results=1000)
    return Counter(
        run.data.tags["posebench.trial"]
        for run in runs
        if "posebench.trial" in run.data.tags and run.info.status == "FINISHED"
    )


def check_whole(paths, spec):
    """Each trial of the plan that its records lead to is recorded once, and was trained once."""
    found = records(paths, spec)
    expected = plan(spec, outcomes_of(found))
    assert sorted(found["trial_id"]) == sorted(trial.id for trial in expected)
    assert len(expected) == total_trials(spec)
    assert set(found["status"]) <= {"complete", "diverged"}
    assert trained(paths, spec) == dict.fromkeys(found["trial_id"], 1)
    assert sorted(ids(paths, spec)) == sorted(found["trial_id"])


@pytest.mark.parametrize("workers", [long(1), 2])
def test_with_each_record_all_that_it_makes_possible_stands_in_the_ledger(spec, paths, workers):
    rows, ended = [], []

    def on_event(event):
        if isinstance(event, TrialEnded):
            rows.append(event.record.as_row())
            expected = {trial.id for trial in plan(spec, outcomes_of(pd.DataFrame(rows)))}
            assert set(ids(paths, spec)) == expected
            ended.append((event.record.phase, event.record.optimizer, event.record.tuning))

    with forked_starts(processes):
        run(spec, paths, workers=workers, on_event=on_event)
    check_whole(paths, spec)
    assert len(ended) == total_trials(spec)


def test_with_two_workers_a_tuning_is_confirmed_while_the_others_are_in_their_first_round(valley_spec, paths, hermetic):
    """One of two workers stays in the second tuning's first trial until the first tuning has been confirmed."""
    order = []
    spec = valley_spec(optimizers=["sgd"], trials=8, tune_steps=10, steps=10)
    assert first_trials(spec)[1].index == FIRST_OF_SECOND

    def on_event(event):
        if isinstance(event, TrialEnded):
            order.append((event.record.phase, event.record.tuning, event.record.round))
            if event.record.phase == CONFIRM:
                (hermetic / MARK).touch()

    with forked_starts(processes):
        run(spec, paths, workers=2, on_event=on_event, kind=Waiting)
    confirmed = order.index((CONFIRM, 0, None))
    assert Counter(order[:confirmed]) == {(TUNE, 0, 0): 3, (TUNE, 0, 1): 3, (TUNE, 0, 2): 2, (TUNE, 1, 0): 2}
    check_whole(paths, spec)


def test_with_one_worker_each_tuning_goes_on_as_soon_as_it_can(spec, paths):
    """Trials are taken in the order in which they were planned: no round waits for the slowest tuning's."""
    places = []

    def on_event(event):
        if isinstance(event, TrialEnded):
            places.append((event.record.optimizer, event.record.tuning, event.record.phase, event.record.round))

    run(spec, paths, on_event=on_event)
    four = [("sgd", 0), ("adam", 0), ("sgd", 1), ("adam", 1)]
    expected = [(*each, TUNE, 0) for each in four] * 2
    expected += [(*each, *place) for place in ((TUNE, 1), (CONFIRM, None)) for each in four]
    assert places == expected


SAME = ["trial_id", "index", "hyperparameters", "at_border", "seed", "tuning", "round", "ap", "val_loss"]


@pytest.fixture(scope="module")
def undisturbed(valley_spec, empty_ledgers, tmp_path_factory):
    """The records of the study that nobody interrupts."""
    folder = tmp_path_factory.mktemp("undisturbed")
    shutil.copy(empty_ledgers, folder / "optuna.db")
    shutil.copy(empty_store(), folder / "mlflow.db")
    paths = StorePaths(f"sqlite:///{folder}/optuna.db", f"sqlite:///{folder}/mlflow.db", folder / "reports")
    whole = small_study(valley_spec).model_copy(update={"name": "whole"})
    run(whole, paths)
    return records(paths, whole)[SAME]


@pytest.mark.parametrize("at", [6, *(long(at) for at in (1, 8, 11, 16))])
def test_an_interrupted_study_goes_on_with_the_same_trials(spec, paths, at, undisturbed, monkeypatch):
    """Also where the interruption comes after a record, and before what it makes possible is planned."""
    hear, heard = ledger_runner.Planner.plan_from, []

    def interrupted(planner, record):
        heard.append(record)
        if len(heard) == at:
            raise KeyboardInterrupt
        hear(planner, record)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ledger_runner.Planner, "plan_from", interrupted)
        run(spec, paths)
    assert len(records(paths, spec)) == at
    run(spec, paths)
    check_whole(paths, spec)
    pd.testing.assert_frame_equal(records(paths, spec)[SAME], undisturbed)


def test_a_study_that_has_ended_plans_and_trains_nothing_again(valley_spec, paths):
    spec = valley_spec(optimizers=["sgd"])
    run(spec, paths)
    before = records(paths, spec)
    run(spec, paths, on_event=lambda event: pytest.fail(str(event)) if isinstance(event, TrialBegan) else None)
    pd.testing.assert_frame_equal(records(paths, spec), before)


def run_in_step(storage_url, document, tracking_uri, reports, together, speak):
    """Run a whole study in a process of its own, begun at the same moment as another one; says how many it trained."""
    spec, count = StudySpec.model_validate_json(document), []
    together.wait(WAIT_S)
    run(
        spec,
        StorePaths(storage_url, tracking_uri, Path(reports)),
        on_event=lambda event: count.append(1) if isinstance(event, TrialEnded) else None,
    )
    speak.send(len(count))


def test_two_commands_on_one_study_record_each_trial_once(spec, paths, ledger_process):
    together = CONTEXT.Barrier(2)
    arguments = (paths.tracking_uri, str(paths.reports), together)
    both = [ledger_process(run_in_step, spec, *arguments) for _ in range(2)]
    shares = [process.said() for process in both]
    assert [process.wait() for process in both] == [0, 0]
    assert all(shares), "each took part"
    assert sum(shares) == total_trials(spec)
    check_whole(paths, spec)
