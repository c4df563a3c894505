"""Checkpoints of trials: kept as a whole or not at all, and a trial that goes on from one ends as if never stopped."""

import json
import os
import sys
import tarfile
from dataclasses import replace
from functools import cache, partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bench.engines import checkpoint_places, checkpoints
from bench.engines.checkpoints import (
    CheckpointStore,
    check_checkpoints,
    forget_checkpoint,
    forget_recorded,
    trial_checkpoint,
)
from bench.engines.worker import work
from bench.engines.worker_settings import WorkerSettings
from bench.kinds.optimizers.trial import TRIALS
from bench.ledger.store import Ledger
from bench.measure.gpu import GpuSampler
from bench.measure.gpus import Gpu
from bench.records.waiting import WaitingRecord, waiting_record
from bench.records.writer import Tracker
from bench.trials.checkpoint import PROGRESS, STATE, TrialCheckpoint
from bench.trials.spec import TrialSpec
from bench.trials.training import run_trial
from posemodel.errors import CheckpointError, SettingsError
from tests.support.held import Held
from tests.support.line import LINE
from tests.support.long_tests import long
from tests.support.plans import confirm_trials, first_trials
from tests.support.valley import Valley

STUDY, TRIAL = "a study, 50 %", "feed0123"
TIMED = {"images_per_s", "data_wait_share", "optimizer_step_ms", "train_seconds", "eval_seconds", "samples_seconds"}


# --- the store ------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["folder", "file", "local", "memory"])
def place(request, tmp_path):
    """A folder, its URL, the same through fsspec, and one of another kind of file system."""
    kinds = {"folder": tmp_path / "shared", "file": (tmp_path / "shared").as_uri()}
    kinds |= {"local": f"local://{tmp_path / 'shared'}", "memory": f"memory://{tmp_path.name}/shared"}
    return str(kinds[request.param])


@pytest.fixture
def state(tmp_path):
    """A folder with files in it."""
    folder = tmp_path / "state"
    (folder / "within").mkdir(parents=True)
    (folder / "weights").write_bytes(os.urandom(100_000))
    (folder / "within" / "empty").touch()
    return folder


