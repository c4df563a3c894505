"""Records that wait on disk: they come back to the last bit, damaged ones are left, a later session sends them."""

import json
import math
import shutil
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from bench.engines import claimed_trial
from bench.engines.claimed_trial import ClaimedTrial, Runner
from bench.engines.events import TrialBegan, TrialEnded, TrialStepped
from bench.engines.recording import _Sending
from bench.engines.worker import work
from bench.ledger.reader import read_study
from bench.records.waiting import (
    WAITING,
    WaitingRecord,
    remove_recorded,
    waiting_record,
    waiting_trials,
)
from bench.storage.addresses import RECORDS
from bench.storage.patience import Outage, ServerAwayError
from bench.trials.outcome import Outcome
from bench.trials.record import CurvePoint, make_record
from bench.trials.status import Status
from bench.workloads.protocol import Samples
from tests.bench.test_worker import Bench
from tests.support.plans import first_trials

PARENT, RUN = "f" * 32, "e" * 32
ENDED_MS = 1_700_000_000_123
SHEET = b"\xff\xd8 a picture"
NUMBERS = {"ap": 0.1 + 0.2, "third": 1 / 3, "smallest": 5e-324, "val_loss": -1e-17}
CURVE = [
    CurvePoint(1, {"loss": math.inf, "lr": 0.1}, ENDED_MS - 20),
    CurvePoint(2, {"loss": 1 / 3, "ap": 0.5}, ENDED_MS - 10),
]
SAMPLES = Samples({"images": [{"file": "é.jpg"}], "annotations": [], "predictions": []}, SHEET)


@pytest.fixture
def trial(valley_spec):
    return first_trials(valley_spec())[0]


@pytest.fixture
def waiting(trial, hermetic):
    """A record of every kind of value, which waits."""
    record = make_record(trial, Status.COMPLETE, steps_done=2, metrics=NUMBERS, error='it\'s "so"\nand é')
    found = WaitingRecord("mine", PARENT, RUN, ENDED_MS, Outcome(record, CURVE, SAMPLES))
    found.write()
    return found


def read(waiting, **changes):
    wanted = {
        "study": "mine",
        "trial_id": waiting.trial_id,
        "parent_run": PARENT,
        "data_digest": waiting.outcome.record.data_digest,
    }
    return waiting_record(**wanted | changes)


def test_a_record_comes_back_to_the_last_bit(waiting):
    assert read(waiting) == waiting
    assert waiting_trials("mine", PARENT, None) == [waiting.trial_id]
    assert waiting.file == WAITING / "mine" / f"{waiting.trial_id}-{RUN}.json"


@pytest.mark.parametrize("samples", [None, Samples({"images": []}, None)], ids=["no samples", "no sheet"])
def test_one_without_pictures_has_one_file(waiting, samples):
    waiting.remove()
    plain = replace(waiting, outcome=waiting.outcome._replace(samples=samples))
    plain.write()
    assert [file.name for file in plain.file.parent.iterdir()] == [plain.file.name]
    assert read(plain) == plain


def test_what_is_removed_leaves_nothing(waiting, hermetic):
    other = replace(waiting, study="other")
    other.write()
    waiting.remove()
    assert read(waiting) is None
    assert [each.name for each in WAITING.iterdir()] == ["other"]
    other.remove()
    assert not WAITING.parent.exists()
    other.remove()  # twice is once


def damage(change):
    def act(waiting):
        waiting.file.write_text(change(waiting.file.read_text()))

    return act


def other_format(text):
    content = json.loads(text)
    return text.replace('"format": 1', '"format": 2') if content["document"]["format"] == 1 else ""


