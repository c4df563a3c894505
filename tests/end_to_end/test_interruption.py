"""A study that is interrupted and killed: what was recorded is kept, and the same command brings it to its end."""

import json
import os
import signal
import time

PLANNED = 6


def wait_for_records(place, process, wanted):
    deadline = time.monotonic() + 180
    while len(place.recorded()) < wanted:
        assert process.poll() is None, (place.folder / "output.txt").read_text()
        assert time.monotonic() < deadline, f"{len(place.recorded())} of {wanted} records after 3 minutes"
        time.sleep(0.02)


def test_a_study_survives_an_interruption_and_a_kill(place):
    command = (*place.study, "--steps", "4", "--tune-steps", "4", "--json")

    process = place.start(*command)
    try:
        wait_for_records(place, process, 1)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    finally:
        process.kill()
        process.wait()
    output = (place.folder / "output.txt").read_text()
    assert "interrupted" in output
    assert "Traceback" not in output
    first = place.recorded()
    assert 1 <= len(first) < PLANNED
    assert place.query("SELECT status FROM runs WHERE name = 'optimizers-smoke-people'") == [("KILLED",)]

    half = place.run("report", place.name, "--json")
    assert half.returncode == 0, half.stderr
    found = json.loads(half.stdout)
    assert found["status"] == "unfinished"
    assert found["trials"]["recorded"] == len(first)
    assert f"{len(first)} of {PLANNED} trials" in (place.folder / found["report"]).read_text()

    process = place.start(*command)
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
