"""When a running trial's worker is taken for dead: by its process where it ran, elsewhere by its silence."""

import multiprocessing
import os

import psutil
import pytest

from bench.ledger import format as ledger_format
from bench.ledger.format import (
    CLAIMANT,
    DRIVER,
    GRACE_S,
    HEARTBEAT,
    OWNER,
    is_same_process,
    is_stale,
    lives,
    this_process,
)

SEEN = 1000.0
HEARD, SILENT = {HEARTBEAT: SEEN}, {HEARTBEAT: SEEN - 0.001}
"""Of now: as long ago as a worker may be silent, and a moment longer."""


@pytest.fixture(autouse=True)
def now(monkeypatch):
    monkeypatch.setattr(ledger_format.time, "time", lambda: SEEN + GRACE_S)


@pytest.fixture(scope="module")
def dead():
    """A process of this host that has ended."""
    child = multiprocessing.get_context("fork").Process(target=int)
    child.start()
    child.join()
    return {**this_process(), "pid": child.pid}


def elsewhere(process):
    return {**process, "host": "another"}


def driver(process):
    return {DRIVER: {name: process[name] for name in ("pid", "started")}}


def test_a_worker_of_this_host_is_judged_by_its_process(dead):
    here = this_process()
    assert not is_stale({OWNER: here, **SILENT}, None)
    assert is_stale({OWNER: dead, **HEARD}, None)
    assert is_stale({OWNER: dead, **HEARD}, None, judge_others=False)
    assert is_stale({OWNER: {**here, "started": here["started"] - 60}, **HEARD}, None), "a later one with its number"


def test_a_dead_worker_is_left_to_its_driver_while_heartbeats_are_fresh(dead):
    parent = psutil.Process(os.getppid())
    living = driver({"pid": parent.pid, "started": parent.create_time()})
    assert not is_stale({OWNER: {**dead, **living}, **HEARD}, None)
    assert is_stale({OWNER: {**dead, **living}, **SILENT}, None)
    assert is_stale({OWNER: {**dead, **driver(dead)}, **HEARD}, None)
    assert is_stale({OWNER: {**dead, **driver(this_process())}, **HEARD}, None), "its driver is who asks"


@pytest.mark.parametrize("owner", [{}, {OWNER: elsewhere({"pid": 1, "started": 5.0})}], ids=["nobody", "elsewhere"])
def test_one_of_another_host_is_judged_by_its_silence(owner):
    assert not is_stale({**owner, **HEARD}, None)
    assert is_stale({**owner, **SILENT}, SEEN), "its heartbeat counts, and not its begin"
    assert not is_stale(owner, SEEN)
    assert is_stale(owner, SEEN - 0.001)
    assert is_stale(owner, None)
    assert not is_stale({**owner, **SILENT}, None, judge_others=False)


def test_those_who_tried_to_claim_it_in_an_earlier_version(dead):
    one, other = f"{CLAIMANT}1", f"{CLAIMANT}2"
    assert is_stale({one: dead, **HEARD}, None)
    assert is_stale({one: dead, other: dead}, SEEN, judge_others=False)
    assert not is_stale({one: dead, other: this_process(), **HEARD}, None)
    assert not is_stale({one: dead, other: elsewhere(dead), **HEARD}, None)
    assert not is_stale({one: dead, OWNER: elsewhere(dead), **HEARD}, None), "it has an owner"


def test_a_process_is_known_by_host_number_and_start(dead):
    here = this_process()
    assert is_same_process(here, {**here, "started": here["started"] + 0.01})
    for other in (elsewhere(here), dead, {**here, "started": here["started"] + 60}):
        assert not is_same_process(here, other)
    assert not is_same_process(None, here)
    assert lives(here["pid"], here["started"])
    assert not lives(here["pid"], here["started"] + 60)
    assert not lives(dead["pid"], here["started"])


def test_a_process_that_nobody_has_waited_for_is_dead():
    child = multiprocessing.get_context("fork").Process(target=int)
    child.start()
    process = psutil.Process(child.pid)
    started = process.create_time()
    while process.status() != psutil.STATUS_ZOMBIE:
        pass
    assert not lives(child.pid, started)
    child.join()
