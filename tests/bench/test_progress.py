"""Where a study stands and how long the rest takes: hand-made cases with known answers, and what must always hold."""

import math
import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.engines.events import (
    MorePlanned,
    PhaseBegan,
    Stopping,
    TrialBegan,
    TrialEnded,
    TrialReturned,
    TrialStepped,
    WorkerDied,
    WorkersChanged,
)
from bench.kinds.optimizers.plan import total_trials
from bench.kinds.optimizers.search import TrialOutcome
from bench.kinds.optimizers.size import Size
from bench.study.measurement_state import MeasurementState
from bench.study.progress import PlanSize, Progress, progress_after, seconds_left
from bench.study.status import list_document, status_document
from bench.trials.progress import EndedTrial, RunningTrial, recorded
from bench.trials.record import make_record
from bench.trials.status import Status
from posemodel.errors import SettingsError
from tests.support.plans import first_trials, tune_trials, whole_plan

SIZE = Size(
    study="study",
    kind="optimizers",
    preset="small",
    optimizers=("sgd", "adam"),
    tunings=1,
    trials=2,
    seeds=3,
    tune_steps=10,
    steps=40,
    evaluations=4,
)


def rows_of(progress):
    return progress.size.rows(progress)


def done(number, phase="tune", optimizer="sgd", status=Status.COMPLETE, **values):
    return EndedTrial(f"{phase}{number}", phase, optimizer, status, **values)


def running(number, phase="tune", since=0.0, pid=1):
    return RunningTrial(f"{phase}{number}", phase, "adam", 0, 10, since, "here", pid)


def at(*trials, running_trials=(), **values):
    return Progress(
        SIZE, {trial.trial_id: trial for trial in trials}, {trial.trial_id: trial for trial in running_trials}, **values
    )


def test_the_size_of_a_study_is_that_of_its_plan(make_spec):
    spec = make_spec(trials=3, seeds=4, evaluations=3, steps=10)
    size = Size.of_spec(spec)
    assert size.planned == total_trials(spec) == 28
    assert size.planned_of("tune") == len(tune_trials(spec)) == 12
    # Every 4 of 10 steps and at the last: 3 times.
    assert size.evaluations_of("confirm") == 3
    assert size.evaluations_of("tune") == 1


def test_a_study_of_another_version_is_named():
    with pytest.raises(SettingsError, match=r"study 'old': is of another version \(no .*tune_steps"):
        Size.of({"name": "old", "kind": "optimizers", "optimizers": ["sgd"], "tunings": 3})


def test_nothing_is_known_before_the_first_trial_has_ended():
    assert seconds_left(at(), 0.0) is None
    assert seconds_left(at(running_trials=[running(0)]), 5.0) is None


def test_one_worker_takes_the_trials_one_after_the_other():
    # Tune: 2 left of 10 s, on the average of 8 s and 12 s. Confirm: 6 trials of which one took 30 s: 5 left.
    progress = at(done(0, seconds=8.0), done(1, seconds=12.0), done(0, "confirm", seconds=30.0))
    assert seconds_left(progress, 0.0) == 2 * 10 + 5 * 30


def test_confirm_trials_are_scaled_from_tune_trials_by_steps_and_evaluations():
    # 7 s = 1 s around it + 4 s training of 10 steps + 2 s for one evaluation; 40 steps and 4 evaluations: 1 + 16 + 8.
    tune = [done(n, seconds=7.0, train_seconds=4.0, eval_seconds=2.0) for n in range(4)]
    assert SIZE.trial_seconds("confirm", tune) == 25.0
    assert seconds_left(at(*tune), 0.0) == 6 * 25
    # What diverged took too little time to be scaled, and what has no parts is scaled as a whole.
    assert SIZE.trial_seconds("confirm", [done(4, status=Status.DIVERGED, seconds=0.5), *tune]) == 25.0
    assert SIZE.trial_seconds("confirm", [done(0, seconds=7.0)]) == 28.0
    assert SIZE.trial_seconds("confirm", [done(0, status=Status.DIVERGED, seconds=7.0)]) is None


