"""Workers on real trials of a tiny study: every end is a record, nothing runs twice, the dead are cleared up."""

import contextlib
import multiprocessing
import shutil
import signal
import sys
import threading
from collections import Counter
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import psutil
import pytest
import torch
from optuna.trial import TrialState

from bench.engines import claimed_trial, processes
from bench.engines.claimed_trial import sweep
from bench.engines.events import Stopping, TrialBegan, TrialEnded, TrialReturned, TrialStepped, WorkerDied, ignore_event
from bench.engines.processes import WorkerError, crew
from bench.engines.trial import TrialKind
from bench.engines.worker import work
from bench.engines.worker_settings import WorkerSettings
from bench.kinds.optimizers.trial import TRIALS
from bench.ledger.store import MAX_DEATHS, Ledger, OptunaValues
from bench.optimizers import OPTIMIZERS, OptimizerEntry
from bench.optimizers.space import Log
from bench.records.writer import Tracker
from bench.trials.identity import SETTINGS_BEFORE_JOINT
from bench.trials.record import make_record
from bench.trials.status import Status
from bench.trials.training import run_trial
from posemodel.data.layout import fingerprint
from posemodel.errors import DataError
from tests.bench.ledger_process import Unreadable, die, hold, tell_start_methods
from tests.support.deadly_trials import DEADLY, run_unless_deadly
from tests.support.forking_process import forked_starts
from tests.support.long_tests import long
from tests.support.plans import confirm_trials, first_trials
from tests.support.stores import empty_store

EXPLODING = {"sgd": {"lr": {"log": [1e18, 1e19]}}}
"""A learning rate at which the second step's loss is not finite."""


class Bench:
    """A study's ledger, tracker and worker settings over stores in the test's folder."""

    def __init__(self, spec, storage_url, tracking_uri):
        self.spec, self.plan = spec, first_trials(spec)
        self.ledger = Ledger(storage_url, spec.name, spec.identity())
        self.tracker = Tracker(tracking_uri, spec.name)
        self.parent = self.tracker.open_study(spec, {})
        self.settings = WorkerSettings(
            storage_url, tracking_uri, spec.name, spec.identity(), self.parent, spec.data, TRIALS
        )
        self.seen, self.events = [], []
        self.ledger.enqueue(self.plan)

    def work(self):
        work(self.settings, self.on_event)

    def on_event(self, event):
        self.events.append(event)
        if isinstance(event, TrialEnded):
            self.seen.append((event.record.optimizer, str(event.record.status), event.ended))

    def statuses(self):
        return dict(zip(self.tracker.records()["optimizer"], self.tracker.records()["status"], strict=True))

    def run_states(self):
        runs = self.tracker.client.search_runs([self.tracker.experiment_id])
        return Counter(run.info.status for run in runs if "posebench.trial" in run.data.tags)


@pytest.fixture(scope="module")
def tiny_spec(tiny_spec):
    """Each optimizer is tuned once: two trials come first."""
    return partial(tiny_spec, tunings=1)


@pytest.fixture(scope="module")
def valley_spec(valley_spec):
    """Each optimizer is tuned once: two trials come first."""
    return partial(valley_spec, tunings=1)


@pytest.fixture
def make_bench(storage_url, tracking_uri):
    return lambda spec: Bench(spec, storage_url, tracking_uri)


@pytest.fixture
def breaking_optimizer(monkeypatch):
    """Register an optimizer of somebody's own that cannot be built."""

    def register(error):
        def build(parameters, lr=0.1, weight_decay=0.0):
            raise error

        entry = OptimizerEntry("breaking", build, {"lr": Log(1e-3, 1.0)}, "nobody", "")
        monkeypatch.setitem(OPTIMIZERS, "breaking", entry)

    return register


@pytest.fixture
def die_holding_a_trial(ledger_process):
    """A process claims the first waiting trial and is killed."""

    def end(spec):
        assert ledger_process(die, spec).wait() == -signal.SIGKILL

    return end