def files_in(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_was_saved_is_fetched_until_it_is_removed(place, state, tmp_path):
    store = CheckpointStore.at(place)
    store.check()
    assert not store.fetch(STUDY, TRIAL, tmp_path / "before")
    store.save(STUDY, TRIAL, state)
    assert store.fetch(STUDY, TRIAL, tmp_path / "first")
    assert files_in(tmp_path / "first") == files_in(state)
    (state / "weights").write_bytes(b"later")
    store.save(STUDY, TRIAL, state)
    assert CheckpointStore.at(place).fetch(STUDY, TRIAL, tmp_path / "second")
    assert files_in(tmp_path / "second") == files_in(state)
    assert not store.fetch("other study", TRIAL, tmp_path / "other")
    store.remove(STUDY, TRIAL)
    store.remove(STUDY, TRIAL)
    assert not store.fetch(STUDY, TRIAL, tmp_path / "after")


def test_nothing_is_left_beside_the_checkpoints(state, tmp_path):
    store = CheckpointStore.at(tmp_path / "shared")
    store.check()
    store.save(STUDY, TRIAL, state)
    shared = tmp_path / "shared"
    assert [*files_in(shared)] == [f"{STUDY}/{TRIAL}.tar"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "here") == ["shared", "state"]
    (shared / STUDY / f"{TRIAL}.tar.elsewhere-7.part").touch()
    store.remove(STUDY, TRIAL)
    assert files_in(shared) == {}


def test_a_broken_off_copy_to_a_url_leaves_nothing(state, tmp_path, monkeypatch):
    store, shared = CheckpointStore.at(f"local://{tmp_path / 'shared'}"), tmp_path / "shared"
    store.save(STUDY, TRIAL, state)
    with monkeypatch.context() as broken, pytest.raises(OSError, match="away"):

        def lose(_from, _to):
            raise OSError("away")

        broken.setattr(store._place.files, "mv", lose)
        store.save(STUDY, TRIAL, state)
    assert [*files_in(shared)] == [f"{STUDY}/{TRIAL}.tar"]
    (shared / STUDY / f"{TRIAL}.tar.elsewhere-7.part").touch()  # of a process that was killed
    store.remove(STUDY, TRIAL)
    assert files_in(shared) == {}


def test_checkpoints_of_recorded_trials_are_found_and_removed(place, state, tmp_path, capfd):
    store = CheckpointStore.at(place)
    forget_recorded(place, STUDY, {TRIAL})
    for study, trial in ((STUDY, TRIAL), (STUDY, "beef"), ("other", TRIAL)):
        store.save(study, trial, state)
    assert store.trials(STUDY) == {TRIAL, "beef"}
    forget_recorded(place, STUDY, {TRIAL, "never kept"})
    forget_recorded(None, STUDY, {"beef"})
    assert (store.trials(STUDY), store.trials("other")) == ({"beef"}, {TRIAL})
    assert capfd.readouterr().err == ""
    forget_recorded("nosuch://x", STUDY, {TRIAL})
    assert f"checkpoints of study {STUDY} could not be removed (" in capfd.readouterr().err


@pytest.mark.usefixtures("made_up_costs")
def test_a_study_that_ends_removes_what_others_have_left(posebench, valley_file, stores, state, tmp_path):
    """As after a command to go on that was not told of the place."""
    few = 'optimizers = ["sgd"]\ntunings = 1\ntrials = 1\nseeds = 1\ntune_steps = 10\nsteps = 10\nevaluations = 2'
    study = ("study", "optimizers", "--study", valley_file(above=few), "--preset", "smoke", "--name", "ours")
    code, _, err = posebench(*study, "--device", "cpu")
    assert code == 0, err
    tracker = Tracker(stores, "ours", create=False)
    store = CheckpointStore.at(tmp_path / "shared")
    for trial in (tracker.records()["trial_id"][0], TRIAL):
        store.save("ours", trial, state)
    code, _, err = posebench("study", "resume", "ours", "--checkpoints", str(tmp_path / "shared"))
    assert code == 0, err
    assert store.trials("ours") == {TRIAL}


def test_a_write_that_breaks_off_leaves_the_earlier_checkpoint(state, tmp_path, monkeypatch):
    store = CheckpointStore.at(tmp_path / "shared")
    store.save(STUDY, TRIAL, state)

    def full(_descriptor):
        raise OSError("no space left on device")

    with monkeypatch.context() as broken, pytest.raises(OSError, match="no space"):
        broken.setattr(checkpoint_places.os, "fsync", full)
        store.save(STUDY, TRIAL, state)
    assert [*files_in(tmp_path / "shared")] == [f"{STUDY}/{TRIAL}.tar"]
    assert store.fetch(STUDY, TRIAL, tmp_path / "fetched")


def test_what_is_not_there_to_be_saved_is_the_error(tmp_path):
    place = CheckpointStore.at(tmp_path / "shared")._place
    with pytest.raises(FileNotFoundError) as caught:
        place.write("study/trial.tar", tmp_path / "nothing")
    assert caught.value.filename == str(tmp_path / "nothing")


def cut(content):
    return content[: len(content) // 2]


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    ("damage", "words"),
    [(cut, ""), (flipped, "is damaged (in weights)"), (lambda _: b"something else", ""), (lambda _: b"", "")],
    ids=["cut", "flipped", "something else", "empty"],
)
def test_a_damaged_checkpoint_is_refused_and_leaves_nothing(state, tmp_path, damage, words):
    store, file = CheckpointStore.at(tmp_path / "shared"), tmp_path / "shared" / STUDY / f"{TRIAL}.tar"
    store.save(STUDY, TRIAL, state)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(CheckpointError) as refused:
        store.fetch(STUDY, TRIAL, tmp_path / "fetched")
    assert f"{STUDY}/{TRIAL}.tar" in str(refused.value) and words in str(refused.value)
    assert [*(tmp_path / "fetched").iterdir()] == []


def test_another_trial_s_checkpoint_is_refused(state, tmp_path):
    store, folder = CheckpointStore.at(tmp_path / "shared"), tmp_path / "shared" / STUDY
    store.save(STUDY, TRIAL, state)
    (folder / f"{TRIAL}.tar").rename(folder / "beef.tar")
    with pytest.raises(CheckpointError, match=f"is another one's \\(trial '{TRIAL}'\\)"):
        store.fetch(STUDY, "beef", tmp_path / "fetched")


def test_a_slot_s_checkpoint_of_other_settings_is_refused(state, tmp_path, valley_spec):
    """The ledger was lost, and the search has chosen another learning rate for the same slot."""
    (trial,) = confirm_trials(valley_spec(optimizers=["sgd"], tunings=1))
    first = trial.model_copy(update={"slot": TRIAL, "hyperparameters": {"lr": 1e-3}})
    other = first.model_copy(update={"hyperparameters": {"lr": 1e-1}})
    elsewhere = first.with_data(tmp_path).model_copy(update={"index": first.index + 1})
    assert first.id == other.id == TRIAL
    with trial_checkpoint(str(tmp_path / "shared"), STUDY, first) as saving:
        saving._save(state)
    with trial_checkpoint(str(tmp_path / "shared"), STUDY, elsewhere) as moved:
        assert moved._fetch(tmp_path / "moved")
    with (
        trial_checkpoint(str(tmp_path / "shared"), STUDY, other) as chosen_anew,
        pytest.raises(CheckpointError, match="is another one's \\(content "),
    ):
        chosen_anew._fetch(tmp_path / "fetched")


@pytest.mark.parametrize("name", ["../outside", "/outside"])
def test_nothing_is_written_outside_the_folder(state, tmp_path, name):
    store, file = CheckpointStore.at(tmp_path / "shared"), tmp_path / "shared" / STUDY / f"{TRIAL}.tar"
    store.save(STUDY, TRIAL, state)
    with tarfile.open(file, "a") as archive:
        archive.add(state / "weights", "inside")
    content = file.read_bytes()
    file.write_bytes(content)
    with tarfile.open(file, "a") as archive:
        member = archive.gettarinfo(state / "weights")
        member.name = name
        with (state / "weights").open("rb") as weights:
            archive.addfile(member, weights)
    with pytest.raises(CheckpointError, match="is damaged"):
        store.fetch(STUDY, TRIAL, tmp_path / "fetched")
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("", "checkpoints: is empty"),
        ("nosuch://bucket/x", "checkpoints nosuch://bucket/x: cannot be opened (Protocol not known: nosuch"),
        ("s3:/bucket/x", "did you mean s3://bucket/x?"),
        ("file://host/x", "a folder's URL has three slashes, file:///host/..."),
        ("/dev/null/x", "checkpoints /dev/null/x: files cannot be kept there ("),
        ("nosuch://me:secretword@host/x", "checkpoints nosuch://me:***@host/x: cannot be opened"),
        ("ftp:/me:secretword@host/x", "checkpoints ftp:/me:***@host/x: did you mean ftp://me:***@host/x?"),
        (
            "file://me:secretword@host/x",
            "checkpoints file://me:***@host/x: a folder's URL has three slashes, file:///host/",
        ),
    ],
)
def test_a_place_that_cannot_be_used_is_refused_in_words(place, words):
    with pytest.raises(SettingsError) as refused:
        check_checkpoints(place)
    assert words in str(refused.value)
    assert "secretword" not in str(refused.value)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(SettingsError, match=r"cannot be opened \(Install s3fs to access S3\)"):
        check_checkpoints("s3://bucket/x")