def test_trials_that_diverged_shorten_the_mean_of_their_phase():
    trials = [done(0, seconds=9.0), done(1, status=Status.DIVERGED, seconds=3.0)]
    assert SIZE.trial_seconds("tune", trials) == 6.0


def test_a_trial_in_hand_counts_for_what_is_left_of_it():
    ended = [done(n, seconds=10.0) for n in range(3)] + [done(n, "confirm", seconds=20.0) for n in range(6)]
    assert seconds_left(at(*ended, running_trials=[running(3, since=100.0)]), 104.0) == 6.0
    assert seconds_left(at(*ended, running_trials=[running(3, since=100.0)]), 150.0) == 0.0


def test_workers_share_a_phase_and_wait_for_its_end():
    # Tune: 3 left of 10 s on 2 workers: 20 s. Confirm: 6 of 20 s on 2 workers: 60 s.
    tune = done(0, seconds=10.0, train_seconds=5.0, eval_seconds=0.0)
    assert SIZE.trial_seconds("confirm", [tune]) == 25.0
    assert seconds_left(at(tune, workers=2), 0.0) == 20 + 3 * 25
    # One worker is 4 s into a trial, the other one idle: it ends at 6 s; the two that wait, at 10 s and 16 s.
    assert seconds_left(at(tune, running_trials=[running(3)], workers=2), 4.0) == 16 + 3 * 25


def test_as_many_workers_are_counted_on_as_run_trials_now():
    """Two are 4 s into trials of 10 s, one waits: 6 s + 10 s, whatever number was told; then 6 of 25 s on two."""
    tune = done(0, seconds=10.0, train_seconds=5.0, eval_seconds=0.0)
    for told in (0, 1, 2):
        progress = at(tune, running_trials=[running(1), running(2)], workers=told)
        assert seconds_left(progress, 4.0) == 16 + 3 * 25
        assert (progress.waiting, progress.ended("tune"), progress.ended("confirm")) == (7, 1, 0)


def test_no_trial_waits_where_more_ran_than_are_planned():
    trials = [done(n, seconds=1.0) for n in range(12)]
    assert (at(*trials).waiting, at(*trials).size.planned) == (0, 10)
    assert at(*trials[:9], running_trials=[running(9), running(10)]).waiting == 0


def test_nothing_is_left_of_a_complete_study():
    trials = [done(n, seconds=1.0) for n in range(4)] + [done(n, "confirm", seconds=1.0) for n in range(6)]
    assert at(*trials).status == "complete"
    assert seconds_left(at(*trials), 0.0) == 0.0
    assert at(*trials, active=True).status == "running"
    assert at(*trials[:9]).status == "unfinished"


@given(
    seconds=st.floats(0.01, 1e5),
    tune_done=st.integers(1, 4),
    confirm_done=st.integers(0, 6),
    workers=st.integers(1, 20),
)
def test_more_workers_and_fewer_trials_never_take_longer(seconds, tune_done, confirm_done, workers):
    trials = [done(n, seconds=seconds) for n in range(tune_done)]
    trials += [done(n, "confirm", seconds=seconds) for n in range(confirm_done)]
    left = seconds_left(at(*trials, workers=workers), 0.0)
    assert math.isfinite(left)
    assert seconds_left(at(*trials, workers=workers + 1), 0.0) <= left * (1 + 1e-9)
    before = seconds_left(at(*trials[:-1], workers=workers), 0.0)
    assert (before is None) == (len(trials) == 1)
    assert before is None or before >= left * (1 - 1e-9)
    alone = seconds_left(at(*trials, workers=1), 0.0)
    assert left * workers >= alone * (1 - 1e-9), "workers cannot do more than their share"


