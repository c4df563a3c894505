"""A series of schedules by one command: interrupted, gone on with, and shown again."""

import json
import signal

import pandas as pd
import pytest

from tests.support.place import PLANNED, VALLEY_FILE
from tests.support.running_study import DEADLINE_S, ended, entries, output, wait_for
from tests.support.valley import VALLEY


def test_a_series_runs_a_study_for_each_schedule_and_goes_on_after_an_interruption(place):
    (place.folder / "slow.toml").write_text(VALLEY_FILE + "sleep_ms = 20\n")
    command = (*place.study_of("slow.toml"), "--optimizers", "sgd", "--schedule", "constant,step", "--name", "both")
    with ended(place.start(*command)) as process:
        wait_for(lambda: entries(place, "complete"), process, place)
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_S) == 130, output(place)
    done = place.run(*command)
    assert done.returncode == 0, done.stderr
    assert "posebench compare both-constant both-step" in done.stdout
    recorded, each = place.recorded(), PLANNED // 2  # one of its two optimizers
    assert len(recorded) == len(set(recorded)) == 2 * each
    for name in ("both-constant", "both-step"):
        found = json.loads((place.folder / "reports" / name / "result.json").read_text())
        assert found["trials"]["complete"] == found["trials"]["planned"] == each
        assert found["spec"]["schedule"] == name.removeprefix("both-")


@pytest.mark.long
def test_a_study_in_seconds_with_a_pruner_runs_to_its_end(place):
    file = place.folder / "timed.toml"
    file.write_text(
        'optimizers = ["sgd", "adam"]\ntunings = 2\ntrials = 1\nseeds = 1\nbatch_size = 2\ndevice = "cpu"\n'
        'tune_seconds = 0.3\nseconds = 0.5\nevaluations = 2\npruner = "hyperband"\n'
        f'[workload]\nname = "{VALLEY}"\nsleep_ms = 2\n'
    )
    command = ("study", "optimizers", "--preset", "smoke", "--study", file, "--data", "people")
    done = place.run(*command, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    trials = found["trials"]
    assert trials["complete"] + trials["pruned"] == trials["planned"] == 8
    assert trials["complete"] >= 4, "confirm trials are never pruned"
    assert (found["spec"]["steps"], found["spec"]["seconds"]) == (None, 0.5)
    spent = place.query("SELECT value FROM latest_metrics WHERE key = 'final.train_seconds' ORDER BY value")
    assert spent[-1][0] >= 0.5
    status = json.loads(place.run("study", "status", found["study"], "--json").stdout)
    assert (status["status"], status["trials"]["done"], status["seconds_left"]) == ("complete", 8, 0)


@pytest.mark.long
def test_hopeless_tune_trials_end_early_and_confirm_trials_never(place):
    """At the one rate the valley is descended, and not at all at the other."""
    file = place.folder / "pruned.toml"
    file.write_text(
        'optimizers = ["adam"]\ntunings = 2\ntrials = 8\nseeds = 1\nbatch_size = 4\ndevice = "cpu"\n'
        "tune_steps = 400\nsteps = 400\ntune_evaluations = 2\nevaluations = 2\n"
        'pruner = "median"\n[spaces.adam]\nlr = {values = [0.1, 1e-6]}\n'
        f'[workload]\nname = "{VALLEY}"\ndigits = 1\n'
    )
    done = place.run("study", "optimizers", "--preset", "smoke", "--study", file, "--data", "people", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["trials"]["planned"] == 2 * (8 + 1)
    assert found["trials"]["pruned"] >= 1
    assert found["trials"]["pruned"] + found["trials"]["complete"] == 18
    records = pd.read_csv(place.folder / "reports" / found["study"] / "records.csv")
    pruned = records[records["status"] == "pruned"]
    assert set(zip(pruned["phase"], pruned["hyperparameters"], strict=True)) == {("tune", '{"lr": 1e-06}')}
    halfway = {False: 100, True: 200}  # a trial of an earlier round is half as long
    assert list(pruned["steps_done"]) == [halfway[each == 2] for each in pruned["round"]]
    (row,) = found["optimizers"]
    assert (row["settings"]["lr"], row["ap_mean"] > 0.9) == (0.1, True)
    assert "median pruner" in (place.folder / "reports" / found["study"] / "appendix.md").read_text()
