"""A command that runs no trial itself tells of what the workers of other commands record."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from bench.engines import following
from bench.engines.events import TrialEnded
from bench.engines.following import POLL_S, Following
from bench.engines.stint import Stint
from bench.engines.worker import work
from tests.bench.test_worker import Bench


@pytest.fixture
def bench(valley_spec, storage_url, tracking_uri):
    """A study of four trials in one round."""
    return Bench(valley_spec(tunings=2), storage_url, tracking_uri)


def test_who_follows_hears_of_each_record_that_is_new_and_leaves_at_the_end(bench, hermetic, monkeypatch):
    """One trial had ended before; then others end one, none and two at a time."""
    events, waits, ended_at_once = [], [], [1, 0, 2]

    def work_elsewhere(number):
        stint = Stint(hermetic / f"stint {len(waits)}", trials=number)
        stint.folder.mkdir()
        work(replace(bench.settings, stint=stint))

    def sleep(seconds):
        waits.append(seconds)
        work_elsewhere(ended_at_once.pop(0))

    work_elsewhere(1)
    monkeypatch.setattr(following, "time", SimpleNamespace(sleep=sleep))
    Following(events.append).work_off(bench.settings)
    assert waits == [POLL_S] * 3
    assert all(isinstance(event, TrialEnded) and event.seconds > 0 for event in events)
    assert [event.ended for event in events] == [2, 4, 4]
    ids = [event.record.trial_id for event in events]
    assert {*ids} == {trial.id for trial in bench.plan[1:]}
    assert ids[1:] == sorted(ids[1:])
