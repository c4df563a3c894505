"""`study list` and `study status` beside a study that runs, from another process."""

import json
import signal
import subprocess

from bench.ledger_view import RUNNING
from tests.support.running_study import DEADLINE_S, LONG, ended, entries, wait_for


def start_watcher(place):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in background
    try:
        return subprocess.Popen(
            place.command("study", "status", "--watch"),
            cwd=place.folder,
            env=place.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def test_watchers_leave_quietly_by_ctrl_c_and_when_the_study_stops(place):
    with ended(place.start(*place.study, *LONG)) as study:
        wait_for(lambda: entries(place, RUNNING), study, place)
        with ended(start_watcher(place)) as hasty, ended(start_watcher(place)) as patient:
            first = [watcher.stdout.readline() for watcher in (hasty, patient)]
            assert all(line.startswith(f"{place.name}: running, 0 of 6 trials done, 1 running") for line in first)
            hasty.send_signal(signal.SIGINT)
            assert hasty.communicate(timeout=DEADLINE_S) == ("", "")
            assert hasty.returncode == 130
            assert study.poll() is None
            study.send_signal(signal.SIGINT)
            shown, errors = patient.communicate(timeout=DEADLINE_S)
            assert (patient.returncode, errors) == (0, "")
        assert study.wait(DEADLINE_S) == 130
    lines = [first[1].rstrip(), *shown.splitlines()]
    assert len(lines) == len(set(lines)) >= 2, "a line for each change"
    assert "\x1b" not in shown
    assert "unfinished, nobody works on it, 0 of 6 trials done" in lines[-1]


def test_a_finished_study_is_listed_and_shown_and_nothing_is_left_by_it(finished):
    place, _ = finished
    files = place.files()
    (row,) = json.loads(place.run("study", "list", "--json").stdout)["studies"]
    assert (row["study"], row["kind"], row["status"]) == (place.name, "optimizers", "complete")
    assert (row["done"], row["running"], row["waiting"], row["planned"]) == (6, 0, 0, 6)
    found = json.loads(place.run("study", "status", place.name, "--json").stdout)
    assert (found["status"], found["trials"]["complete"], found["seconds_left"]) == ("complete", 6, 0)
    assert [row["name"] for row in found["optimizers"]] == ["sgd", "adam"]
    assert all(row["images_per_s"] > 0 for row in found["optimizers"])
    shown = place.run("study", "status", place.name, "--watch")
    assert (shown.returncode, shown.stdout) == (0, f"{place.name}: complete, 6 of 6 trials done\n")
    assert place.files() == files


def test_options_that_contradict_and_names_that_are_not_there_are_wrong_usage(place):
    both = place.run("study", "status", "--watch", "--json")
    assert (both.returncode, both.stdout) == (2, "")
    assert "--watch" in both.stderr
    unknown = place.run("study", "status", "nonsense")
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "there is no study 'nonsense'" in unknown.stderr
    empty = place.run("study", "list", "--json")
    assert (empty.returncode, json.loads(empty.stdout)) == (0, {"studies": []})
    assert place.files() == ["people", "tiny.toml"]