def test_a_plan_is_worked_off_into_records(make_bench, tiny_spec):
    bench = make_bench(tiny_spec())
    bench.work()
    records = bench.tracker.records()
    assert list(records["trial_id"]) == [trial.id for trial in bench.plan]
    assert list(records["status"]) == ["complete", "complete"]
    assert list(records["steps_done"]) == [2, 2]
    assert records[["ap", "val_loss", "images_per_s", "optimizer_step_ms", "train_seconds"]].notna().all(axis=None)
    assert (records["optimizer_step_ms"] > 0).all()
    assert not records["effective_pin_memory"].any()
    assert bench.seen == [("sgd", "complete", 1), ("adam", "complete", 2)]
    kinds = [type(event) for event in bench.events]
    assert list(dict.fromkeys(kinds)) == [TrialBegan, TrialStepped, TrialEnded]
    assert (kinds.count(TrialBegan), kinds.count(TrialEnded)) == (2, 2)
    assert bench.ledger.counts() == {"complete": 2}
    assert bench.run_states() == {"FINISHED": 2}
    curves = bench.tracker.curves(records)
    assert set(curves["step"]) == {1, 2}
    assert curves[curves["step"] == 2]["ap"].notna().all()


def test_a_worked_off_plan_is_not_run_again(make_bench, valley_spec):
    bench = make_bench(valley_spec())
    bench.work()
    before = bench.tracker.records()
    bench.ledger.enqueue(bench.plan)
    bench.work()
    assert len(bench.seen) == 2
    assert bench.tracker.records().equals(before)


def test_records_outlive_the_ledger(make_bench, valley_spec, hermetic):
    bench = make_bench(valley_spec())
    bench.work()
    before = bench.tracker.records()
    for file in hermetic.glob("optuna.db*"):
        file.unlink()
    again = make_bench(valley_spec())
    assert again.ledger.counts() == {"waiting": 2}
    again.work()
    assert again.seen == []
    assert again.ledger.counts() == {"complete": 2}
    assert again.tracker.records().equals(before)
    assert again.run_states() == {"FINISHED": 2}


def test_records_of_an_earlier_version_outlive_the_ledger_under_their_own_ids(make_bench, tiny_spec, hermetic):
    """Settings that came later counted in that version's ids."""
    bench = make_bench(tiny_spec())
    for trial in bench.plan:
        known = trial.model_copy(update={"slot": trial.model_copy(update={"id_counts": SETTINGS_BEFORE_JOINT}).id})
        assert known.id != trial.id
        run = bench.tracker.start_trial(known, bench.parent)
        bench.tracker.record_trial(run, make_record(known, Status.COMPLETE, steps_done=2, metrics={"ap": 0.1}), [])
    before = bench.tracker.records()
    bench.work()
    assert bench.seen == [], "nothing was trained"
    assert bench.ledger.counts() == {"complete": 2}
    assert bench.tracker.records().equals(before)


def test_a_plan_that_an_earlier_version_has_enqueued_is_not_planned_again(make_bench, tiny_spec, storage_url):
    bench = make_bench(tiny_spec(name="other"))
    old = [trial.model_copy(update={"id_counts": SETTINGS_BEFORE_JOINT}) for trial in bench.plan]
    ledger = Ledger(storage_url, "begun before", {})
    assert ledger.enqueue(old) == len(old)
    assert ledger.enqueue(bench.plan) == 0
    assert ledger.claim().spec.id == old[0].id, "it keeps the id that its records have"


def test_a_claimed_trial_sends_heartbeats_while_it_waits_for_mlflow(make_bench, valley_spec, monkeypatch):
    """Otherwise workers on other machines take it after each outage."""
    beaten = threading.Event()
    heard = []

    def waits_in(name):
        before = getattr(Tracker, name)

        def call(*arguments, **keywords):
            beaten.clear()
            heard.append(beaten.wait(10))
            return before(*arguments, **keywords)

        monkeypatch.setattr(Tracker, name, call)

    bench = make_bench(valley_spec(optimizers=["adam"]))
    monkeypatch.setattr(claimed_trial, "HEARTBEAT_S", 0.01)
    monkeypatch.setattr(Ledger, "send_heartbeat", lambda *_arguments: beaten.set())
    waits_in("recorded")
    waits_in("start_trial")
    waits_in("record_trial")
    bench.work()
    assert heard == [True, True, True]


