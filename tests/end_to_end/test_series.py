"""A series of schedules by one command: interrupted, gone on with, and shown again."""

import json
import signal

from tests.support.running_study import ended, entries, output, wait_for


def test_a_series_runs_a_study_for_each_schedule_and_goes_on_after_an_interruption(place):
    command = (*place.study, "--optimizers", "sgd", "--schedule", "constant,step", "--name", "both")
    with ended(place.start(*command, "--steps", "30", "--tune-steps", "30")) as process:
        wait_for(lambda: entries(place, "complete"), process, place)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130, output(place)
    done = place.run(*command, "--steps", "30", "--tune-steps", "30")
    assert done.returncode == 0, done.stderr
    assert "posebench compare both-constant both-step" in done.stdout
    recorded = place.recorded()
    assert len(recorded) == len(set(recorded)) == 2 * 3
    for name in ("both-constant", "both-step"):
        found = json.loads((place.folder / "reports" / name / "result.json").read_text())
        assert found["trials"]["complete"] == found["trials"]["planned"] == 3
        assert found["spec"]["schedule"] == name.removeprefix("both-")


def test_a_study_in_seconds_with_a_pruner_runs_to_its_end(place):
    file = place.folder / "timed.toml"
    file.write_text(
        'network = "small"\nsize = 64\noptimizers = ["sgd", "adam"]\ntrials = 1\nseeds = 2\nbatch_size = 2\n'
        'device = "cpu"\ntune_seconds = 0.3\nseconds = 0.5\nevaluations = 2\npruner = "hyperband"\n'
    )
    command = ("study", "optimizers", "--preset", "smoke", "--study", file, "--data", "people")
    done = place.run(*command, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    trials = found["trials"]
    assert trials["complete"] + trials["pruned"] == trials["planned"] == 6
    assert trials["complete"] >= 4, "confirm trials are never pruned"
    assert (found["spec"]["steps"], found["spec"]["seconds"]) == (None, 0.5)
    spent = place.query("SELECT value FROM latest_metrics WHERE key = 'final.train_seconds' ORDER BY value")
    assert spent[-1][0] >= 0.5
    status = json.loads(place.run("study", "status", found["study"], "--json").stdout)
    assert (status["status"], status["trials"]["done"], status["seconds_left"]) == ("complete", 6, 0)
