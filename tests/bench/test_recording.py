"""One record on its way to MLflow: what an attempt does, and what it leaves where the server is away or the owner lost.

What then happens in a later session: `test_waiting_records.py`.
"""

from types import SimpleNamespace

import pytest

from bench.engines import interruption, recording
from bench.engines.recording import Sent, _Sending, send_record
from bench.ledger.reader import read_study
from bench.ledger.store import Ledger
from bench.records.waiting import WaitingRecord
from bench.records.writer import Tracker
from bench.storage import patience
from bench.storage.addresses import RECORDS
from bench.storage.patience import Outage, ServerAwayError
from bench.storage.patience_setting import PATIENCE_VARIABLE
from bench.trials.outcome import Outcome
from bench.trials.record import make_record
from bench.trials.status import Status
from tests.bench.test_worker import Bench

ENDED_MS = 1_700_000_000_123
SINCE = 100.0


@pytest.fixture(autouse=True)
def seven_seconds_later(monkeypatch):
    """Each attempt is made 7 s after the first outage; a server is asked again after no time."""
    monkeypatch.setattr(recording, "time", SimpleNamespace(time=lambda: SINCE + 7))
    monkeypatch.setattr(patience, "FIRST_PAUSE_S", 0.001)


class Way:
    """A claimed trial with its result, and whatever is told of it."""

    def __init__(self, bench):
        self.bench, self.claim, self.finished = bench, bench.ledger.claim(), []
        record = make_record(self.claim.spec, Status.COMPLETE, steps_done=2, metrics={"ap": 0.25})
        run = bench.tracker.start_trial(self.claim.spec, bench.parent)
        self.ended = WaitingRecord(bench.spec.name, bench.parent, run, ENDED_MS, Outcome(record, [], None))

    @property
    def record(self):
        return self.ended.outcome.record

    def arguments(self):
        return self.ended, self.claim.key, self.bench.ledger, self.bench.tracker, self.finish

    def finish(self, *told):
        self.finished.append(told)

    def sending(self, *, on_disk=False, kept=False):
        return _Sending(*self.arguments(), on_disk=on_disk, kept=kept)

    def send(self, **where):
        return send_record(*self.arguments(), **where)

    def awaiting_since(self):
        entries = read_study(self.bench.settings.storage_url, self.bench.spec.name).entries
        return next(each.awaiting_since for each in entries if each.trial_id == self.record.trial_id)

    def record_elsewhere(self):
        tracker = self.bench.tracker
        record = make_record(self.claim.spec, Status.COMPLETE, steps_done=2, metrics={"ap": 0.75})
        tracker.record_trial(tracker.start_trial(self.claim.spec, self.bench.parent), record, [])
        return record


@pytest.fixture
def way(storage_url, tracking_uri, valley_spec):
    return Way(Bench(valley_spec(tunings=1), storage_url, tracking_uri))


def test_a_server_that_answers_gets_the_record_at_once(way):
    assert way.send() == Sent(way.record, 0.0)
    assert way.finished == [(way.record, 0.0)]
    assert way.bench.tracker.recorded(way.record.trial_id) == way.record
    assert not way.ended.file.exists()


def test_the_first_attempt_asks_nobody_whether_the_trial_was_recorded(way):
    """Nobody else had its run; asking would take as long as recording does."""
    way.record_elsewhere()
    assert way.sending().attempt() == Sent(way.record, 0.0)


def test_a_later_attempt_says_how_long_it_took_and_clears_what_waited(way):
    sending = way.sending()
    sending.on_outage(Outage(RECORDS, SINCE))
    assert (way.awaiting_since(), way.ended.file.exists()) == (SINCE, True)
    assert sending.attempt() == Sent(way.record, 7.0)
    assert way.finished == [(way.record, 7.0)]
    assert (way.awaiting_since(), way.ended.file.exists()) == (None, False)
    assert int(way.bench.tracker.records()["ended_ms"].item()) == ENDED_MS


