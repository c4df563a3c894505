"""What a training hears from a trial's checkpoint, and when: made-up trainings of a few calls."""

import json
import os
from types import SimpleNamespace

import pytest

from bench.trials import checkpoint as module
from bench.trials.checkpoint import PROGRESS, STATE, TrialCheckpoint
from bench.workloads.score import Score
from posemodel.config import Settings
from tests.support.held import Held

CURVE = [(2, 1000, {"loss": 3.0}), (4, 2000, {"ap": 0.25}), (6, 3000, {"ap": 0.5, "loss": 1.0})]
GONE_ON = {"seconds": 30.0, "gpus": ["a"], "curve": CURVE}


class Limited(Settings):
    """A run with a time limit."""

    time_limit: float | None = None


class Training:
    """A workload whose training is a function of its run and of what it may call."""

    name, score = "made up", Score("ap")

    def __init__(self, do):
        self.do = do

    def train(self, run, _make_optimizer, **calls):
        """Do what it does."""
        return self.do(run, SimpleNamespace(**calls))


@pytest.fixture
def clock(monkeypatch):
    """The seconds that have passed, to be set."""
    now = [100.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


@pytest.fixture
def make(tmp_path):
    """Make a checkpoint of the trial `it`, with what earlier processes have left; `saved` gets what it saves."""

    def checkpoint(progress=None, *, saved=None, stops=False, overdue=False, every_s=300.0):
        def fetch(folder):
            if progress is None:
                return False
            if isinstance(progress, Exception):
                raise progress
            folder.mkdir(parents=True)
            (folder / PROGRESS).write_text(json.dumps(progress))
            return True

        def save(folder):
            saved.append(json.loads((folder / PROGRESS).read_text()))

        return TrialCheckpoint(
            "it",
            tmp_path / "trial",
            fetch=fetch,
            save=save,
            stop_requested=lambda: stops,
            hold=lambda: Held(overdue),
            every_s=every_s,
        )

    return checkpoint


def train(checkpoint, do, *, run=None, curve=None, gpu=None, heard=None, reported=None):
    """Train; ``heard`` gets the scores of which the pruner is told, ``reported`` the steps and their metrics."""
    return checkpoint.train(
        do if hasattr(do, "train") else Training(do),
        run,
        None,
        curve=[] if curve is None else curve,
        gpu=gpu,
        on_metrics=lambda *report: None if reported is None else reported.append(report),
        should_prune=None if heard is None else lambda score: heard.append(score) or score == 0.75,
    )


@pytest.mark.parametrize(
    ("limit", "earlier_s", "left"),
    [(100.0, 30.0, 70.0), (100.0, 100.0, 0.001), (100.0, 130.0, 0.001), (None, 30.0, None), (100.0, 0.0, 100.0)],
)
def test_a_continued_trial_has_what_is_left_of_its_time_limit(make, limit, earlier_s, left):
    checkpoint = make(GONE_ON | {"seconds": earlier_s})
    assert train(checkpoint, lambda run, _: run.time_limit, run=Limited(time_limit=limit)) == left


def test_a_run_without_limits_is_trained_as_it_is(make):
    run = object()
    assert train(make(GONE_ON), lambda its, _: its, run=run) is run


CALLS = {
    "a report": lambda calls: calls.on_metrics(7, {"loss": 0.5}),
    "a score": lambda calls: calls.should_prune(0.75),
    "whether to stop": lambda calls: calls.should_stop(),
    "whether to save": lambda calls: calls.should_save(),
}


@pytest.mark.parametrize("call", CALLS)
def test_the_first_call_of_a_continued_training_tells_its_pruner_of_the_earlier_scores(make, call):
    heard, curve = [], []

    def do(_run, calls):
        CALLS[call](calls)
        before = [*heard]
        calls.should_stop()
        return before

    own = [0.75] if call == "a score" else []
    assert train(make(GONE_ON), do, curve=curve, heard=heard) == [0.25, 0.5, *own]
    assert heard == [0.25, 0.5, *own], "once"
    assert [(point.step, point.time_ms, point.metrics) for point in curve] == CURVE


def test_a_training_that_calls_nothing_tells_its_pruner_all_the_same(make):
    heard = []
    train(make(GONE_ON), lambda _run, _calls: None, heard=heard)
    assert heard == [0.25, 0.5]


@pytest.mark.parametrize("call", CALLS)
def test_an_error_after_the_first_call_is_the_training_s_own(make, call):
    """The checkpoint was read by then: beginning anew would not help."""
    begun = []

    def do(_run, calls):
        begun.append(0)
        CALLS[call](calls)
        raise ValueError("the training's")

    with pytest.raises(ValueError, match="the training's"):
        train(make(GONE_ON), do, heard=[])
    assert len(begun) == 1


def test_an_error_of_a_trial_without_a_checkpoint_is_the_training_s_own(make):
    begun = []

    def do(_run, _calls):
        begun.append(0)
        raise ValueError("the training's")

    with pytest.raises(ValueError, match="the training's"):
        train(make(), do)
    assert len(begun) == 1


def test_an_error_of_a_process_that_is_interrupted_is_not_the_checkpoint_s(make):
    def do(_run, _calls):
        raise ValueError("interrupted in between")

    with pytest.raises(ValueError, match="in between"):
        train(make(GONE_ON, stops=True), do)


def test_an_error_before_the_first_call_begins_the_trial_anew_without_anything_of_before(make, capsys, tmp_path):
    checkpoint, curve, heard, limits = make(GONE_ON), [], [], []

    def do(run, calls):
        limits.append((run.time_limit, (tmp_path / "trial").exists()))
        if len(limits) == 1:
            raise ValueError("bad\nstate")
        calls.on_metrics(1, {})

    train(checkpoint, do, run=Limited(time_limit=100.0), curve=curve, gpu="b", heard=heard)
    assert (limits, curve, heard, checkpoint.gpus) == ([(70.0, True), (100.0, False)], [], [], ["b"])
    assert capsys.readouterr().err == (
        "posebench: trial it goes on from its checkpoint after step 6\n"
        "posebench: the checkpoint of trial it cannot be used; the trial begins anew (bad state)\n"
    )


@pytest.mark.parametrize(
    ("progress", "said"),
    [
        (None, ""),
        (GONE_ON | {"curve": []}, "trial it goes on from its checkpoint after its beginning"),
        (OSError(), "the checkpoint of trial it cannot be used; the trial begins anew (OSError)"),
        ({}, "the checkpoint of trial it cannot be used; the trial begins anew ('curve')"),
    ],
)
def test_it_says_from_where_a_trial_goes_on(make, capsys, progress, said):
    train(make(progress), lambda _run, _calls: None)
    assert capsys.readouterr().err == (f"posebench: {said}\n" if said else "")


@pytest.mark.parametrize(
    ("earlier", "here", "all_of_them"), [(["a"], "b", ["a", "b"]), (["a", "b"], "a", ["a", "b"]), (["a"], None, ["a"])]
)
def test_the_gpus_are_those_of_all_parts_each_once(make, earlier, here, all_of_them):
    checkpoint = make(GONE_ON | {"gpus": earlier})
    train(checkpoint, lambda _run, _calls: None, gpu=here)
    assert checkpoint.gpus == all_of_them


def test_it_saves_what_is_known_of_the_trial_and_its_seconds_in_all(make, clock):
    saved = []
    checkpoint, curve = make(GONE_ON, saved=saved), []

    def do(_run, calls):
        clock[0] += 12.0
        calls.on_saved()

    train(checkpoint, do, curve=curve, gpu="b")
    assert saved == [{"seconds": 42.0, "gpus": ["a", "b"], "curve": [[*point] for point in CURVE]}]


def test_a_checkpoint_is_due_after_its_time_or_when_it_is_at_most_a_twentieth_of_it(make, clock, tmp_path):
    checkpoint = make(saved=[], every_s=10.0)
    (tmp_path / "trial").mkdir()

    def save(_folder):
        clock[0] += 5.0

    checkpoint._save = save

    def do(_run, calls):
        due = []
        for seconds in (9.0, 1.0, 0.0):
            clock[0] += seconds
            due.append(calls.should_save())
        calls.on_saved()
        for seconds in (99.0, 1.0):
            clock[0] += seconds
            due.append(calls.should_save())
        return due

    assert train(checkpoint, do) == [False, True, True, False, True]


class Half(Training):
    """A workload of an earlier version, which asks whether to save but does not say that it has."""

    def train(self, run, make_optimizer, *, should_save=None, **calls):
        """Do what it does."""
        return super().train(run, make_optimizer, should_save=should_save, **calls)


class Neither(Training):
    """A workload of an earlier version."""

    def train(self, run, _make_optimizer, *, on_metrics, should_prune, should_stop, folder, should_save=None):
        """Do what it does."""
        return should_save


def test_a_workload_that_cannot_save_in_between_is_not_asked_to(make, tmp_path):
    assert train(make(), Neither(None)) is None
    assert train(make(), Half(lambda _run, calls: calls.should_save())) is False
    asked = train(make(), lambda _run, calls: calls)
    assert asked.folder == tmp_path / "trial" / STATE
    assert asked.should_prune is None, "no pruner: nobody listens to the scores"


def test_a_training_that_does_not_ask_is_ended_at_the_second_step_after_the_interruption(make):
    """It may report several times at one step."""
    reported = []

    def do(_run, calls):
        for step in (3, 3, 4, 5):
            calls.on_metrics(step, {"loss": step / 2})

    with pytest.raises(KeyboardInterrupt):
        train(make(stops=True), do, reported=reported)
    assert reported == [(3, {"loss": 1.5}), (3, {"loss": 1.5}), (4, {"loss": 2.0})]


def test_a_training_that_asks_is_left_to_end_by_itself(make):
    def do(_run, calls):
        for step in (3, 4, 5):
            calls.on_metrics(step, {})
            calls.should_stop()
        return "its end"

    assert train(make(stops=True), do) == "its end"


@pytest.mark.parametrize(
    ("asks", "overdue", "keeps"), [(True, False, True), (True, True, False), (False, False, False)]
)
def test_the_state_is_saved_by_who_was_told_to_stop_in_time(make, clock, asks, overdue, keeps):
    saved = []

    def do(_run, calls):
        calls.folder.mkdir(parents=True)
        (calls.folder / "state").touch()
        clock[0] += 2.0
        assert not asks or calls.should_stop()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(make(saved=saved, stops=True, overdue=overdue), do)
    assert saved == ([{"seconds": 2.0, "gpus": [], "curve": []}] if keeps else [])


@pytest.mark.parametrize("asks", [True, False])
def test_a_workload_without_a_state_is_named_only_if_it_was_interrupted_in_training(make, capsys, asks):
    def do(_run, calls):
        if asks:
            calls.should_stop()
        raise KeyboardInterrupt

    training = Training(do)
    training.name = f"made up in process {os.getpid()}, {asks}"
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train(make(saved=[], stops=True), training)
    said = f"posebench: workload {training.name}: keeps no state in `folder`; an interrupted trial begins anew\n"
    assert capsys.readouterr().err == (said if asks else "")
