"""A study that is interrupted and killed: what was recorded is kept, and the same command brings it to its end."""

import contextlib
import json
import os
import signal
import sqlite3
from pathlib import Path

import psutil
import pytest

from bench.ledger.reader import LOST, RUNNING, WAITING
from tests.support.long_tests import long
from tests.support.place import PLANNED, VALLEY_FILE, WORKERS
from tests.support.running_study import DEADLINE_S, OnTerminal, ended, entries, holding, output, wait_for

FIRST = 4
"""Trials that are planned before any has run."""
SLOW_FILE = VALLEY_FILE + "sleep_ms = 20\n"
"""Its trials take half a second: long enough to be met, short enough to be run."""


def wait_for_records(place, process, wanted):
    wait_for(lambda: len(place.recorded()) >= wanted, process, place)


def assert_given_back(place):
    """No trial is in anybody's hands, and no MLflow run is left open."""
    assert entries(place, RUNNING, LOST) == []
    assert len(entries(place, WAITING)) == FIRST
    assert set(place.run_states()) == {"KILLED"}


@pytest.mark.long
def test_a_study_survives_an_interruption_and_a_kill(place):
    (place.folder / "slow.toml").write_text(SLOW_FILE)
    command = (*place.study_of("slow.toml"), "--json")

    process = place.start(*command)
    try:
        wait_for_records(place, process, 1)
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_S) == 130
    finally:
        process.kill()
        process.wait()
    assert f"recorded. Go on with it:\n  posebench study resume {place.name}" in output(place)
    assert "Traceback" not in output(place)
    assert "\x1b" not in output(place), "no control characters on a pipe"
    first = place.recorded()
    assert 1 <= len(first) < PLANNED
    assert place.query("SELECT status FROM runs WHERE name = 'optimizers-smoke-people'") == [("KILLED",)]

    half = place.run("report", place.name, "--json")
    assert half.returncode == 0, half.stderr
    found = json.loads(half.stdout)
    assert found["status"] == "unfinished"
    assert found["trials"]["recorded"] == len(first)
    assert f"{len(first)} of {PLANNED} trials" in (place.folder / found["report"]).read_text()

    process = place.start("study", "resume", place.name, "--json")
    try:
        wait_for_records(place, process, len(first) + 1)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    second = place.recorded()
    assert len(first) < len(second) < PLANNED
    assert place.run_states().get("RUNNING", 0) >= 1, "killed in the middle, it has left its own run open"

    last = place.run(*command)
    assert last.returncode == 0, last.stderr
    found = json.loads(last.stdout)
    assert found["status"] == "complete"
    assert found["trials"]["complete"] == PLANNED
    recorded = place.recorded()
    assert len(recorded) == len(set(recorded)) == PLANNED
    assert set(first) <= set(second) <= set(recorded)
    states = place.run_states()
    assert states["FINISHED"] == PLANNED + 1
    assert set(states) <= {"FINISHED", "KILLED"}


@pytest.mark.parametrize("workers", [long(1), long(2)])
def test_sigterm_gives_the_trials_back(place, workers):
    """As clusters send it: to every process of the job, and more than once."""
    place.forked_starts = WORKERS
    with ended(place.start(*place.long_study, "--workers", workers)) as process:
        wait_for(lambda: holding(place, workers), process, place)
        held = entries(place, RUNNING)
        for entry in held:
            psutil.Process(entry.pid).send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 130
        assert not any(psutil.pid_exists(entry.pid) for entry in held)
    assert f"0 of {PLANNED} trials are recorded. Go on with it:\n  posebench study resume {place.name}" in output(place)
    assert "Traceback" not in output(place)
    assert_given_back(place)


def test_ctrl_c_in_a_terminal_gives_the_trials_of_two_workers_back(place):
    """The terminal sends it to all processes at once; `study status` looks on from another one."""
    place.forked_starts = WORKERS
    check_ctrl_c_of_two_workers(place)


