"""A study's own process as a whole: what it refuses first, and what it leaves, however it ends."""

import time
from contextlib import contextmanager
from types import SimpleNamespace

import optuna
import pytest

from bench.engines import interruption
from bench.engines.cluster.settings import Cluster
from bench.engines.events import PhaseBegan, TrialBegan, TrialEnded, WorkersChanged, ignore_event
from bench.engines.processes import crew
from bench.ledger.reader import read_studies, read_study
from bench.records.waiting import WAITING, WaitingRecord
from bench.records.writer import Tracker
from bench.report.findings import Findings
from bench.report.findings_result import FindingsResult
from bench.storage.patience_setting import PATIENCE_VARIABLE
from bench.study import ledger_runner
from bench.study.store_paths import StorePaths
from bench.trials.outcome import Outcome
from bench.trials.record import make_record
from bench.trials.status import Status
from posemodel.errors import SettingsError
from tests.bench.test_findings_report import study as made_up_study
from tests.bench.test_plans_ahead import WithoutReport
from tests.support.plans import first_trials


class Answers(WithoutReport):
    """Its answer is known before; its report is a page that tells it."""

    def write_report(self, runs, folder, update_session=lambda: None):
        super().write_report(runs, folder, update_session)
        (folder / "report.md").write_text("An answer.")
        status = "complete" if len(runs.records()) == 2 else "incomplete"
        findings = Findings("An answer.", [], metrics={"best": 0.5})
        return FindingsResult(findings, made_up_study(status=status)), folder / "report.md"


KIND = Answers()


@pytest.fixture
def paths(storage_url, tracking_uri, hermetic):
    return StorePaths(storage_url, tracking_uri, hermetic / "reports")


@pytest.fixture
def spec(valley_spec):
    """One trial to choose the learning rate, and one that confirms it."""
    return valley_spec(optimizers=["sgd"], tunings=1)


@pytest.fixture
def run(spec, paths):
    def run(**changed):
        given = {"workers": 1, "on_event": ignore_event, "began": None, "data_s": 0.0}
        return ledger_runner.run_study(KIND, changed.pop("spec", spec), paths, **(given | changed))

    return run


@pytest.fixture
def own_run(spec, paths):
    """The study's own run of MLflow, as it is now."""

    def read():
        tracker = Tracker(paths.tracking_uri, spec.name)
        return tracker.client.get_run(tracker.own_run())

    return read


def stopped_at(kind):
    """An interruption by the first event of a kind."""

    def on_event(event):
        if isinstance(event, kind):
            raise KeyboardInterrupt

    return on_event


def test_a_study_leaves_its_session_its_machine_and_its_answer(run, own_run, paths, spec):
    result, report = run(began=100.25, data_s=1.5)
    assert (result.info.status, report) == ("complete", paths.reports / spec.name / "report.md")
    tracker = Tracker(paths.tracking_uri, spec.name)
    (session,) = tracker.sessions().to_dict(orient="records")
    assert (session["began_ms"], session["workers"], session["data_s"]) == (100_250, 1, 1.5)
    assert (session["joined"], session["engine"]) == (False, None)
    assert "cpu" in tracker.machine()
    left = own_run()
    assert left.info.status == "FINISHED"
    assert left.data.metrics["headline.best"] == 0.5
    assert "An answer." in [left.data.tags[name] for name in left.data.tags if name.endswith("headline")]
    assert "An answer." in left.data.tags["mlflow.note.content"]