DAMAGES = {
    "cut in half": damage(lambda text: text[: len(text) // 2]),
    "empty": damage(lambda text: ""),
    "no object": damage(lambda text: "[]"),
    "another number": damage(lambda text: text.replace("0.30000000000000004", "0.30000000000000014")),
    "of a later version": damage(other_format),
    "no text": lambda waiting: waiting.file.write_bytes(b"\xff\xfe\x00"),
    "another picture": lambda waiting: waiting.file.with_suffix(".jpg").write_bytes(SHEET + b"!"),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_one_is_named_and_left(waiting, capsys, what):
    DAMAGES[what](waiting)
    before = waiting.file.read_bytes()
    assert read(waiting) is None
    said = capsys.readouterr().err
    assert f"{waiting.file} is damaged, or of another version" in said
    assert waiting_trials("mine", PARENT, None) == []
    assert said.count("\n") == 1
    assert waiting.file.read_bytes() == before


FOREIGN = {
    "store": ({"parent_run": "a" * 32}, "belongs to another study or trial"),
    "data": ({"data_digest": "other"}, "was measured on other data (valley, now other)"),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_one_of_another_study_or_data_set_is_named_and_left(waiting, capsys, what):
    changes, why = FOREIGN[what]
    assert read(waiting, **changes) is None
    assert f"{waiting.file} {why}" in capsys.readouterr().err
    assert waiting.file.exists()


def test_one_whose_picture_is_gone_is_none(waiting):
    waiting.file.with_suffix(".jpg").unlink()
    assert read(waiting) is None


def test_no_record_replaces_that_of_another_store_or_a_damaged_one(waiting, capsys):
    elsewhere = replace(waiting, parent_run="a" * 32, run_id="b" * 32)
    elsewhere.write()
    assert read(waiting) == waiting
    assert f"{elsewhere.file} belongs to another study" in capsys.readouterr().err
    DAMAGES["cut in half"](waiting)
    later = replace(waiting, run_id="c" * 32, ended_ms=ENDED_MS + 1)
    later.write()
    assert read(waiting) == later
    assert read(elsewhere, parent_run="a" * 32) == elsewhere
    remove_recorded("mine", PARENT, {waiting.trial_id}.__contains__)
    assert {file.name for file in WAITING.glob("*/*.json")} == {waiting.file.name, elsewhere.file.name}


def test_of_two_records_of_a_trial_the_older_one_counts(waiting):
    later = replace(waiting, run_id="0" * 32, ended_ms=ENDED_MS + 1)
    later.write()
    assert read(waiting) == waiting
    assert waiting_trials("mine", PARENT, None) == [waiting.trial_id]
    remove_recorded("mine", PARENT, {waiting.trial_id}.__contains__)
    assert not WAITING.exists()


@pytest.mark.parametrize("name", ["{}.jpg", "{}.jpg.part", "{}.json.part"])
def test_what_a_killed_process_has_left_goes_once_the_trial_is_recorded(waiting, name):
    waiting.remove()
    left = waiting.file.with_name(name.format(waiting.file.stem))
    left.parent.mkdir(parents=True)
    left.write_bytes(SHEET)
    remove_recorded("mine", PARENT, {"another trial"}.__contains__)
    assert left.exists(), "its record may be written just now"
    remove_recorded("mine", PARENT, {waiting.trial_id}.__contains__)
    assert not WAITING.exists()


def test_recorded_ones_are_removed_and_others_stay(waiting):
    remove_recorded("mine", PARENT, {"another trial"}.__contains__)
    remove_recorded("mine", "a" * 32, {waiting.trial_id}.__contains__)
    assert read(waiting) == waiting
    remove_recorded("mine", PARENT, {waiting.trial_id}.__contains__)
    assert not WAITING.exists()
    remove_recorded("mine", PARENT, {waiting.trial_id}.__contains__)


def test_a_folder_that_takes_no_file_is_an_error(waiting, hermetic):
    waiting.remove()
    Path(".posebench").write_text("a file")
    with pytest.raises(OSError, match=r"\.posebench"):
        waiting.write()


# A later session.


def test_one_that_no_file_can_hold_waits_in_memory(bench, trial, hermetic, capsys):
    samples = Samples({"images": [np.float32(1)]}, None)
    record = make_record(trial, Status.COMPLETE, steps_done=2, metrics=NUMBERS)
    ended = WaitingRecord(bench.spec.name, bench.parent, RUN, ENDED_MS, Outcome(record, CURVE, samples))
    claim = bench.ledger.claim()
    sending = _Sending(ended, claim.key, bench.ledger, bench.tracker, lambda *_: None, on_disk=False)
    sending.on_outage(Outage(RECORDS, time.time()))
    assert f"the record cannot be kept in {ended.file} (Object of type float32" in capsys.readouterr().err
    assert not sending.on_disk
    assert waiting_trials(bench.spec.name, bench.parent, trial.data_digest) == []


def test_a_record_waits_from_the_first_outage_on(bench, trial, storage_url):
    record = make_record(trial, Status.COMPLETE, steps_done=2, metrics=NUMBERS)
    ended = WaitingRecord(bench.spec.name, bench.parent, RUN, ENDED_MS, Outcome(record, CURVE, None))
    claim = bench.ledger.claim()
    sending = _Sending(ended, claim.key, bench.ledger, bench.tracker, lambda *_: None, on_disk=False)

    def awaited():
        return {each.awaiting_since for each in read_study(storage_url, bench.spec.name).entries} - {None}

    sending.on_outage(None)
    assert (sending.on_disk, sending.failed_at, awaited()) == (False, None, set())
    sending.on_outage(Outage(RECORDS, 100.0))
    sending.on_outage(Outage(RECORDS, 200.0))
    sending.on_outage(None)
    assert (sending.on_disk, sending.failed_at, awaited()) == (True, 100.0, {200.0})
    assert ended.file.is_file()


@pytest.fixture
def bench(storage_url, tracking_uri, valley_spec):
    return Bench(valley_spec(tunings=1), storage_url, tracking_uri)


def leave_waiting(bench, trial, **changes):
    """What a session leaves that ended while the server was away: a run that was begun, and the record on disk."""
    run_id = bench.tracker.start_trial(trial, bench.parent)
    bench.tracker.abandon()
    record = make_record(trial, Status.COMPLETE, steps_done=20, metrics={"ap": 0.25, "val_loss": 1.5})
    found = WaitingRecord(bench.spec.name, bench.parent, run_id, ENDED_MS, Outcome(record, CURVE[1:], SAMPLES_OF_OURS))
    found = replace(found, **changes)
    found.write()
    return found


SAMPLES_OF_OURS = Samples({"images": [], "annotations": [], "predictions": []}, None)


JPEG = cv2.imencode(".jpg", np.full((32, 32, 3), 128, np.uint8))[1].tobytes()


def stepped(bench):
    return {event.trial_id for event in bench.events if isinstance(event, TrialStepped)}


def test_a_later_session_sends_it_instead_of_training_again(bench):
    waiting = leave_waiting(bench, bench.plan[0])
    bench.work()
    assert bench.tracker.recorded(waiting.trial_id) == waiting.outcome.record
    assert stepped(bench) == {bench.plan[1].id}
    assert [type(event) for event in bench.events[:2]] == [TrialBegan, TrialEnded]
    assert bench.ledger.counts() == {"complete": 2}
    assert bench.run_states() == {"FINISHED": 2}
    assert not WAITING.exists()
    rows = bench.tracker.records().set_index("trial_id")
    assert (rows["run_id"][waiting.trial_id], rows["ended_ms"][waiting.trial_id]) == (waiting.run_id, ENDED_MS)
    curve = bench.tracker.curves(bench.tracker.records()[:1])
    assert [tuple(point) for point in curve[["step", "loss", "ap"]].to_numpy()] == [(2, 1 / 3, 0.5)]
    assert bench.tracker.samples(waiting.run_id) == SAMPLES_OF_OURS


@pytest.mark.parametrize("times", [1, 1000])
def test_a_folder_that_another_process_has_just_removed_is_made_again(bench, monkeypatch, times):
    """Who sends the last record of a folder removes it."""
    waiting = leave_waiting(bench, bench.plan[1])
    shutil.rmtree(WAITING)
    write, missed = type(waiting)._write, iter(range(times))

    def missing_at_first(record):
        if next(missed, None) is not None:
            raise FileNotFoundError(record.file)
        write(record)

    monkeypatch.setattr(type(waiting), "_write", missing_at_first)
    with nullcontext() if times == 1 else pytest.raises(FileNotFoundError):
        waiting.write()
    assert waiting.file.exists() == (times == 1)


def test_it_is_sent_before_anything_is_trained(bench):
    waiting = leave_waiting(bench, bench.plan[1])
    bench.work()
    began = [event.trial.trial_id for event in bench.events if isinstance(event, TrialBegan)]
    assert began == [waiting.trial_id, bench.plan[0].id]
    assert stepped(bench) == {bench.plan[0].id}


def kept_trial(bench):
    """A claimed trial, and its result on the disk, which has come before its run was begun."""
    trial = ClaimedTrial(bench.ledger.claim(), bench.settings, bench.ledger, bench.tracker, bench.on_event)
    record = make_record(trial.resolve(), Status.COMPLETE, steps_done=20, metrics={"ap": 0.25, "val_loss": 1.5})
    outcome = Outcome(record, CURVE[1:], SAMPLES_OF_OURS)
    trial.keep(outcome, ENDED_MS / 1000)
    assert waiting_trials(bench.spec.name, bench.parent, record.data_digest) == [record.trial_id]
    return trial, outcome


def test_what_an_interruption_made_fail_is_no_result(bench, monkeypatch):
    """A library may turn an interruption into an error of its own: the trial is given back."""
    trial, kept = kept_trial(bench)

    def interrupted():
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(claimed_trial, "interruption", SimpleNamespace(check=interrupted))
        trial.finish(kept._replace(record=replace(kept.record, status=Status.FAILED)))
    assert bench.tracker.recorded(kept.record.trial_id) is None


def test_a_result_that_its_process_has_kept_is_sent_by_a_later_session(bench):
    trial, outcome = kept_trial(bench)
    bench.ledger.put_back(trial.claim.key)
    bench.work()
    assert bench.tracker.recorded(outcome.record.trial_id) == outcome.record
    assert outcome.record.trial_id not in stepped(bench)
    assert bench.run_states() == {"FINISHED": 2}
    assert not WAITING.exists()


def test_a_result_that_is_kept_and_recorded_at_once_is_as_any_other(bench):
    trial, outcome = kept_trial(bench)
    trial.open(trial.claim.spec, Runner.here())
    trial.finish(outcome, ENDED_MS / 1000)
    assert bench.tracker.recorded(outcome.record.trial_id) == outcome.record
    assert bench.run_states() == {"FINISHED": 1}
    assert not WAITING.exists()
    bench.work()
    tags = [{*run.data.tags} for run in bench.tracker.client.search_runs([bench.tracker.experiment_id])]
    first, second = [each for each in tags if "posebench.trial" in each]
    assert first == second


def test_a_fault_is_not_kept(bench):
    trial = ClaimedTrial(bench.ledger.claim(), bench.settings, bench.ledger, bench.tracker, bench.on_event)
    record = make_record(trial.resolve(), Status.FAILED, steps_done=2, metrics={}, error="an interruption?")
    trial.keep(Outcome(record, []), ENDED_MS / 1000)
    assert not WAITING.exists()


def test_planning_that_finds_the_server_away_has_its_own_error(bench, monkeypatch):
    """The record is in both stores by then."""
    waiting = leave_waiting(bench, bench.plan[0])

    def plan(event):
        if isinstance(event, TrialEnded):
            raise ServerAwayError("the planning")

    with pytest.raises(ServerAwayError, match=r"^the planning$"):
        work(bench.settings, plan)
    assert bench.tracker.recorded(waiting.trial_id) == waiting.outcome.record
    assert bench.ledger.counts() == {"complete": 1, "waiting": 1}
    assert not WAITING.exists()


def test_its_run_may_have_been_deleted(bench):
    waiting = leave_waiting(bench, bench.plan[0])
    bench.tracker.client.delete_run(waiting.run_id)
    bench.work()
    row = bench.tracker.records().set_index("trial_id").loc[waiting.trial_id]
    assert (row["ap"], row["started_ms"], row["ended_ms"]) == (0.25, ENDED_MS, ENDED_MS)
    assert row["run_id"] != waiting.run_id
    assert stepped(bench) == {bench.plan[1].id}


def test_one_that_was_recorded_elsewhere_is_removed(bench):
    waiting = leave_waiting(bench, bench.plan[0])
    run = bench.tracker.start_trial(bench.plan[0], bench.parent)
    record = replace(waiting.outcome.record, metrics={"ap": 0.75})
    bench.tracker.record_trial(run, record, [])
    bench.work()
    assert bench.tracker.recorded(waiting.trial_id) == record
    assert stepped(bench) == {bench.plan[1].id}
    assert not WAITING.exists()


def test_one_that_cannot_be_used_is_left_and_its_trial_runs(bench, capsys):
    waiting = leave_waiting(bench, bench.plan[0], parent_run="a" * 32)
    bench.work()
    assert stepped(bench) == {trial.id for trial in bench.plan}
    assert bench.ledger.counts() == {"complete": 2}
    assert waiting.file.exists()
    assert "belongs to another study" in capsys.readouterr().err


def test_half_of_it_may_be_in_mlflow_already(bench):
    """The server ended between its curve and its record; what is written twice is there once."""
    waiting = leave_waiting(bench, bench.plan[0])
    waiting = replace(waiting, outcome=waiting.outcome._replace(samples=Samples(SAMPLES_OF_OURS.document, JPEG)))
    waiting.write()
    tracker = bench.tracker
    tracker.record_trial(waiting.run_id, *waiting.outcome, ended_ms=ENDED_MS)
    tracker.client.delete_tag(waiting.run_id, "posebench.recorded")
    tracker.client.set_terminated(waiting.run_id, "KILLED")
    bench.work()
    assert tracker.recorded(waiting.trial_id) == waiting.outcome.record
    for name in ("final.ap", "loss", "ap"):
        assert len(tracker.client.get_metric_history(waiting.run_id, name)) == 1, name
    images = tracker.client.list_artifacts(waiting.run_id, "images")
    assert len(images) == 2, "the picture, and a small copy"
    assert bench.run_states() == {"FINISHED": 2}


def test_ordinary_sessions_leave_no_folder(bench, hermetic):
    bench.work()
    assert not (hermetic / ".posebench").exists()