def test_how_often_they_are_made_is_checked_first(monkeypatch, tmp_path):
    monkeypatch.setenv("POSEBENCH_CHECKPOINT_EVERY", "often")
    check_checkpoints(None)
    with pytest.raises(SettingsError, match="POSEBENCH_CHECKPOINT_EVERY often: must be a time, such as 90s"):
        check_checkpoints(str(tmp_path / "shared"))
    assert not (tmp_path / "shared").exists()


def test_a_place_that_is_away_does_not_lose_a_recorded_trial(capfd):
    forget_checkpoint(None, STUDY, TRIAL)
    for place in ("/dev/null/x", "nosuch://x"):
        forget_checkpoint(place, STUDY, TRIAL)
        assert f"the checkpoint of trial {TRIAL} could not be removed (" in capfd.readouterr().err


def test_local_folders_of_dead_processes_are_removed(monkeypatch, tmp_path, valley_spec):
    monkeypatch.setattr(checkpoints.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(checkpoints.tempfile, "tempdir", str(tmp_path))
    host = checkpoints.socket.gethostname()
    dead, other = tmp_path / f"posebench-trial-{host}-1-7-abc", tmp_path / "posebench-trial-elsewhere-1-7-abc"
    link = tmp_path / f"posebench-trial-{host}-1-7-link"  # nothing of posebench's, and not to be removed as a folder
    dead.mkdir()
    other.mkdir()
    link.symlink_to(other)
    (tmp_path / f"posebench-trial-{host}-1-8-abc").touch()  # whatever cannot be removed stays
    with trial_checkpoint(str(tmp_path / "shared"), STUDY, first_trials(valley_spec())[0]) as checkpoint:
        assert checkpoint.folder.parent.is_dir()
        assert not dead.exists()
    assert not checkpoint.folder.parent.exists()
    assert other.exists()


# --- trials ---------------------------------------------------------------------------------------------------------


class Interruption:
    """A process in which an interruption comes after some steps, and the place that it shares with the others."""

    def __init__(self, trial, shared, folder):
        self.trial, self.store, self.folder = trial, CheckpointStore.at(shared), folder
        self.processes = 0

    def run(self, stop_after=None, *, every_s=300.0, overdue=False, **how):
        """Run the trial in a new process, as it were; ``stop_after``: looks until the interruption is seen."""
        self.processes += 1
        looks = iter(range(10**9)) if stop_after is None else iter(range(-stop_after + 1, 10**9))
        checkpoint = TrialCheckpoint(
            "it",
            self.folder / str(self.processes) / "trial",
            fetch=partial(self.store.fetch, STUDY, self.trial.id),
            save=partial(self.store.save, STUDY, self.trial.id),
            stop_requested=(lambda: False) if stop_after is None else lambda: next(looks) >= 0,
            hold=partial(Held, overdue),
            every_s=every_s,
        )
        checkpoint.folder.parent.mkdir(parents=True)
        return run_trial(self.trial, checkpoint=checkpoint, **how)

    def fetched(self):
        folder = self.folder / "looked at"
        return folder if self.store.fetch(STUDY, self.trial.id, folder) else None


@pytest.fixture
def interruption(tmp_path):
    return lambda trial: Interruption(trial, tmp_path / "shared", tmp_path / "processes")


WORKLOADS = ("valley", "line", "pose")


@pytest.fixture(params=WORKLOADS)
def trial(request, valley_spec, tiny_spec, make_spec):
    """A confirm trial of each workload, of twelve steps and three evaluations; reports come every five steps."""
    how = {"steps": 12, "evaluations": 3, "optimizers": ["adam"], "tunings": 1}
    if request.param == "pose":
        spec = tiny_spec(**how)
    elif request.param == "line":
        spec = make_spec(digest="line", workload={"name": LINE}, **how)
    else:
        spec = valley_spec(**how)
    (found,) = confirm_trials(spec)
    field = "window" if request.param != "pose" else "log_every"
    return found.model_copy(update={"train": found.train.model_copy(update={field: 5})})


@cache
def uninterrupted(trial_as_json):
    """The outcome of a trial in one piece."""
    return run_trial(TrialSpec.model_validate_json(trial_as_json))


def whole_run(trial):
    """The same, made once for equal trials."""
    return uninterrupted(trial.model_dump_json())


def row(record):
    return {name: value for name, value in record.as_row().items() if name not in TIMED}


def points(curve):
    return [
        (point.step, {name: value for name, value in point.metrics.items() if name not in TIMED}) for point in curve
    ]


def documents(outcome):
    return None if outcome.samples is None else outcome.samples.document


@pytest.fixture
def at_each_step(monkeypatch):
    """Checkpoints may take all the time that they need."""
    monkeypatch.setattr("bench.trials.checkpoint.SHARE_OF_TIME", float("inf"))
    return {"every_s": 0.0}


@pytest.mark.parametrize(
    ("trial", "stops"),
    [(name, (4, 3)) for name in WORKLOADS]
    + [("valley", (11,)), ("line", (11,)), long("pose", (11,))]
    + [long(name, stops) for name in WORKLOADS for stops in ((1,), (7,))],
    indirect=["trial"],
)
def test_a_trial_that_is_continued_ends_as_if_never_interrupted(trial, interruption, stops, capfd):
    """Every number of its record and every point of its curve, to the bit; with another process for each part."""
    interrupted = interruption(trial)
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            interrupted.run(stop)
    continued, whole = interrupted.run(), whole_run(trial)
    assert row(continued.record) == row(whole.record)
    assert points(continued.curve) == points(whole.curve)
    assert documents(continued) == documents(whole)
    assert continued.record.metrics["train_seconds"] > 0
    said = capfd.readouterr().err
    assert said.count("posebench: trial it goes on from its checkpoint after step") == len(stops)


def test_a_trial_that_is_killed_goes_on_from_its_latest_checkpoint(trial, interruption, at_each_step):
    """Checkpoints are made at each step; the process is gone at the eighth, and nobody had seen it coming."""
    killed, steps = interruption(trial), []

    class Killed(BaseException):
        """As SIGKILL, nothing more is done after it."""

    def die(step, _seconds):
        steps.append(step)
        if step >= 8:
            raise Killed

    with pytest.raises(Killed):
        killed.run(**at_each_step, on_step=die)
    progress = json.loads((killed.fetched() / PROGRESS).read_text())
    assert {step for step, _, _ in progress["curve"]} == {step for step in steps if step < 8}
    seen = []
    continued, whole = killed.run(on_step=lambda step, _: seen.append(step)), whole_run(trial)
    assert min(seen) >= 8
    assert row(continued.record) == row(whole.record)
    assert points(continued.curve) == points(whole.curve)


def test_checkpoints_in_between_change_nothing(trial, interruption, at_each_step):
    often, whole = interruption(trial).run(**at_each_step), whole_run(trial)
    assert row(often.record) == row(whole.record)
    assert points(often.curve) == points(whole.curve)


def test_a_slow_place_gets_fewer_of_them(valley_spec, interruption, monkeypatch):
    (trial,) = confirm_trials(valley_spec(steps=50, optimizers=["sgd"], tunings=1))
    slow, saved, now = interruption(trial), [], [0.0]
    monkeypatch.setattr("bench.trials.checkpoint.time", SimpleNamespace(monotonic=lambda: now[0]))

    def save(*arguments):
        saved.append(now[0])
        now[0] += 10.0

    slow.store = SimpleNamespace(fetch=lambda *_: False, save=save)
    take_step = torch.optim.SGD.step

    def step(self, *arguments):
        now[0] += 20.0
        return take_step(self, *arguments)

    monkeypatch.setattr(torch.optim.SGD, "step", step)
    slow.run(every_s=60.0)
    assert saved == [60.0, 270.0, 480.0, 690.0, 900.0], "the first after a minute, then 10 s of 200 s"


def test_a_place_that_is_full_does_not_end_a_trial(valley_spec, interruption, capfd):
    (trial,) = confirm_trials(valley_spec(optimizers=["sgd"], tunings=1))
    full = interruption(trial)

    def save(*_):
        raise OSError("no space left at postgresql://me:secretword@host/base")

    full.store = SimpleNamespace(fetch=lambda *_: False, save=save)
    assert row(full.run(every_s=0.0).record) == row(run_trial(trial).record)
    with pytest.raises(KeyboardInterrupt):
        full.run(1)
    said = capfd.readouterr().err
    assert "the checkpoint of trial it could not be saved (no space left at postgresql://me:***@host/base)" in said


@pytest.mark.parametrize(
    ("trial", "broken"),
    [(name, broken) for name in ("valley", "line") for broken in ("the file", "the state", "the progress")]
    + [("pose", "the state"), long("pose", "the file"), long("pose", "the progress")],
    indirect=["trial"],
)
def test_a_trial_whose_checkpoint_is_damaged_begins_anew_and_says_so(trial, interruption, broken, tmp_path, capfd):
    interrupted = interruption(trial)
    with pytest.raises(KeyboardInterrupt):
        interrupted.run(7)
    if broken == "the file":
        file = tmp_path / "shared" / STUDY / f"{trial.id}.tar"
        file.write_bytes(cut(file.read_bytes()))
    else:
        folder = interrupted.fetched()
        for path in (folder / STATE).iterdir() if broken == "the state" else [folder / PROGRESS]:
            path.write_bytes(b"something else")
        interrupted.store.save(STUDY, trial.id, folder)
    seen = []
    begun_anew, whole = interrupted.run(on_step=lambda step, _: seen.append(step)), whole_run(trial)
    assert seen[0] == 1
    assert row(begun_anew.record) == row(whole.record)
    assert points(begun_anew.curve) == points(whole.curve)
    assert "the checkpoint of trial it cannot be used; the trial begins anew (" in capfd.readouterr().err


def test_an_error_of_the_training_itself_is_its_result(valley_spec, interruption):
    (trial,) = confirm_trials(valley_spec({"fails_at": 9}, steps=12, optimizers=["sgd"], tunings=1))
    interrupted = interruption(trial)
    with pytest.raises(KeyboardInterrupt):
        interrupted.run(5)
    continued, whole = interrupted.run(), run_trial(trial)
    assert str(continued.record.status) == "failed"
    assert row(continued.record) == row(whole.record)


def test_an_interruption_that_comes_too_late_for_its_step_saves_nothing(valley_spec, interruption):
    """The state on the disk may then be half written."""
    (trial,) = confirm_trials(valley_spec(optimizers=["sgd"], tunings=1))
    late = interruption(trial)
    with pytest.raises(KeyboardInterrupt):
        late.run(1, overdue=True)
    assert late.fetched() is None


def test_the_record_names_the_gpus_of_all_parts(valley_spec, interruption, monkeypatch):
    (trial,) = confirm_trials(valley_spec(steps=30, optimizers=["sgd"], tunings=1))
    moved = interruption(trial)

    def part(gpu, stop_after=None):
        class Here(GpuSampler):
            def __init__(self, device_type):
                super().__init__(device_type)
                self.device = gpu

        monkeypatch.setattr("bench.trials.training.GpuSampler", Here)
        return moved.run(stop_after)

    h200, a100 = Gpu("GPU-1", "NVIDIA H200", 150), Gpu("GPU-2", "NVIDIA A100", 80)
    for gpu in (h200, a100, h200, None):
        with pytest.raises(KeyboardInterrupt):
            part(gpu, 3)
    assert part(a100).record.gpu == f"{h200.text} + {a100.text}"


@pytest.mark.parametrize(("used_s", "status"), [(3600.0, "timed_out"), (1800.0, "complete")])
def test_a_time_limit_counts_over_all_parts(used_s, status, valley_spec, interruption):
    (trial,) = confirm_trials(valley_spec({"sleep_ms": 5.0}, steps=12, optimizers=["sgd"], tunings=1))
    trial = trial.model_copy(update={"train": trial.train.model_copy(update={"time_limit": 3600.0})})
    interrupted = interruption(trial)
    with pytest.raises(KeyboardInterrupt):
        interrupted.run(5)
    folder = interrupted.fetched()
    progress = json.loads((folder / PROGRESS).read_text())
    assert 0 < progress["seconds"] < 3600
    (folder / PROGRESS).write_text(json.dumps(progress | {"seconds": used_s}))
    interrupted.store.save(STUDY, trial.id, folder)
    outcome = interrupted.run()
    assert str(outcome.record.status) == status
    assert outcome.record.steps_done > 1, "one more step than before"
    assert (outcome.record.steps_done < 12) == (status == "timed_out")


class Forgetful(Valley):
    """A valley that keeps nothing, and whose arguments are those of earlier versions."""

    name = f"{__name__}:Forgetful"

    def train(self, run, make_optimizer, *, on_metrics=None, should_prune=None, should_stop=None, folder=None):
        """Descend."""
        return super().train(
            run, make_optimizer, on_metrics=on_metrics, should_prune=should_prune, should_stop=should_stop
        )


class Deaf(Valley):
    """A valley that does not ask whether to stop."""

    name = f"{__name__}:Deaf"

    def train(self, run, make_optimizer, *, on_metrics=None, **_calls):
        """Descend."""
        return super().train(run, make_optimizer, on_metrics=on_metrics)


class Numeric(Valley):
    """A valley that measures in NumPy's numbers, and a tensor of one value."""

    name = f"{__name__}:Numeric"

    def train(self, run, make_optimizer, *, on_metrics=None, **calls):
        """Descend."""

        def measured(step, metrics):
            on_metrics(np.int64(step), {name: np.float32(value) for name, value in metrics.items()})

        trained = super().train(run, make_optimizer, on_metrics=measured, **calls)
        metrics = {name: torch.tensor(value) for name, value in trained.metrics.items()}
        return replace(trained, step=np.int64(trained.step), metrics=metrics)


def test_a_workload_may_measure_in_numbers_of_any_kind(valley_spec, interruption, monkeypatch, hermetic, capfd):
    """Its checkpoint and its record can be kept on the disk all the same."""
    (trial,) = confirm_trials(valley_spec(optimizers=["sgd"], tunings=1))
    monkeypatch.setattr("bench.trials.training.workload", lambda _name: Numeric())
    interrupted = interruption(trial)
    with pytest.raises(KeyboardInterrupt):
        interrupted.run(2)
    outcome = interrupted.run()
    assert str(outcome.record.status) == "complete"
    WaitingRecord(STUDY, "f" * 32, "e" * 32, 1, outcome).write()
    waiting = waiting_record(STUDY, trial.id, "f" * 32, None)
    assert waiting.outcome == outcome
    assert "could not be saved" not in capfd.readouterr().err


@pytest.mark.parametrize("kind", [Forgetful, Deaf])
def test_a_workload_that_keeps_nothing_begins_anew_and_this_is_said_once(
    kind, valley_spec, interruption, monkeypatch, capfd
):
    (trial,) = confirm_trials(valley_spec(steps=30, optimizers=["sgd"], tunings=1))
    monkeypatch.setattr("bench.trials.training.workload", lambda _name: kind())
    interrupted = interruption(trial)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            interrupted.run(3)
    assert interrupted.fetched() is None
    seen = []
    assert row(interrupted.run(on_step=lambda step, _: seen.append(step)).record) == row(run_trial(trial).record)
    assert seen[0] == 1
    said = f"posebench: workload {kind.name}: keeps no state in `folder`; an interrupted trial begins anew"
    assert capfd.readouterr().err.count(said) == 1


def test_what_is_kept_of_a_pose_network_is_its_state_alone(tiny_spec, interruption):
    """Weights for others to use are as large again, and a trial's are used by nobody."""
    (trial,) = confirm_trials(tiny_spec(steps=4, optimizers=["adam"], tunings=1))
    interrupted = interruption(trial)
    with pytest.raises(KeyboardInterrupt):
        interrupted.run(2)
    assert sorted(files_in(interrupted.fetched())) == [PROGRESS, f"{STATE}/resume.pt"]


# --- workers --------------------------------------------------------------------------------------------------------


class Bench:
    """A study of one round of tune trials, whose workers keep checkpoints."""

    def __init__(self, spec, storage_url, tracking_uri, shared):
        self.spec, self.shared = spec, shared
        self.ledger = Ledger(storage_url, spec.name, spec.identity())
        self.tracker = Tracker(tracking_uri, spec.name)
        self.settings = WorkerSettings(
            storage_url,
            tracking_uri,
            spec.name,
            spec.identity(),
            self.tracker.open_study(spec, {}),
            spec.data,
            TRIALS,
            checkpoints=None if shared is None else str(shared),
        )
        self.ledger.enqueue(first_trials(spec))

    def work(self, interruption, stop_after=None):
        """Work all off; ``stop_after``: the trial's look at which this process is interrupted."""
        looks = iter(range(10**9))
        stops = (lambda: False) if stop_after is None else lambda: next(looks) == stop_after
        with interruption.context() as changed:
            changed.setattr(checkpoints.interruption, "stop_requested", stops)
            work(self.settings)


@pytest.fixture
def make_bench(storage_url, new_store):
    return lambda spec, name, shared: Bench(
        spec.model_copy(update={"name": name}), storage_url, new_store(name), shared
    )


@pytest.mark.parametrize("pruner", [long("median"), "hyperband"])
def test_a_continued_trial_is_pruned_as_if_never_interrupted(make_bench, valley_spec, monkeypatch, tmp_path, pruner):
    """Its pruner hears of the scores of all its parts, some of which are interrupted between two evaluations."""
    spec = valley_spec(
        {"noise": 3.0},
        optimizers=["sgd"],
        spaces={"sgd": {"lr": {"log": [0.05, 0.95]}}},
        tunings=1,
        trials=14,
        pruner=pruner,
        tune_steps=32,
        tune_evaluations=8,
    )
    apart, whole = make_bench(spec, "apart", tmp_path / "shared"), make_bench(spec, "whole", None)
    whole.work(monkeypatch)
    for stop in (13, 10, 12, 3):
        with pytest.raises(KeyboardInterrupt):
            apart.work(monkeypatch, stop)
        assert len(files_in(tmp_path / "shared")) == 1, "the trial is given back with its checkpoint"
    apart.work(monkeypatch)
    assert files_in(tmp_path / "shared") == {}, "each is removed once its trial is recorded"

    def ends(bench):
        records = bench.tracker.records()
        return records[["status", "steps_done"]].to_dict("records"), [
            (str(trial.state), trial.intermediate_values, trial.user_attrs.get("rungs"))
            for trial in bench.ledger.trials_of_same_round(first_trials(bench.spec)[0])
        ]

    assert ends(apart) == ends(whole)
    assert "pruned" in set(whole.tracker.records()["status"])


def test_without_a_place_nothing_is_kept(make_bench, valley_spec, monkeypatch, tmp_path):
    made = []
    monkeypatch.setattr(checkpoints, "CheckpointStore", made.append)
    monkeypatch.setattr(checkpoints, "_local_folder", made.append)
    make_bench(valley_spec(tunings=1), "plain", None).work(monkeypatch)
    assert made == []