def test_a_finished_study_that_is_shown_again_gets_no_session_and_no_other_machine(
    run, own_run, spec, paths, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(ledger_runner, "fingerprint", lambda *_: {"torch": "2.0"})
        run()
    run(on_event=stopped_at(TrialBegan))
    tracker = Tracker(paths.tracking_uri, spec.name)
    assert len(tracker.sessions()) == 1
    assert tracker.machine() == {"torch": "2.0"}
    monkeypatch.setattr(Answers, "write_report", lambda *_: stopped_at(str)("an interruption"))
    with pytest.raises(KeyboardInterrupt):
        run()
    assert own_run().info.status == "FINISHED"


def test_a_session_whose_begin_is_not_known_begins_now(run, spec, paths, monkeypatch):
    monkeypatch.setattr(ledger_runner, "now_ms", lambda: 77)
    with pytest.raises(KeyboardInterrupt):
        run(on_event=stopped_at(PhaseBegan))
    (session,) = Tracker(paths.tracking_uri, spec.name).sessions().to_dict(orient="records")
    assert (session["began_ms"], session["heard_ms"]) == (77, 77)


def test_an_interrupted_study_is_closed_as_such_and_goes_on(run, own_run):
    with pytest.raises(KeyboardInterrupt):
        run(on_event=stopped_at(TrialEnded))
    assert own_run().info.status == "KILLED"
    run()
    assert own_run().info.status == "FINISHED"


def test_a_study_whose_time_is_over_is_left_unfinished(run, own_run, monkeypatch):
    """What it has is shown, and its session's end is known."""
    asked = []
    note, close = Tracker.update_session, Tracker.close_study
    monkeypatch.setattr(Tracker, "update_session", lambda *told: asked.append("noted") or note(*told))
    monkeypatch.setattr(Tracker, "close_study", lambda tracker, status: asked.append(status) or close(tracker, status))

    def wait(event):
        if isinstance(event, TrialBegan):
            while not interruption.stop_requested():
                time.sleep(0.001)

    with interruption.handle_signals():
        result, _ = run(until=time.time(), on_event=wait)
    assert result.info.status == "incomplete"
    assert asked[-3:] == ["noted", "noted", "KILLED"], "for the report, and at the end"
    assert "FINISHED" not in asked
    assert own_run().info.status == "KILLED"
    with interruption.handle_signals():
        run(until=time.time() + 600)
    assert asked[-1] == own_run().info.status == "FINISHED"


def test_what_others_have_left_of_recorded_trials_is_cleared_away(run, own_run, spec, paths, hermetic):
    run()
    tracker = Tracker(paths.tracking_uri, spec.name)
    (trial,) = first_trials(spec)
    orphan = tracker.start_trial(trial, tracker.own_run())
    record = make_record(trial, Status.COMPLETE, steps_done=2, metrics={})
    WaitingRecord(spec.name, tracker.own_run(), orphan, 1, Outcome(record, [], None)).write()
    state = hermetic / "states" / spec.name / f"{trial.id}.tar"
    state.parent.mkdir(parents=True)
    state.touch()
    run(checkpoints=str(hermetic / "states"))
    assert tracker.client.get_run(orphan).info.status == "KILLED"
    assert not WAITING.exists()
    assert not state.exists()


def refused_patience(monkeypatch, _hermetic, _paths):
    monkeypatch.setenv(PATIENCE_VARIABLE, "soon")
    return {}, PATIENCE_VARIABLE


def refused_place(_monkeypatch, hermetic, _paths):
    (hermetic / "file").touch()
    return {"checkpoints": str(hermetic / "file")}, "checkpoints .*file"


def refused_name(_monkeypatch, _hermetic, paths):
    optuna.create_study(storage=paths.storage_url, study_name="study")
    return {}, "study"


@pytest.mark.parametrize("refused", [refused_patience, refused_place, refused_name])
def test_what_cannot_be_is_refused_before_anything_is_made(run, paths, spec, hermetic, monkeypatch, refused):
    changed, text = refused(monkeypatch, hermetic, paths)
    monkeypatch.setattr(ledger_runner, "Ledger", lambda *_arguments, **_more: pytest.fail("it was opened"))
    with pytest.raises(SettingsError, match=text):
        run(**changed)
    monkeypatch.delenv(PATIENCE_VARIABLE, raising=False)
    assert read_studies(paths.storage_url) == {}


def test_a_study_that_was_begun_with_other_settings_is_refused_with_its_kind_s_remedy(run, spec):
    run()
    with pytest.raises(SettingsError, match=r"tunings: 1 -> 2\n`posebench study extend study --tunings 2` makes"):
        run(spec=spec.model_copy(update={"tunings": 2}))


class Engine:
    """Stands for a cluster's: this process runs the trials; says when its workers are started, and how many."""

    def __init__(self, on_event):
        self.on_event, self.started = on_event, 0

    @contextmanager
    def cluster_crew(self, _crew):
        with crew(1, self.on_event) as hands:
            hands.start = self.start
            yield hands

    def start(self):
        self.started += 1
        self.on_event(WorkersChanged(4))


@pytest.fixture
def engines(monkeypatch):
    """The engines of clusters that the test's commands have used."""
    made = []

    def begin(_cluster, on_event, **_more):
        made.append(Engine(on_event))
        return made[-1]

    of_ray = SimpleNamespace(ClusterCrew=begin, cluster_crew=lambda engine: engine.cluster_crew(engine))
    monkeypatch.setattr(ledger_runner.importlib, "import_module", lambda _name: of_ray)
    return made


def test_on_a_cluster_the_largest_number_of_workers_counts_and_its_nodes_describe_the_machine(
    run, engines, spec, paths
):
    at_once = []

    def on_event(event):
        if isinstance(event, TrialBegan):
            at_once.append(read_study(paths.storage_url, spec.name).workers)

    run(workers=0, cluster=Cluster(), on_event=on_event)
    tracker = Tracker(paths.tracking_uri, spec.name)
    session = tracker.sessions().iloc[0]
    assert (session["engine"], session["workers"]) == ("ray", 4)
    assert at_once == [4, 4]
    assert "cpu" not in tracker.machine()
    assert engines[0].started == 1


def test_workers_are_started_early_where_trials_are_left_alone(run, engines):
    with pytest.raises(KeyboardInterrupt):
        run(on_event=stopped_at(TrialEnded))
    run(workers=0, cluster=Cluster(most=1))
    run(workers=0, cluster=Cluster(most=1))
    assert [each.started for each in engines] == [1, 0]


@pytest.mark.parametrize(("most", "at_once"), [(None, 2), (1, 1), (9, 9)])
def test_a_cluster_without_a_bound_runs_several_at_once(run, engines, monkeypatch, most, at_once):
    planners = []
    monkeypatch.setattr(ledger_runner, "work_off", lambda planner, *_: planners.append(planner))
    run(workers=0, cluster=Cluster(most=most))
    assert [planner.workers for planner in planners] == [at_once]


def test_a_session_that_never_hears_of_workers_ran_one_trial_at_once(run, engines, spec, paths, monkeypatch):
    monkeypatch.setattr(Engine, "start", lambda _engine: None)
    run(workers=0, cluster=Cluster())
    assert Tracker(paths.tracking_uri, spec.name).sessions()["workers"].item() == 1