@pytest.mark.parametrize("on_disk", [False, True])
def test_what_another_process_has_recorded_meanwhile_counts(way, on_disk):
    """In an outage of this session, or of an earlier one that has left the file."""
    sending = way.sending(on_disk=on_disk)
    if not on_disk:
        sending.on_outage(Outage(RECORDS, SINCE))
    others = way.record_elsewhere()
    waited_s = 0.0 if on_disk else 7.0
    assert sending.attempt() == Sent(others, waited_s)
    assert way.finished == [(others, waited_s)]


@pytest.mark.parametrize("repeated", [False, True])
def test_who_has_lost_the_trial_records_nothing(way, monkeypatch, repeated):
    sending = way.sending()
    if repeated:
        sending.on_outage(Outage(RECORDS, SINCE))
    noted = []
    monkeypatch.setattr(Ledger, "is_owner", lambda *_: False)
    monkeypatch.setattr(Ledger, "note_waiting_record", lambda _ledger, *what: noted.append(what))
    assert sending.attempt() is None
    assert noted == [(way.claim.key, None)] * repeated
    assert way.finished == []
    assert way.bench.tracker.recorded(way.record.trial_id) is None


def test_an_outage_of_the_ledger_alone_keeps_the_record_and_notes_nothing(way, monkeypatch):
    def away(_ledger, _key, on_outage):
        on_outage(Outage(RECORDS, SINCE))
        on_outage(None)
        return True

    monkeypatch.setattr(Ledger, "is_owner", away)
    monkeypatch.setattr(WaitingRecord, "remove", lambda _record: None)
    assert way.sending().attempt() == Sent(way.record, 7.0)
    assert way.ended.file.exists()


def test_an_interruption_ends_the_waiting_and_not_the_first_attempt(way, monkeypatch):
    monkeypatch.setattr(interruption._State, "stop_requested", True)
    sending = way.sending()
    sending.on_outage(Outage(RECORDS, SINCE))
    with pytest.raises(KeyboardInterrupt):
        sending.attempt()
    assert way.finished == []
    assert way.ended.file.exists()
    assert way.sending().attempt() == Sent(way.record, 0.0)


def test_what_its_process_has_kept_is_not_written_again_and_goes_once_it_is_sent(way, monkeypatch):
    way.ended.write()
    monkeypatch.setattr(WaitingRecord, "write", lambda _record: pytest.fail("it is there"))
    sending = way.sending(kept=True)
    sending.keep(Outage(RECORDS, SINCE))
    assert way.ended.file.exists()
    assert way.send(kept=True) == Sent(way.record, 0.0)
    assert not way.ended.file.exists()


def test_an_answer_that_was_lost_is_found_in_the_next_attempt(way, monkeypatch):
    record, calls = Tracker.record_trial, []

    def lost(tracker, *arguments, **keywords):
        calls.append(keywords["waited"])
        record(tracker, *arguments, **keywords)
        raise ConnectionRefusedError

    monkeypatch.setattr(Tracker, "record_trial", lost)
    sent = way.send()
    assert sent.record == way.record
    assert calls == [False]
    assert not way.ended.file.exists()


@pytest.mark.parametrize("can_be_written", [True, False])
def test_a_server_that_stays_away_is_an_error_that_names_the_file(way, monkeypatch, can_be_written, capsys):
    monkeypatch.setenv(PATIENCE_VARIABLE, "0s")

    def away(*_arguments, **_keywords):
        raise ConnectionRefusedError

    def full(_record):
        raise OSError("no space left")

    monkeypatch.setattr(Tracker, "record_trial", away)
    if not can_be_written:
        monkeypatch.setattr(WaitingRecord, "write", full)
    with pytest.raises(ServerAwayError) as caught:
        way.send()
    assert str(caught.value).startswith("MLFLOW_TRACKING_URI ")
    named = f"The record of trial {way.record.trial_id} waits in {way.ended.file}: "
    assert (named in str(caught.value)) == can_be_written
    assert ("(no space left); it waits in memory alone" in capsys.readouterr().err) != can_be_written