def test_optimizers_are_rows_in_the_study_s_order():
    progress = at(
        done(0, ap=0.1, images_per_s=10.0),
        done(1, ap=0.3, images_per_s=30.0),
        done(2, optimizer="adam", status=Status.DIVERGED),
        done(3, optimizer="adam", status=Status.OUT_OF_MEMORY),
        done(0, "confirm", ap=0.2, images_per_s=20.0),
        done(1, "confirm", status=Status.DIVERGED, ap=0.9),
        running_trials=[running(1, "confirm")],
    )
    sgd, adam = rows_of(progress)
    assert (sgd.name, sgd.tune_done, sgd.confirm_done, sgd.best_tune_ap) == ("sgd", 2, 2, 0.3)
    assert sgd.mean_confirm_ap == pytest.approx(0.1), "a diverged trial counts as the worst, whatever it had reached"
    assert (sgd.images_per_s, sgd.running, sgd.diverged, sgd.failed) == (20.0, 0, 1, 0)
    assert (adam.best_tune_ap, adam.mean_confirm_ap, adam.images_per_s) == (None, None, None)
    assert (adam.running, adam.diverged, adam.failed) == (1, 1, 1)


def test_a_record_that_is_out_of_reach_spoils_no_mean():
    (sgd, _) = rows_of(at(done(0, "confirm", ap=0.4), done(1, "confirm")))
    assert (sgd.confirm_done, sgd.mean_confirm_ap) == (2, 0.4)


def test_rows_of_the_records_become_trials():
    row = {"trial_id": "a", "phase": "tune", "optimizer": "sgd", "status": "diverged", "ap": math.nan}
    found = recorded([row | {"images_per_s": 3.5, "train_seconds": math.nan, "started_ms": 1000, "ended_ms": 3500}])
    assert found == {"a": EndedTrial("a", "tune", "sgd", Status.DIVERGED, images_per_s=3.5, seconds=2.5)}


def test_events_lead_from_one_moment_to_the_next(make_spec):
    spec = make_spec()
    trial = first_trials(spec)[0]
    taken = RunningTrial(trial.id, "tune", "sgd", 0, 2, 0.0, "here", 7)
    other = replace(taken, trial_id="other", pid=8)
    progress = progress_after(Progress(Size.of_spec(spec)), PhaseBegan("tune", 1, 2, {"old": done(0)}))
    assert list(progress.done) == ["old"]
    for event in (TrialBegan(taken), TrialBegan(other), TrialStepped(trial.id, 2), TrialStepped("unknown", 5)):
        progress = progress_after(progress, event)
    assert {key: known.step for key, known in progress.running_trials.items()} == {trial.id: 2, "other": None}
    assert list(progress_after(progress, WorkerDied(8)).running_trials) == [trial.id]
    assert list(progress_after(progress, TrialReturned(trial.id)).running_trials) == ["other"]
    assert progress_after(progress, Stopping()) == progress
    record = make_record(trial, Status.COMPLETE, steps_done=2, metrics={"ap": 0.25})
    progress = progress_after(progress, TrialEnded(record, 3.0, 2))
    assert list(progress.running_trials) == ["other"]
    assert progress.done[trial.id] == EndedTrial(trial.id, "tune", "sgd", Status.COMPLETE, ap=0.25, seconds=3.0)
    assert progress_after(progress, TrialReturned(trial.id)) == progress


def test_a_worker_that_dies_takes_its_own_trials_along():
    """A process number is one of its host; where no host is told, it is this machine's, whatever name that has."""
    trials = [replace(running(0), host=host, pid=pid, trial_id=f"{host}{pid}")
              for host, pid in (("here", 8), ("there", 8), ("there", 9))]  # fmt: skip
    progress = at(running_trials=trials)
    assert list(progress_after(progress, WorkerDied(8, "there")).running_trials) == ["here8", "there9"]
    assert list(progress_after(progress, WorkerDied(8)).running_trials) == ["there9"]


def test_what_is_told_of_workers_and_steps_is_known():
    progress = progress_after(at(running_trials=[running(0)]), WorkersChanged(5))
    assert (progress.workers, progress.status) == (5, "unfinished")
    (stepped,) = progress_after(progress, TrialStepped("tune0", 3, 4.5)).running_trials.values()
    assert (stepped.step, stepped.train_seconds) == (3, 4.5)