def test_who_is_taken_for_dead_leaves_the_new_owner_s_run_alone(make_bench, valley_spec, monkeypatch):
    bench = make_bench(valley_spec(optimizers=["adam"]))
    others = bench.tracker.start_trial(bench.plan[0], bench.parent)

    before = Ledger.is_owner

    def is_lost(ledger, key, _on_outage):
        monkeypatch.setattr(Ledger, "is_owner", before)
        ledger.put_back(key)
        return False

    monkeypatch.setattr(Ledger, "is_owner", is_lost)
    bench.work()
    assert sum(isinstance(event, TrialReturned) for event in bench.events) == 1
    assert bench.tracker.client.get_run(others).info.status == "RUNNING"
    assert bench.run_states() == {"RUNNING": 1, "KILLED": 1, "FINISHED": 1}


def test_a_record_names_what_took_the_steps(make_bench, valley_spec):
    bench = make_bench(valley_spec(optimizers=["adam", "tests.support.toy_optimizer.SignSGD"]))
    bench.work()
    found = dict(zip(bench.tracker.records()["optimizer"], bench.tracker.records()["implementation"], strict=True))
    assert found["adam"].startswith("torch.optim.adam.Adam (")
    assert found["tests.support.toy_optimizer.SignSGD"].startswith("tests.support.toy_optimizer.SignSGD")


def test_the_control_of_adabound_is_trained_as_sgd(valley_spec):
    """The same trial as SGD by its own name leaves the same network."""
    space = {"lr": {"value": 0.001}, "final_lr": {"value": 0.1}}
    spec = valley_spec(optimizers=["adabound"], spaces={"adabound": space}, controls=True)
    _, control = confirm_trials(spec)
    assert control.hyperparameters == pytest.approx({"lr": 0.01, "momentum": 0.9})
    plain = control.model_copy(update={"optimizer": "sgd", "built_by": "", "control_of": ""})
    records = [run_trial(trial).record for trial in (control, plain)]
    assert [record.optimizer for record in records] == ["adabound (limit)", "sgd"]
    assert records[0].implementation == records[1].implementation
    assert records[0].implementation.startswith("torch.optim.sgd.SGD")
    assert records[0].metrics["val_loss"] == records[1].metrics["val_loss"]
    assert records[0].control_of == "adabound"


def test_a_trial_in_seconds_tells_its_time(make_bench, valley_spec):
    spec = valley_spec(optimizers=["adam"], tune_steps=None, steps=None, tune_seconds=0.2, seconds=0.3)
    bench = make_bench(spec)
    bench.work()
    (record,) = bench.tracker.records().to_dict(orient="records")
    assert (record["status"], record["steps_done"] >= 1) == ("complete", True)
    assert record["train_seconds"] >= 0.2
    (began,) = [event.trial for event in bench.events if isinstance(event, TrialBegan)]
    assert (began.steps, began.seconds) == (None, 0.2)
    assert max(event.train_seconds for event in bench.events if isinstance(event, TrialStepped)) >= 0.2


def hopeless_bench(make_bench, spec):
    """A tuning whose first five trials scored 1.0 all along: the median prunes whatever scores less.

    Of 14 trials six are of the first round.
    """
    bench = make_bench(spec)
    for _ in range(5):
        claim = bench.ledger.claim()
        for number in range(1, spec.tune_evaluations):
            bench.ledger.note_evaluation(claim.key, number, 1.0, {})
        bench.ledger.finish(claim.key, Status.COMPLETE, OptunaValues((1.0,)))
    return bench


