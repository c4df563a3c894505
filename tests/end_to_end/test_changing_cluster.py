"""A study on a Ray cluster whose nodes do not fit or leave with a notice, and whose server of records is away."""

import signal
import time
from pathlib import Path

import pytest

from bench.records.waiting import WAITING
from tests.support.place import VALLEY_FILE, Place
from tests.support.ray_nodes import MISSING, nodes
from tests.support.restarted_servers import mlflow_server
from tests.support.running_study import RUNNING, ended, entries, holding, output, wait_for

pytest.importorskip("ray", reason=MISSING)

ONCE = VALLEY_FILE.replace("tunings = 2", "tunings = 1")
"""Four trials."""
SLOW = ONCE.replace("= 20", "= 60") + "sleep_ms = 40\n"


def other_version(folder: Path) -> Path:
    """A folder in which another version of posebench is installed, by its metadata."""
    about = folder / "posebench-99.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: posebench\nVersion: 99.0\n")
    return folder


@pytest.mark.long
def test_a_node_with_other_versions_is_left_out_and_ends_the_study_only_if_there_is_no_other(tmp_path):
    place = Place(tmp_path / "here", ONCE)
    with nodes() as cluster:
        cluster.add(cores=2, path=other_version(tmp_path / "installed"))
        refused = place.run(*place.study, *cluster.options)
        assert refused.returncode == 2, refused.stderr
        assert "has other versions (posebench 99.0, here" in refused.stderr
        cluster.add(cores=1)
        done = place.run(*place.study, *cluster.options)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("is left out: it has other versions") == 1
    assert len(place.recorded()) == len(set(place.recorded())) == 4


BAD_NODE = """import os, torch
class Slow(torch.optim.SGD):
    def step(self, *arguments):
        if "BAD_NODE" in os.environ:
            os._exit(9)
        return super().step(*arguments)
"""
"""An optimizer whose trainings end their process on a node that is broken."""
ENDS = BAD_NODE.replace("os._exit(9)", "raise KeyboardInterrupt")
"""An optimizer whose trainings look there as if somebody had interrupted them."""


def own(folder, module, text=VALLEY_FILE):
    """A place of a study of an own optimizer, with sixteen trials."""
    space = '\n[spaces."own_descent.Slow"]\nlr = { log = [0.01, 1.0] }\n'
    text = text.replace('["sgd", "adam"]', '["own_descent.Slow"]').replace("tunings = 2", "tunings = 8")
    place = Place(folder, text + space)
    (place.folder / "own_descent.py").write_text(module)
    return place


@pytest.mark.long
def test_a_node_on_which_all_processes_die_fails_no_trial_and_is_left_out(tmp_path):
    place = own(tmp_path / "here", BAD_NODE, VALLEY_FILE + "sleep_ms = 200\n")
    with nodes(1) as cluster:
        cluster.add(cores=1, BAD_NODE="1")
        done = place.run(*place.study, *cluster.options)
    assert done.returncode == 0, done.stderr
    assert "is left out: processes of several trials died there and ended elsewhere." in done.stderr
    assert len(place.recorded()) == len(set(place.recorded())) == 16


@pytest.mark.long
def test_trials_that_are_interrupted_on_their_nodes_again_and_again_end_the_study_in_words(tmp_path):
    place = own(tmp_path / "here", ENDS)
    with nodes() as cluster:
        cluster.add(cores=1, BAD_NODE="1")
        done = place.run(*place.study, *cluster.options)
    assert done.returncode == 1, done.stderr
    assert "processes of trials were interrupted on the nodes" in done.stderr
    assert entries(place, RUNNING) == []


@pytest.mark.long
def test_trials_of_a_node_that_is_about_to_leave_are_saved_and_go_on_elsewhere(tmp_path):
    place = Place(tmp_path / "here")
    how = ("--workers", 1, "--checkpoints", tmp_path / "checkpoints")
    often = {"POSEBENCH_CHECKPOINT_EVERY": "1s"}
    with nodes() as cluster:
        first = cluster.add(cores=1, **often)
        with ended(place.start(*place.long_study, *cluster.options, *how, **often)) as process:
            wait_for(lambda: list((tmp_path / "checkpoints").rglob("*.tar")), process, place)
            cluster.add(cores=1, **often)
            cluster.drain(first)
            wait_for(lambda: place.run_states().get("KILLED") == 1 and holding(place, 1), process, place)
            process.send_signal(signal.SIGINT)
            assert process.wait(600) == 130, output(place)
    assert "died" not in output(place)
    assert "left out" not in output(place)


@pytest.mark.long
def test_the_death_of_the_head_gives_the_trials_back_and_is_said(tmp_path):
    place = Place(tmp_path / "here")
    with nodes(1) as cluster:
        how = ("--checkpoints", tmp_path / "checkpoints")
        with ended(place.start(*place.long_study, *cluster.options, *how)) as process:
            wait_for(lambda: holding(place, 1), process, place)
            cluster.kill_head()
            assert process.wait(600) == 1, output(place)
    assert "has not answered for 30 s. Start a cluster again" in output(place)
    assert entries(place, RUNNING) == []


@pytest.mark.long
def test_a_server_that_stays_away_ends_the_command_which_names_the_files(tmp_path):
    place = Place(tmp_path / "here", SLOW)
    with mlflow_server(f"sqlite:///{place.folder / 'mlflow.db'}", tmp_path, forked=True) as server, nodes(1, 1) as ray:
        how = {"MLFLOW_TRACKING_URI": server.address, "POSEBENCH_SERVER_PATIENCE": "10s"}
        with ended(place.start(*place.study, *ray.options, **how)) as process:
            wait_for(lambda: holding(place, 2), process, place)
            server.kill()
            assert process.wait(600) == 1, output(place)
    said = " ".join(output(place).split())
    assert "the server has not answered for" in said
    assert f"wait in {WAITING / place.name}" in said
    assert said.count("waiting for it for up to 10 s") == 1
    assert list((place.folder / WAITING / place.name).glob("*.json"))
    assert entries(place, RUNNING) == []


@pytest.mark.long
def test_outcomes_that_come_while_the_server_of_records_is_away_survive_the_command(tmp_path):
    """The command waits for the server with the first one; the second one must not be in its memory alone."""
    place = Place(tmp_path / "here", SLOW)
    waiting = place.folder / WAITING / place.name
    with mlflow_server(f"sqlite:///{place.folder / 'mlflow.db'}", tmp_path, forked=True) as server, nodes(1, 1) as ray:
        how = {"MLFLOW_TRACKING_URI": server.address}
        with ended(place.start(*place.study, *ray.options, **how)) as process:
            wait_for(lambda: holding(place, 2), process, place)
            server.kill()
            wait_for(lambda: len(list(waiting.glob("*.json"))) == 2, process, place)
            process.send_signal(signal.SIGKILL)
        killed_ms = 1000 * time.time()
        kept = {file.name.rpartition("-")[0] for file in waiting.glob("*.json")}
        server.start()
        done = place.run(*place.study, *ray.options, **how)
    assert done.returncode == 0, done.stderr
    assert len(place.recorded()) == len(set(place.recorded())) == 4
    ends = dict(
        place.query(
            "SELECT tags.value, runs.end_time FROM runs JOIN tags USING (run_uuid) WHERE tags.key = 'posebench.trial' "
            "AND runs.status = 'FINISHED'"
        )
    )
    assert {trial for trial, end in ends.items() if end < killed_ms} == kept
    assert not waiting.exists()
    assert entries(place, RUNNING) == []