def test_the_size_of_a_plan_grows_with_its_phases_and_what_has_ended_in_later_ones():
    size = PlanSize("study", "joint", "small", ("sgd",), {"search": 4})
    ended = {trial.trial_id: trial for trial in (done(n, "confirm") for n in range(3))}
    begun = progress_after(Progress(size, running_trials={"a": running(0)}), PhaseBegan("search", 2, 6, ended))
    assert (dict(begun.size.plan), begun.done, begun.running_trials) == ({"search": 6, "confirm": 3}, ended, {})
    larger = progress_after(replace(begun, size=size.with_phase("confirm", 5)), PhaseBegan("search", 0, 4, ended))
    assert dict(larger.size.plan) == {"search": 4, "confirm": 5}
    more = progress_after(begun, MorePlanned("confirm", 7)).size
    assert (more.planned, more.planned_of("confirm"), more.planned_of("tune"), more.phases) == (
        13, 7, 0, ("search", "confirm"),
    )  # fmt: skip
    assert not more.plan_is_known
    assert more.after_trials(ended) is more


def test_a_trial_of_a_phase_that_nothing_has_ended_of_takes_the_mean_of_all():
    size = PlanSize("study", "joint", "small", ("sgd",), {"search": 4})
    trials = [done(0, "search", seconds=4.0), done(1, "search", seconds=8.0), done(2, "search")]
    assert (size.trial_seconds("search", trials), size.trial_seconds("confirm", trials)) == (6.0, 6.0)
    assert size.trial_seconds("confirm", [*trials, done(0, "confirm", seconds=30.0)]) == 30.0
    assert size.trial_seconds("search", trials[2:]) is None


def test_a_status_is_a_document():
    trials = [done(0, ap=0.25, seconds=2.0), done(1, "confirm", "adam", Status.TIMED_OUT, seconds=9.0)]
    taken = [replace(running(5, since=20.0), pid=7), running(4, "confirm", since=10.0)]
    counts = dict(lost=1, waiting_records=2, away_since=60.0, workers=3, last_active=90.5)  # noqa: C408
    progress = at(*trials, running_trials=taken, active=True, **counts)
    head = {"study": "study", "kind": "optimizers", "preset": "small", "status": "running"}
    none = dict.fromkeys(map(str, Status), 0)
    document = status_document(progress, 15.0)
    left, rows = document.pop("seconds_left"), document.pop("optimizers")
    assert (left, [row["name"] for row in rows]) == (seconds_left(progress, 15.0), ["sgd", "adam"])
    assert document == {
        **head,
        "trials": {
            **none, "done": 2, "complete": 1, "timed_out": 1, "running": 2, "waiting": 6, "planned": 10, "lost": 1,
        },
        "phases": {
            "tune": {**none, "done": 1, "complete": 1, "running": 1, "waiting": 2, "planned": 4},
            "confirm": {**none, "done": 1, "timed_out": 1, "running": 1, "waiting": 4, "planned": 6},
        },
        "running": [
            {"trial_id": "confirm4", "phase": "confirm", "optimizer": "adam", "seed": 0, "since": at_second(10),
             "seconds": 5.0, "host": "here", "pid": 1},
            {"trial_id": "tune5", "phase": "tune", "optimizer": "adam", "seed": 0, "since": at_second(20),
             "seconds": 0.0, "host": "here", "pid": 7},
        ],
        "workers": 3,
        "waiting_records": {"count": 2, "since": "1970-01-01T00:01:00+00:00"},
        "last_active": at_second(90),
    }  # fmt: skip
    listed = {"done": 2, "running": 2, "waiting": 6, "planned": 10, "last_active": "1970-01-01T00:01:30+00:00"}
    assert list_document([progress, at()])["studies"] == [
        {**head, **listed},
        {**head, "status": "unfinished", "done": 0, "running": 0, "waiting": 10, "planned": 10, "last_active": None},
    ]