def test_a_pruned_trial_is_a_result(make_bench, valley_spec):
    spec = valley_spec(optimizers=["sgd"], trials=14, pruner="median", tune_steps=16, tune_evaluations=4)
    bench = hopeless_bench(make_bench, spec)
    bench.work()
    assert bench.statuses() == {"sgd": "pruned"}
    assert bench.ledger.counts() == {"complete": 5, "pruned": 1}
    assert bench.run_states() == {"FINISHED": 1}
    record = bench.tracker.recorded(bench.plan[5].id)
    assert (record.steps_done, record.error) == (2, "")
    assert not {"ap", "ap50", "ap_best"} & set(record.metrics), "nothing that could be taken for a final score"
    assert 0 <= record.metrics["ap_when_pruned"] < 1
    assert record.metrics["train_seconds"] > 0
    pruned = bench.ledger.trials_of_same_round(bench.plan[5])[5]
    assert (pruned.state, list(pruned.intermediate_values)) == (TrialState.PRUNED, [1])


def test_confirm_trials_are_never_pruned(make_bench, valley_spec):
    changes = {"pruner": "median", "tune_steps": 4, "tune_evaluations": 2, "steps": 4, "evaluations": 4}
    bench = hopeless_bench(make_bench, valley_spec(optimizers=["adam"], trials=14, seeds=2, **changes))
    bench.ledger.enqueue(confirm_trials(bench.spec))
    bench.work()
    assert list(bench.tracker.records()["status"]) == ["pruned", "complete", "complete"]


def test_the_same_trial_gives_the_same_numbers(tiny_spec):
    trial = first_trials(tiny_spec())[1]
    first, second = run_trial(trial).record, run_trial(trial).record
    timed = {"images_per_s", "data_wait_share", "optimizer_step_ms", "train_seconds", "eval_seconds"}
    assert {k: v for k, v in first.metrics.items() if k not in timed} == {
        k: v for k, v in second.metrics.items() if k not in timed
    }
    assert "val_loss" in first.metrics


def test_a_confirm_trial_leaves_samples_of_the_split_that_it_was_scored_on(tiny_spec, tiny):
    spec = tiny_spec(optimizers=["adam"], seeds=2)
    assert run_trial(first_trials(spec)[0]).samples is None
    outcomes = [run_trial(trial) for trial in confirm_trials(spec)]
    first, second = (outcome.samples.document for outcome in outcomes)
    assert first["split"] == "val"
    assert first["images"] == second["images"] != []
    assert all((tiny / image["file"]).is_file() for image in first["images"])
    assert {person["image_id"] for person in first["annotations"]} == {image["id"] for image in first["images"]}
    assert all(outcome.samples.sheet.startswith(b"\xff\xd8") for outcome in outcomes)
    assert all(outcome.record.metrics["samples_seconds"] > 0 for outcome in outcomes)


def test_a_confirm_trial_that_diverged_leaves_no_samples(valley_spec):
    spec = valley_spec(optimizers=["sgd"], spaces=EXPLODING, steps=3)
    outcome = run_trial(confirm_trials(spec)[0])
    assert outcome.record.status == Status.DIVERGED
    assert outcome.samples is None


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RuntimeError("it broke"), "failed"),
        long(ZeroDivisionError("it broke"), "failed"),
        long(ValueError("it broke"), "failed"),
        long(MemoryError("it broke"), "out_of_memory"),
        (torch.OutOfMemoryError("it broke"), "out_of_memory"),
    ],
)
def test_a_trial_that_breaks_is_a_record_with_its_message_and_the_others_run(
    make_bench, valley_spec, breaking_optimizer, error, status
):
    breaking_optimizer(error)
    bench = make_bench(valley_spec(optimizers=["breaking", "adam"]))
    bench.work()
    assert bench.statuses() == {"breaking": status, "adam": "complete"}
    record = bench.tracker.recorded(bench.plan[0].id)
    assert record.error == f"{type(error).__name__}: it broke"
    assert (record.steps_done, record.metrics) == (0, {})
    assert bench.ledger.counts() == {status: 1, "complete": 1}
    assert bench.run_states() == {"FAILED": 1, "FINISHED": 1}
    assert bench.seen == [("breaking", status, 1), ("adam", "complete", 2)]