def check_ctrl_c_of_two_workers(place):
    with OnTerminal(place, *place.long_study, "--workers", 2) as process:
        wait_for(lambda: holding(place, 2), process, place)
        status = json.loads(place.run("study", "status", place.name, "--json").stdout)
        assert status["status"] == "running"
        assert (status["trials"]["running"], status["trials"]["waiting"], status["workers"]) == (2, PLANNED - 2, 2)
        assert {found["pid"] for found in status["running"]} == {entry.pid for entry in entries(place, RUNNING)}
        process.type(b"\x03")
        assert process.wait() == 130
    assert_given_back(place)
    shown = output(place)
    assert "Traceback" not in shown
    assert f"{place.name}: running with 2 workers" in shown
    assert "\x1b[?25l" in shown, "a live table hides the cursor"
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l"), "and gives it back"
    assert f"0 of {PLANNED} trials are recorded. Go on with it:" in shown
    assert f"posebench study resume {place.name}" in shown
    after = json.loads(place.run("study", "status", place.name, "--json").stdout)
    assert (after["status"], after["trials"]["running"], after["trials"]["waiting"]) == ("unfinished", 0, PLANNED)


@pytest.mark.parametrize("workers", [1, long(2)])
def test_ctrl_c_twice_ends_at_once_and_the_same_command_goes_on(place, workers):
    """The second one comes while the first is stuck: somebody else's transaction locks the ledger."""
    place.forked_starts = WORKERS
    (place.folder / "slow.toml").write_text(SLOW_FILE)
    command = (*place.study_of("slow.toml"), "--workers", workers)
    with ended(place.start(*command)) as process:
        wait_for(lambda: holding(place, workers), process, place)
        held = [psutil.Process(entry.pid) for entry in entries(place, RUNNING)]
        lock = sqlite3.connect(place.folder / "optuna.db", timeout=30, isolation_level=None)
        with contextlib.closing(lock):
            lock.execute("BEGIN IMMEDIATE")
            process.send_signal(signal.SIGINT)
            wait_for(lambda: place.run_states().get("KILLED", 0) == workers, process, place)
            process.send_signal(signal.SIGINT)
            assert process.wait(DEADLINE_S) == 130
            _, alive = psutil.wait_procs(held, timeout=DEADLINE_S)
            assert alive == []
    assert "ended at once" in output(place)
    assert "Traceback" not in output(place)
    assert len(entries(place, LOST)) == workers
    if workers > 1:
        return  # what goes on is the same with one

    last = place.run(*command, "--json")
    assert last.returncode == 0, last.stderr
    assert json.loads(last.stdout)["trials"]["complete"] == PLANNED
    assert len(place.recorded()) == len(set(place.recorded())) == PLANNED
    assert set(place.run_states()) <= {"FINISHED", "KILLED"}


@pytest.mark.long
def test_workers_end_with_the_process_that_started_them(place):
    """It was killed, and could tell them nothing."""
    place.forked_starts = WORKERS
    with ended(place.start(*place.long_study, "--workers", 2)) as process:
        wait_for(lambda: holding(place, 2), process, place)
        workers = [psutil.Process(entry.pid) for entry in entries(place, RUNNING)]
        process.kill()
        _, alive = psutil.wait_procs(workers, timeout=DEADLINE_S)
        assert alive == []
    assert entries(place, RUNNING, LOST) == []
    assert "Traceback" not in output(place)


def test_ctrl_c_while_data_is_made_and_while_libraries_are_loaded(pose_place):
    """To be met while it loads its libraries it is started as installed."""
    place = pose_place
    command = ("study", "optimizers", "--preset", "smoke", "--study", "tiny.toml")

    def is_made():
        return any((place.folder / "data").rglob("*.jpg")) if (place.folder / "data").exists() else False

    def is_loaded(process):
        try:
            return "libtorch" in Path(f"/proc/{process.pid}/maps").read_text()
        except OSError:
            pytest.skip("no /proc to see what is being loaded")

    for state, start in ((is_loaded, place.start_installed), (lambda _process: is_made(), place.start)):
        with ended(start(*command)) as process:
            wait_for(lambda: state(process), process, place)  # noqa: B023 (waited for at once)
            process.send_signal(signal.SIGINT)
            assert process.wait(DEADLINE_S) == 130
    assert output(place).count("interrupted") == 2
    assert "Traceback" not in output(place)
    assert not (place.folder / "optuna.db").exists()
    assert not (place.folder / "reports").exists()
