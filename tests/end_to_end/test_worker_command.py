"""`posebench worker`: processes elsewhere join a study by its name alone, and leave when they want."""

import json
import os
import signal

import pytest
import torch

from posemodel.synthetic import generate
from tests.support.elsewhere import Elsewhere
from tests.support.place import PLANNED, STUDY_FILE, VALLEY_FILE, Place, PosePlace
from tests.support.running_study import DEADLINE_S, RUNNING, ended, entries, holding, output, wait_for

WAITING = "waiting"
NAME = "optimizers-smoke-people"


@pytest.fixture
def begun(place, tmp_path):
    """The place of a study without a worker, its process, and three places elsewhere."""
    (place.folder / "tiny.toml").write_text(
        VALLEY_FILE.replace("batch_size = 2", "batch_size = 2\nnum_workers = 16") + "sleep_ms = 20\n"
    )
    with ended(place.start_to(*place.study, "--workers", 0, "--json", **streams(place))) as driver:
        wait_for(lambda: entries(place, WAITING), driver, place)
        yield place, driver, [Elsewhere(tmp_path / f"elsewhere-{number}", place) for number in range(3)]


def streams(place):
    """The study's own output: its document apart from all else."""
    said = os.open(place.folder / "output.txt", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    return {"stdout": os.open(place.folder / "document.json", os.O_CREAT | os.O_WRONLY), "stderr": said}


def document(process):
    return json.loads(process.stdout)


def test_workers_join_by_name_and_leave_and_the_study_is_whole(begun):
    """One leaves after two trials, one is stopped in the middle of one, one stays to the end with two at once."""
    place, driver, (first, second, third) = begun
    left = first.run("worker", NAME, "--trials", 2, "--json")
    assert left.returncode == 0, left.stderr
    assert (document(left)["left"], document(left)["trials"]["recorded"]) == ("trials", 2)
    assert len(place.recorded()) == 2

    with ended(second.start("worker", NAME)) as process:
        wait_for(lambda: holding(place, 1), process, second)
        (held,) = entries(place, RUNNING)
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 130
    assert f"To go on: posebench worker {NAME}" in output(second)
    assert "Traceback" not in output(second)
    recorded = len(place.recorded())
    assert held.trial_id in [*place.recorded(), *(each.trial_id for each in entries(place, WAITING))]

    last = third.run("worker", NAME, "--workers", 2, "--json")
    assert last.returncode == 0, last.stderr
    assert document(last)["left"] == "complete"
    assert document(last)["trials"]["recorded"] == PLANNED - recorded
    assert 0 <= document(last)["idle_share"] < 1
    assert "the 2 workers ran no trial for " in last.stderr
    assert "warning: 2 trials at once with num_workers 16 each load with 32 processes" in " ".join(last.stderr.split())

    assert driver.wait(DEADLINE_S) == 0, output(place)
    found = json.loads((place.folder / "document.json").read_text())
    assert found["status"] == "complete"
    assert found["trials"]["complete"] == found["trials"]["recorded"] == PLANNED
    assert len(place.recorded()) == len(set(place.recorded())) == PLANNED
    assert set(place.run_states()) <= {"FINISHED", "KILLED"}
    assert f"posebench worker {NAME}" in output(place)
    assert (place.folder / "reports" / NAME / "report.md").exists()
    for each in (first, second, third):
        assert not (each.folder / "reports").exists(), "the report is the study's own command's"
        assert not (each.folder / "optuna.db").exists()

    again = first.run("worker", NAME)
    assert again.returncode == 0, again.stderr
    assert f"its report is written: posebench report {NAME}" in again.stderr


@pytest.mark.long
def test_a_worker_plans_what_its_records_make_possible_when_no_other_process_lives(begun):
    """The study's own command is gone: the worker brings it to its end, and the report follows from `study resume`."""
    place, driver, (elsewhere, *_) = begun
    driver.send_signal(signal.SIGTERM)
    assert driver.wait(DEADLINE_S) == 130
    assert f"posebench study resume {NAME} --workers 0" in output(place)
    left = elsewhere.run("worker", NAME, "--json")
    assert left.returncode == 0, left.stderr
    assert document(left)["trials"]["recorded"] == PLANNED
    assert f"posebench study resume {NAME}" in left.stderr
    assert place.run_states() == {"FINISHED": PLANNED, "KILLED": 1}, "the study's own run is not the worker's"
    report = place.run("study", "resume", NAME, "--json")
    assert report.returncode == 0, report.stderr
    assert document(report)["status"] == "complete"
    assert len(place.recorded()) == len(set(place.recorded())) == PLANNED


def test_a_worker_runs_trials_leaves_at_its_time_and_gives_its_trial_back(place, tmp_path):
    elsewhere = Elsewhere(tmp_path / "elsewhere", place)
    with ended(place.start(*place.long_study, "--workers", 0)) as driver:
        wait_for(lambda: entries(place, WAITING), driver, place)
        for text in ("0", "00"):
            none = elsewhere.run("worker", NAME, "--workers", text)
            assert (none.returncode, "workers: a worker runs trials" in none.stderr) == (2, True)
        left = elsewhere.run("worker", NAME, "--time-limit", "2s", "--json")
        assert left.returncode == 0, left.stderr
        assert (document(left)["left"], document(left)["trials"]["recorded"]) == ("time", 0)
        assert entries(place, RUNNING) == []
        assert place.run_states().get("RUNNING") == 1, "the study's own"


def test_what_a_worker_cannot_join_is_said(place, tmp_path):
    elsewhere = Elsewhere(tmp_path / "elsewhere", place)
    nothing = elsewhere.run("worker", NAME)
    assert nothing.returncode == 2
    assert f"there is no study '{NAME}'" in nothing.stderr
    assert "There is none at all." in nothing.stderr
    place.forked_starts = elsewhere.forked_starts
    with ended(place.start(*place.study_of("long.toml"), "--workers", 0, "--device", "cuda")) as driver:
        wait_for(lambda: entries(place, WAITING), driver, place)
        other = elsewhere.run("worker", "optimizers-smoke-poeple")
        assert other.returncode == 2
        assert f"There are: {NAME}." in other.stderr
        unknown = elsewhere.run("worker", NAME, POSEBENCH_STORAGE_URL="sqlite:///optuna.db")
        assert (unknown.returncode, "environment POSEBENCH_STORAGE_URL" in unknown.stderr) == (2, True)
        if not torch.cuda.is_available():
            refused = elsewhere.run("worker", NAME)
            assert refused.returncode == 2
            assert "trains on the device cuda, which this machine does not have" in refused.stderr
        assert entries(place, RUNNING) == []
    for typed in (("--time-limit", "5"), ("--time-limit", "soon")):
        wrong = elsewhere.run("worker", NAME, *typed)
        assert (wrong.returncode, "--time-limit" in wrong.stderr) == (2, True)


def test_a_study_without_workers_says_what_it_needs_to_know(place):
    (place.folder / "tiny.toml").write_text(VALLEY_FILE.replace('device = "cpu"', ""))
    refused = place.run(*place.study, "--workers", 0)
    assert refused.returncode == 2
    assert "say what the workers train on, --device cuda or --device cpu" in refused.stderr
    planned = place.run(*place.study, "--workers", 0, "--device", "cpu", "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert "with --workers 0 the trials run elsewhere" in planned.stdout
    assert not (place.folder / "optuna.db").exists()


@pytest.fixture
def on_data(tmp_path):
    """A study of a pose network that was begun on synthetic people which only the machine that began it has."""
    place = PosePlace(tmp_path / "here")
    (place.folder / "own.toml").write_text(STUDY_FILE + "synthetic_images = 12\n")
    command = ("study", "optimizers", "--preset", "smoke", "--study", "own.toml", "--workers", 0)
    with ended(place.start(*command)) as driver:
        wait_for(lambda: entries(place, WAITING), driver, place)
        driver.send_signal(signal.SIGTERM)
        assert driver.wait(DEADLINE_S) == 130, output(place)
    (place.folder / "data").rename(place.folder / "away")
    return place, Elsewhere(tmp_path / "elsewhere", place), "optimizers-smoke-synthetic-12-seed0"


def seconds_of_data(place):
    """Seconds that each worker has spent on making the data set, as its session has them."""
    sessions = place.query("SELECT value FROM tags WHERE key LIKE 'posebench.session.%'")
    return [json.loads(text)["data_s"] for (text,) in sessions]


def test_a_worker_makes_the_synthetic_set_or_says_that_it_needs_the_data(on_data):
    place, elsewhere, name = on_data
    generate(elsewhere.folder / "other", images=12, seed=1, size=(96, 80))
    other = elsewhere.run("worker", name, "--data", "other")
    assert other.returncode == 2
    assert "its data set has changed" in other.stderr
    left = elsewhere.run("worker", name, "--trials", 1, "--json")
    assert left.returncode == 0, left.stderr
    assert document(left)["trials"]["complete"] == 1
    assert [data_s > 0 for data_s in seconds_of_data(place)] == [True]
    assert (elsewhere.folder / "data" / "synthetic-12-seed0").is_dir()
    moved = elsewhere.run(
        "worker", name, "--trials", 1, "--data", place.folder / "away" / "synthetic-12-seed0", "--json"
    )
    assert moved.returncode == 0, moved.stderr
    assert document(moved)["trials"]["complete"] == 1
    assert sorted(data_s > 0 for data_s in seconds_of_data(place)) == [False, True]


def test_a_data_set_that_is_not_on_this_machine_is_asked_for(tmp_path):
    place = PosePlace(tmp_path / "here")
    with ended(place.start(*place.study, "--workers", 0)) as driver:
        wait_for(lambda: entries(place, WAITING), driver, place)
        driver.send_signal(signal.SIGTERM)
        driver.wait(DEADLINE_S)
    (place.folder / "people").rename(place.folder / "away")
    refused = Elsewhere(tmp_path / "elsewhere", place).run("worker", NAME)
    assert refused.returncode == 2
    assert "is not here. Give its folder here with --data." in refused.stderr


@pytest.mark.long
def test_a_study_of_one_machine_s_loaders_takes_no_worker(tmp_path):
    place = Place(tmp_path / "here")
    generate(place.folder / "pictures", images=12, seed=0, size=(96, 80))
    process = place.start("study", "loaders", "--preset", "smoke", "--data", "pictures", "--device", "cpu")
    with ended(process):
        wait_for(lambda: place.query("SELECT 1 FROM tags WHERE key = 'posebench.study'"), process, place)
        process.send_signal(signal.SIGTERM)
        process.wait(DEADLINE_S)
    refused = Elsewhere(tmp_path / "elsewhere", place).run("worker", "loaders-smoke-pictures")
    assert refused.returncode == 2
    assert "measures one machine, the one that began it" in refused.stderr