def test_data_that_is_gone_stops_the_worker_and_costs_no_trial(make_bench, make_spec, tiny, tmp_path):
    """What a user can mend is no result: the trial waits, and the same command goes on once the folder is back."""
    data = tmp_path / "vanishing"
    shutil.copytree(tiny, data)
    bench = make_bench(make_spec(data=data, digest=fingerprint(data), tunings=1))
    shutil.rmtree(data)
    for _ in range(MAX_DEATHS + 1):
        with pytest.raises(DataError, match=f"{data}: no such folder"):
            bench.work()
        assert bench.ledger.counts() == {"waiting": 2}
        assert isinstance(bench.events[-1], TrialReturned)
    assert bench.tracker.records().empty
    assert set(bench.run_states()) == {"KILLED"}
    shutil.copytree(tiny, data)
    bench.work()
    assert bench.ledger.counts() == {"complete": 2}


def test_divergence_is_a_result(make_bench, valley_spec):
    bench = make_bench(valley_spec(spaces=EXPLODING, tune_steps=3))
    bench.work()
    assert bench.statuses() == {"sgd": "diverged", "adam": "complete"}
    record = bench.tracker.recorded(bench.plan[0].id)
    assert record.error == ""
    assert 1 <= record.steps_done <= 3
    assert bench.ledger.counts() == {"diverged": 1, "complete": 1}
    assert bench.run_states() == {"FINISHED": 2}


def test_a_trial_that_takes_too_long_is_given_up_and_recorded(make_bench, valley_spec):
    bench = make_bench(valley_spec(trial_time_limit=1e-6))
    bench.work()
    assert bench.statuses() == {"sgd": "timed_out", "adam": "timed_out"}
    assert bench.ledger.counts() == {"timed_out": 2}
    assert bench.run_states() == {"FAILED": 2}


def test_the_trial_of_a_killed_worker_is_run_by_the_next(make_bench, valley_spec, die_holding_a_trial):
    bench = make_bench(valley_spec())
    die_holding_a_trial(bench.spec)
    orphan = bench.tracker.start_trial(bench.plan[0], bench.parent)  # what the dead one had begun
    bench.work()
    assert list(bench.tracker.records()["trial_id"]) == [trial.id for trial in bench.plan]
    assert bench.ledger.counts() == {"complete": 2}
    assert bench.tracker.client.get_run(orphan).info.status == "KILLED"
    assert bench.run_states() == {"FINISHED": 2, "KILLED": 1}


def test_a_record_whose_worker_died_before_closing_the_trial_counts(make_bench, valley_spec, die_holding_a_trial):
    bench = make_bench(valley_spec())
    die_holding_a_trial(bench.spec)
    record, curve, _ = run_trial(bench.plan[0])
    bench.tracker.record_trial(bench.tracker.start_trial(bench.plan[0], bench.parent), record, curve)
    bench.work()
    assert [optimizer for optimizer, _, _ in bench.seen] == ["adam"]
    assert bench.tracker.recorded(bench.plan[0].id) == record
    assert bench.ledger.counts() == {"complete": 2}


def test_a_trial_that_ends_every_worker_is_recorded_as_failed(make_bench, valley_spec, ledger_process):
    bench = make_bench(valley_spec())
    for attempt in range(1, MAX_DEATHS + 1):
        assert bench.ledger.counts() == {"waiting": 2}, f"attempt {attempt}"
        worker = ledger_process(hold, bench.spec)
        worker.said()
        started = psutil.Process(worker.process.pid).create_time()
        worker.end()
        bench.ledger.charge_death(worker.process.pid, started)
    bench.work()
    assert bench.ledger.counts() == {"failed": 1, "complete": 1}
    assert bench.run_states() == {"FAILED": 1, "FINISHED": 1}
    record = bench.tracker.recorded(bench.plan[0].id)
    assert record.status == Status.FAILED
    assert f"died {MAX_DEATHS} times" in record.error


def test_a_trial_whose_workers_are_killed_with_their_driver_is_neither_failed_nor_charged(
    make_bench, valley_spec, die_holding_a_trial
):
    """Once more than it may die by itself: nobody who lives saw its worker die."""
    bench = make_bench(valley_spec())
    for _ in range(MAX_DEATHS + 1):
        die_holding_a_trial(bench.spec)
        sweep(bench.settings, bench.ledger, bench.tracker)
    bench.work()
    assert bench.statuses() == {"sgd": "complete", "adam": "complete"}
    assert bench.run_states() == {"FINISHED": 2}


