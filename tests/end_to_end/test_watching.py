"""`study list` and `study status` beside a study that runs, from another process."""

import json
import os
import signal
from contextlib import contextmanager
from pathlib import Path

from bench.ledger.reader import RUNNING
from tests.support.commands import COMMANDS
from tests.support.place import PLANNED
from tests.support.running_study import DEADLINE_S, ended, entries, wait_for


@contextmanager
def watcher(place):
    """`study status --watch` as a process of its own, and the file that holds what it says."""
    with (
        (place.folder / "watched.txt").open("w+") as shown,
        (place.folder / "errors.txt").open("w+") as errors,
        Path(os.devnull).open() as nothing,
    ):
        process = COMMANDS.start(
            ("study", "status", "--watch"),
            folder=place.folder,
            environment=place.environment,
            stdin=nothing,
            stdout=shown,
            stderr=errors,
        )
        with ended(process):
            yield process, Path(shown.name), Path(errors.name)


def test_watchers_leave_quietly_by_ctrl_c_and_when_the_study_stops(place):
    with ended(place.start(*place.long_study)) as study:
        wait_for(lambda: entries(place, RUNNING), study, place)
        for leaves_first in (True, False):
            with watcher(place) as (process, shown, errors):
                wait_for(shown.read_text, process, place)
                first = shown.read_text().splitlines()[0]
                assert first.startswith(f"{place.name}: running, 0 of {PLANNED} trials done, 1 running")
                (process if leaves_first else study).send_signal(signal.SIGINT)
                assert process.wait(DEADLINE_S) == (130 if leaves_first else 0)
                assert errors.read_text() == ""
                if leaves_first:
                    assert study.poll() is None
        assert study.wait(DEADLINE_S) == 130
    lines = shown.read_text().splitlines()
    assert len(lines) == len(set(lines)) >= 2, "a line for each change"
    assert "\x1b" not in shown.read_text()
    assert f"unfinished, nobody works on it, 0 of {PLANNED} trials done" in lines[-1]


def test_a_finished_study_is_listed_and_shown_and_nothing_is_left_by_it(finished):
    place, _ = finished
    files = place.files()
    (row,) = json.loads(place.run("study", "list", "--json").stdout)["studies"]
    assert (row["study"], row["kind"], row["status"]) == (place.name, "optimizers", "complete")
    assert (row["done"], row["running"], row["waiting"], row["planned"]) == (PLANNED, 0, 0, PLANNED)
    found = json.loads(place.run("study", "status", place.name, "--json").stdout)
    assert (found["status"], found["trials"]["complete"], found["seconds_left"]) == ("complete", PLANNED, 0)
    assert [row["name"] for row in found["optimizers"]] == ["sgd", "adam"]
    assert all(row["images_per_s"] > 0 for row in found["optimizers"])
    shown = place.run("study", "status", place.name, "--watch")
    assert (shown.returncode, shown.stdout) == (0, f"{place.name}: complete, {PLANNED} of {PLANNED} trials done\n")
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
    assert place.files() == ["long.toml", "mlflow.db", "people", "tiny.toml"]