def at_second(second):
    return f"1970-01-01T00:{second // 60:02}:{second % 60:02}+00:00"


def test_the_state_of_a_measurement_study_is_a_document():
    state = MeasurementState("loads", "loaders", "small", "running", {"complete": 2, "failed": 1}, 90.0)
    row = {"study": "loads", "kind": "loaders", "preset": "small", "status": "running", "done": 3, "planned": None}
    trials = {"complete": 2, "failed": 1}
    assert state.document() == row | {"trials": trials, "last_active": "1970-01-01T00:01:30+00:00"}
    assert replace(state, last_active=None).document()["last_active"] is None


def test_the_size_counts_controls_among_the_confirm_trials(make_spec):
    spec = make_spec(optimizers=["adam", "adabound", "amsbound"], trials=2, seeds=4, controls=True)
    size = Size.of_spec(spec)
    assert (size.planned_of("tune"), size.planned_of("confirm")) == (12, 2 * 4 * 5)
    assert size.planned == total_trials(spec)
    rows = rows_of(Progress(size))
    assert [(row.name, row.tune_planned, row.confirm_planned) for row in rows[2:]] == [
        ("amsbound", 4, 8),
        ("adabound (limit)", 0, 8),
        ("amsbound (limit)", 0, 8),
    ]
    assert Size.of_spec(make_spec(optimizers=["adabound"], controls=False, seeds=4)).planned_of("confirm") == 8


def test_the_size_of_a_study_in_seconds_scales_by_them(make_spec):
    spec = make_spec(tune_steps=None, steps=None, tune_seconds=4.0, seconds=16.0, evaluations=4)
    size = Size.of_spec(spec)
    assert (size.length("tune"), size.length("confirm"), size.evaluations_of("confirm")) == (4.0, 16.0, 4)
    tune = [done(n, seconds=7.0, train_seconds=4.0, eval_seconds=2.0) for n in range(4)]
    assert size.trial_seconds("confirm", tune) == 1 + 16 + 8


def test_tune_evaluations_that_a_pruner_wants_are_in_the_scaling():
    size = replace(SIZE, pruner="median", tune_evaluations=2)
    assert (size.evaluations_of("tune"), size.evaluations_of("confirm")) == (2, 4)
    # 7 s = 1 s around it + 4 s training of 10 steps + 2 s for two evaluations; 40 steps and 4 evaluations: 1 + 16 + 4.
    assert size.trial_seconds("confirm", [done(0, seconds=7.0, train_seconds=4.0, eval_seconds=2.0)]) == 21.0


def test_a_study_of_an_earlier_version_has_no_controls(make_spec):
    identity = make_spec(optimizers=["adabound"], controls=True).identity()
    later = ("controls", "pruner", "tune_evaluations", "tune_seconds", "seconds")
    old = {name: value for name, value in identity.items() if name not in later}
    assert Size.of(old).planned == 2 * (1 + 1)
    assert Size.of(identity).planned == 2 * (1 + 2)


def test_a_study_that_goes_on_until_it_is_decided_is_as_large_as_its_plan_so_far(make_spec):
    """Of 2 optimizers each tuning has 2 x 3 tune trials and 2 confirm trials; in a fourth one alone may be left."""
    spec = make_spec(tunings=3, trials=3, until_decided=True)
    size = Size.of_spec(spec)
    assert (size.plan_is_known, Size.of_spec(make_spec()).plan_is_known) == (False, True)
    assert size.planned == total_trials(spec) == 3 * (6 + 2)
    for tune, confirm, planned in ((0, 0, 24), (12, 0, 24), (18, 6, 24), (20, 6, 26), (21, 7, 28)):
        assert size.of_plan({"tune": tune, "confirm": confirm}).planned == planned
    grown = progress_after(progress_after(Progress(size), MorePlanned("tune", 22)), MorePlanned("confirm", 8))
    assert (grown.size.planned_of("tune"), grown.size.planned_of("confirm")) == (22, 8)
    assert Size.of_spec(make_spec(tunings=3, trials=3)).of_plan({"tune": 25}).planned == 24
    trials = [done(n, optimizer="adam") for n in range(10)] + [done(n, "confirm", "adam") for n in range(3)]
    taken = replace(running(99), optimizer="sgd")
    sgd, adam = rows_of(Progress(size, {t.trial_id: t for t in trials}, {taken.trial_id: taken}))
    assert [(row.tune_planned, row.confirm_planned) for row in (sgd, adam)] == [(9, 3), (12, 3)]