def test_a_trial_that_ends_each_of_its_worker_processes_is_recorded_as_failed(make_bench, valley_spec):
    """Its driver lives and counts: three deaths. The other worker's trial is complete."""
    bench = make_bench(valley_spec())
    bench.settings = replace(bench.settings, trials=TrialKind(run_unless_deadly))
    with forked_starts(processes), crew(2, bench.on_event) as hands:
        hands.work_off(bench.settings)
    assert bench.statuses() == {DEADLY: "failed", "adam": "complete"}
    assert f"died {MAX_DEATHS} times" in bench.tracker.recorded(bench.plan[0].id).error
    assert sum(isinstance(event, WorkerDied) for event in bench.events) == MAX_DEATHS
    assert bench.run_states() == {"KILLED": MAX_DEATHS, "FAILED": 1, "FINISHED": 1}


@pytest.fixture(scope="module", params=["forked", long("spawned")])
def crew_of_two(request, valley_spec, empty_ledgers, tmp_path_factory):
    """Two workers: two phases, one of them killed, a third phase. Spawned ones take seconds to load."""
    folder = tmp_path_factory.mktemp("crew")
    shutil.copy(empty_ledgers, folder / "optuna.db")
    shutil.copy(empty_store(), folder / "mlflow.db")
    (folder / "own_rule.py").write_text("from torch.optim import SGD\nclass Half(SGD):\n    pass\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path, str(folder)])  # as the command line does with the working directory
        patch.setenv("OMP_NUM_THREADS", "1")
        spec = valley_spec(trials=2, seeds=2, optimizers=["sgd", "own_rule.Half"])
        bench = Bench(spec, f"sqlite:///{folder / 'optuna.db'}", f"sqlite:///{folder / 'mlflow.db'}")
        with forked_starts(processes) if request.param == "forked" else contextlib.nullcontext():
            found = _crew_of_two(bench)
        found.spawned = request.param == "spawned"
        yield found


def _crew_of_two(bench):
    seen = SimpleNamespace(bench=bench, pids=[], counts=[], states=[])

    def work_off(hands):
        hands.work_off(bench.settings)
        seen.pids.append({each.process.pid for each in hands._crew})
        seen.counts.append(bench.ledger.counts())
        seen.states.append(bench.run_states())

    with crew(2, bench.on_event) as hands:
        hands.start()
        work_off(hands)
        seen.arguments = [" ".join(psutil.Process(each.process.pid).cmdline()) for each in hands._crew]
        seen.recorded, seen.events = list(bench.tracker.records()["trial_id"]), list(bench.events)
        seen.confirm = confirm_trials(bench.spec)
        bench.ledger.enqueue(seen.confirm[:2])
        work_off(hands)
        work_off(hands)  # nothing waits
        seen.killed = min(workers_of(bench))
        psutil.Process(seen.killed).kill()
        bench.ledger.enqueue(seen.confirm)
        work_off(hands)
    return seen


def test_two_workers_leave_what_one_does_and_stay_for_the_next_phase(crew_of_two):
    bench, events = crew_of_two.bench, crew_of_two.events
    assert sorted(crew_of_two.recorded) == sorted(trial.id for trial in bench.plan)
    assert sum(isinstance(event, TrialEnded) for event in events) == 4
    assert sum(isinstance(event, TrialStepped) for event in events) >= 4, "steps come through the pipes"
    assert crew_of_two.counts[:3] == [{"complete": 4}, {"complete": 6}, {"complete": 6}]
    assert crew_of_two.states[2] == {"FINISHED": 6}
    at_first, later, still, _ = crew_of_two.pids
    assert len(at_first) == 2
    assert at_first == later == still
    assert not any(psutil.pid_exists(pid) for pid in at_first.union(*crew_of_two.pids))


def test_workers_find_modules_of_the_working_directory_and_have_no_address_in_their_arguments(crew_of_two):
    """An address may hold a password, and everybody on a machine may read arguments."""
    records = crew_of_two.bench.tracker.records()
    own = records[records["optimizer"] == "own_rule.Half"]
    assert set(own["status"]) == {"complete"}
    assert own["implementation"].str.startswith("own_rule.Half").all()
    assert len(crew_of_two.arguments) == 2
    assert all("sqlite:" not in arguments for arguments in crew_of_two.arguments)
    assert all(("spawn_main" in arguments) == crew_of_two.spawned for arguments in crew_of_two.arguments)


def test_a_worker_that_died_between_two_phases_is_replaced(crew_of_two):
    *_, before, after = crew_of_two.pids
    assert crew_of_two.killed in before
    assert crew_of_two.killed not in after
    assert len(after) == 2
    assert crew_of_two.counts[-1] == {"complete": 8}
    assert crew_of_two.states[-1] == {"FINISHED": 8}
    assert workers_of(crew_of_two.bench) <= before | after
    recorded = sorted(crew_of_two.bench.tracker.records()["trial_id"])
    assert recorded == sorted(trial.id for trial in [*crew_of_two.bench.plan, *crew_of_two.confirm])


def test_a_crew_is_dismissed_while_it_still_loads_its_libraries():
    before = psutil.Process().children()
    with crew(2, ignore_event) as hands:
        hands.start()
        assert len(psutil.Process().children()) >= len(before) + 2
    assert not [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]


@pytest.mark.parametrize(("workers", "told"), [(1, []), (2, [Stopping()])])
def test_an_interruption_of_several_workers_is_told(workers, told):
    """Their trials go back, which takes a moment; a single one works in this process."""
    events = []
    with pytest.raises(KeyboardInterrupt), crew(workers, events.append):
        raise KeyboardInterrupt
    assert events == told


def test_an_order_that_cannot_be_read_is_an_error_and_no_endless_wait(make_bench, valley_spec, monkeypatch):
    """Of a kind whose module cannot be imported in a worker, say: each ends at once, and the study is given up."""
    monkeypatch.setattr(processes, "MAX_DEATHS", 1)
    bench = make_bench(valley_spec())
    bench.settings = replace(bench.settings, trials=TrialKind(Unreadable()))
    given_up = pytest.raises(WorkerError, match="died one after the other")
    with forked_starts(processes), given_up, crew(2, ignore_event) as hands:
        hands.work_off(bench.settings)
    assert bench.ledger.counts() == {"waiting": 2}


def workers_of(bench):
    return {event.trial.pid for event in bench.events if isinstance(event, TrialBegan)}


def test_a_spawned_process_starts_its_own_as_the_platform_does():
    """After what a worker does first: multiprocessing has told the process to go on as it was started itself."""
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method("spawn", force=True)
    try:
        processes.use_platform_start_method()
        assert multiprocessing.get_start_method() == multiprocessing.get_all_start_methods()[0] != "spawn"
    finally:
        multiprocessing.set_start_method(before, force=True)


@pytest.mark.long
def test_loaders_of_a_worker_process_start_as_the_platform_does():
    """In a spawned process, which loads this project's own function and nothing of this file."""
    receive, send = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=tell_start_methods, args=(send,))
    process.start()
    assert receive.poll(300)
    assert receive.recv() == ("spawn", multiprocessing.get_context().get_start_method())
    process.join()


def ended_worker(*events):
    """A worker process that has ended, with these events still to be read."""
    context = multiprocessing.get_context("fork")
    process = context.Process(target=int)
    process.start()
    process.join()
    messages, ours = context.Pipe(duplex=False)
    for event in events:
        ours.send(event)
    ours.close()
    return processes._Worker(process, messages, context.Pipe(duplex=False)[1], started=0.0, ready=True)


@pytest.mark.parametrize("fails", [False, True])
def test_what_stopped_workers_still_tell_is_heard_unless_hearing_it_fails(fails):
    told = [WorkerDied(1), WorkerDied(2)]
    heard = []

    def on_event(event):
        heard.append(event)
        if fails:
            raise ValueError("no more, please")

    crew = [ended_worker(*told)]
    assert not processes._stop(crew, on_event, 5.0)
    assert (crew, heard) == ([], told[: 1 if fails else 2])
