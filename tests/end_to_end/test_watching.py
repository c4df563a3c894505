"""`study list` and `study status` beside a study that runs, from another process."""

import json
import signal
import subprocess

from bench.ledger_view import RUNNING, WAITING
from tests.support.running_study import DEADLINE_S, LONG, ended, entries, wait_for


def test_a_watcher_sees_a_study_end_and_leaves_quietly(place):
    with ended(place.start(*place.study)) as study:
        wait_for(lambda: entries(place, RUNNING, WAITING), study, place)
        watched = place.run("study", "status", place.name, "--watch")
        assert study.wait(DEADLINE_S) == 0
    assert (watched.returncode, watched.stderr) == (0, "")
    lines = watched.stdout.splitlines()
    assert len(lines) == len(set(lines)) >= 2, "a line for each change"
    assert "running" in lines[0]
    assert "\x1b" not in watched.stdout
    assert lines[-1] == f"{place.name}: complete, 6 of 6 trials done"

    files = place.files()
    listed = place.run("study", "list", "--json")
    (row,) = json.loads(listed.stdout)["studies"]
    assert (row["study"], row["kind"], row["status"]) == (place.name, "optimizers", "complete")
    assert (row["done"], row["planned"]) == (6, 6)
    shown = place.run("study", "status", place.name)
    assert "confirm: 4 of 4 done" in shown.stdout
    assert place.files() == files


def test_ctrl_c_ends_a_watcher_without_a_word_and_the_study_goes_on(place):
    with ended(place.start(*place.study, *LONG)) as study:
        wait_for(lambda: entries(place, RUNNING), study, place)
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in background
        watcher = subprocess.Popen(
            place.command("study", "status", "--watch"),
            cwd=place.folder,
            env=place.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        signal.signal(signal.SIGINT, before)
        assert "running" in watcher.stdout.readline()
        watcher.send_signal(signal.SIGINT)
        _, errors = watcher.communicate(timeout=DEADLINE_S)
        assert (watcher.returncode, errors) == (130, "")
        assert study.poll() is None


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