def test_a_study_that_was_decided_is_complete_once_all_that_was_planned_has_ended(make_spec):
    """Who left after the third tuning has no trials in the fourth."""
    spec = make_spec(optimizers=["sgd", "adam", "adagrad"], tunings=3, trials=1, until_decided=True)

    def outcome(trial):
        return TrialOutcome({"adagrad": 0.1}.get(trial.optimizer, 0.5) + random.Random(trial.id).gauss(0, 0.001), 0.5)

    plan = whole_plan(spec, outcome)
    size = Size.of_spec(spec).of_plan(Counter(trial.phase for trial in plan))
    assert total_trials(spec) < size.planned == len(plan) < 6 * 3 * 2
    ended = {trial.id: EndedTrial(trial.id, trial.phase, trial.optimizer, Status.COMPLETE) for trial in plan}
    progress = Progress(size, ended, all_planned=True)
    assert (progress.status, progress.waiting) == ("complete", 0)
    assert [(row.tune_planned, row.confirm_planned) for row in rows_of(progress)] == [(6, 6), (6, 6), (3, 3)]


def test_a_pruned_trial_is_done_and_no_failure():
    (row, _) = rows_of(at(done(0, status=Status.PRUNED), done(1, ap=0.2)))
    assert (row.tune_done, row.pruned, row.failed, row.diverged, row.best_tune_ap) == (2, 1, 0, 0, 0.2)


def test_of_a_searched_optimizer_the_best_of_its_complete_trials_is_told():
    size = PlanSize("study", "joint", "small", ("sgd", "adam"), {"search": 4})
    trials = (
        done(0, "search", ap=0.1, images_per_s=30.0),
        done(1, "search", ap=0.3, images_per_s=20.0),
        done(2, "search", ap=0.9, images_per_s=90.0, status=Status.DIVERGED),
        done(3, "search", optimizer="adam", status=Status.FAILED),
    )
    sgd, adam = rows_of(Progress(size, {trial.trial_id: trial for trial in trials}))
    assert (sgd.done, sgd.best_ap, sgd.best_images_per_s, sgd.diverged, sgd.failed) == (3, 0.3, 30.0, 1, 0)
    assert (adam.done, adam.best_ap, adam.diverged, adam.failed) == (1, None, 0, 1)
    assert (sgd.cells(), adam.cells()) == (["3", "0.300", "30.0"], ["1", "-", "-"])


def test_optimizers_that_only_trials_name_follow_those_of_the_settings():
    size = PlanSize.of(
        {"name": "mine", "kind": "own", "preset": "small", "optimizers": ["sgd"], "schedule": "cosine"}, {"search": 9}
    )
    assert (size.study, size.kind, size.preset, size.schedule, size.own_schedules) == (
        "mine",
        "own",
        "small",
        "cosine",
        {},
    )
    trials = [done(0, "search", "zeta"), done(1, "search", ""), done(2, "search", "sgd")]
    taken = replace(running(3), optimizer="alpha")
    rows = rows_of(Progress(size, {trial.trial_id: trial for trial in trials}, {taken.trial_id: taken}))
    assert [(row.name, row.done, row.running) for row in rows] == [("sgd", 1, 0), ("alpha", 0, 1), ("zeta", 1, 0)]
    assert rows[1].cells() == ["-", "-", "-"]
    assert PlanSize.of({"name": "mine", "kind": "own", "preset": "small"}, {}).optimizers == ()
