"""A study on a Ray cluster survives its nodes and its own command, and sixteen GPUs are almost sixteen times one.

All nodes are on this machine; the GPUs are only counted, and the trials of a workload that sleeps use none. The short
sibling, on two nodes that live, is `tests/end_to_end/test_engines.py`.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

import pytest

from tests.support.clusters_page import Machine, block, replaced
from tests.support.mortal_valley import MORTAL
from tests.support.place import VALLEY_FILE, Place, PosePlace
from tests.support.ray_nodes import LOOPBACK, MISSING, OBJECT_BYTES, nodes
from tests.support.running_study import DEADLINE_S, RUNNING, ended, entries, output, wait_for

pytest.importorskip("ray", reason=MISSING)

SHARD = "kills"
COVERS = (
    "bench/engines/*.py", "bench/engines/cluster/*.py", "bench/ledger/*.py", "bench/study/ledger_runner.py",
    "bench/study/node_data.py", "bench/study/idle_share.py", "tests/support/ray_nodes.py",
    "docs/guide/clusters.md",
)  # fmt: skip
TRIALS = 60
THREE = ("sgd", "nesterov", "adam")
"""Ten tunings of each, with a tune and a confirm trial."""
GPUS, MANY, TRIAL_S = 16, 200, 5.0
FIVE = (*THREE, "adagrad", "adabound")
"""Ten tunings of each, with a tune and three confirm trials."""


def trial_seconds(place):
    """Seconds of training of all recorded trials, and the first one's begin and the last one's end."""
    rows = place.query("SELECT value FROM latest_metrics WHERE key = 'final.train_seconds'")
    times = place.query(
        "SELECT min(start_time), max(end_time) FROM runs JOIN tags USING (run_uuid) WHERE tags.key = 'posebench.trial'"
    )
    return [value for (value,) in rows], [moment / 1000 for moment in times[0]]


def test_sixty_trials_survive_a_node_s_death_and_their_command_s(tmp_path, figures):
    """Three nodes: one is killed in the middle, another one joins; then the command is killed, and run again."""
    text = VALLEY_FILE.replace("tunings = 2", "tunings = 10").replace('["sgd", "adam"]', json.dumps(THREE))
    place = Place(tmp_path / "here", text + "sleep_ms = 100\n")
    with nodes(1, 1) as cluster:
        third = cluster.add(cores=1)
        with ended(place.start_installed(*place.study, *cluster.options)) as process:
            wait_for(lambda: len(place.recorded()) >= 9 and len(entries(place, RUNNING)) == 3, process, place)
            cluster.kill(third)
            killed = time.monotonic()
            wait_for(lambda: len(place.recorded()) >= 18, process, place)
            cluster.add(cores=1)
            wait_for(lambda: len(place.recorded()) >= 35 and len(entries(place, RUNNING)) == 3, process, place)
            figures["seconds from the node's death to the command's"] = round(time.monotonic() - killed, 1)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        before = place.recorded()
        last = place.run_installed(*place.study, *cluster.options, "--json")
    assert last.returncode == 0, last.stderr
    document, recorded = json.loads(last.stdout), place.recorded()
    figures["trials"], figures["trials recorded before the command's death"] = TRIALS, len(before)
    figures["lost"], figures["doubled"] = TRIALS - len(set(recorded)), len(recorded) - len(set(recorded))
    figures["idle share of the command's second run"] = document["idle_share"]
    assert (figures["lost"], figures["doubled"]) == (0, 0)
    assert document["trials"]["recorded"] == TRIALS
    assert document["trials"]["failed"] == 0
    assert set(before) <= set(recorded)
    assert "RUNNING" not in place.run_states()


def test_a_pose_network_s_study_survives_a_node_s_death(tmp_path, figures):
    """The smoke preset on the synthetic set, with one of three nodes killed."""
    place = PosePlace(tmp_path / "here")
    command = ("study", "optimizers", "--preset", "smoke", "--data", "people", "--device", "cpu")
    with nodes(1, 1) as cluster:
        third = cluster.add(cores=1)
        with ended(place.start_installed(*command, *cluster.options)) as process:
            wait_for(lambda: place.recorded() and len(entries(place, RUNNING)) == 3, process, place)
            cluster.kill(third)
            assert process.wait(DEADLINE_S) == 0, output(place)
    recorded = place.recorded()
    planned = len(entries(place, "complete", "diverged", "failed"))
    figures["trials"], figures["lost"] = len(recorded), planned - len(set(recorded))
    figures["doubled"] = len(recorded) - len(set(recorded))
    assert (figures["lost"], figures["doubled"]) == (0, 0)
    assert (place.folder / "reports" / place.name / "report.md").exists()


def test_sixteen_gpus_are_fourteen_times_one(tmp_path, figures):
    """200 trials of 5 s: what they take one after the other, against the time from the first one's begin to the last
    one's end. Both leave out the command's start and its report, which are given beside them."""
    text = VALLEY_FILE.replace("tunings = 2", "tunings = 10").replace('["sgd", "adam"]', json.dumps(FIVE))
    text = text.replace("seeds = 1", "seeds = 3")
    place = Place(tmp_path / "here", text + f"sleep_ms = {1000 * TRIAL_S / 20}\n")
    with nodes() as cluster:
        cluster.add(cores=2 * GPUS, gpus=GPUS)
        began = time.monotonic()
        command = [sys.executable, "-m", "tests.support.engine_events", "tiny.toml", "people", cluster.address, "cuda"]
        done = subprocess.run(
            command, cwd=place.folder, env=place.environment, capture_output=True, text=True, check=False
        )
        took = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    assert len(set(place.recorded())) == MANY
    each, (first, last) = trial_seconds(place)
    figures["trials' own seconds, one after the other"] = round(sum(each), 1)
    figures["seconds from the first begin to the last end"] = round(last - first, 1)
    figures["speed-up of 16 places, from the first begin to the last end"] = round(sum(each) / (last - first), 2)
    figures["seconds of the whole command"] = round(took, 1)
    figures["idle share"] = round(json.loads(done.stdout.splitlines()[-1])["share"], 4)
    assert sum(each) / (last - first) >= 14


def test_a_study_without_a_place_says_what_is_missing_within_thirty_seconds(tmp_path, figures):
    place = Place(tmp_path / "here", VALLEY_FILE.replace('device = "cpu"', 'device = "cuda"'))
    with nodes(2) as cluster:
        began = time.monotonic()
        done = place.run_installed(*place.study, *cluster.options)
        figures["seconds until it is said"] = round(time.monotonic() - began, 1)
    assert done.returncode == 2, done.stderr
    assert "no node of the cluster has a GPU" in " ".join(done.stderr.split())
    assert figures["seconds until it is said"] < 30


def test_a_study_whose_processes_all_die_ends_in_words(tmp_path, figures):
    deaths = tmp_path / "deaths"
    deaths.mkdir()
    text = VALLEY_FILE.replace("tests.support.valley:Valley", MORTAL).replace('["sgd", "adam"]', '["sgd"]')
    place = Place(tmp_path / "here", text.replace("tunings = 2", "tunings = 4") + f'deaths = "{deaths}"\n')
    with nodes(1, 1) as cluster:
        done = place.run_installed(*place.study, *cluster.options)
    assert done.returncode == 1, done.stderr
    assert "died one after the other" in done.stderr
    assert entries(place, RUNNING) == []
    figures["deaths"] = len(list(deaths.iterdir()))


def test_the_page_s_nodes_run_its_study(tmp_path, figures):
    """The head and a second node are started as docs/guide/clusters.md says, at a loopback address; then its study."""
    port = free_port()
    changes = {"192.168.1.10": LOOPBACK, "6379": port, "ray start": "exec ray start --block"}
    machine = Machine(tmp_path / "head", "")
    (machine.work / "tiny.toml").write_text(VALLEY_FILE)
    token = replaced(block("ray token"), {"scp -p ~/.ray/auth_token laptop2:.ray/auth_token": "true"})
    again = "export RAY_AUTH_MODE=token\n"
    assert token.endswith(again)
    small = f"--num-cpus=1 --object-store-memory={OBJECT_BYTES}"
    head = replaced(block("ray head").rstrip(), changes) + f" {small} --temp-dir={tempfile.mkdtemp(prefix='ray-')}"
    joining = replaced(block("ray join").rstrip(), changes) + f" {small} --node-ip-address={LOOPBACK}"
    study = {"192.168.1.10:6379": f"{LOOPBACK}:{port}", "/data/coco": "people", "--device cuda": "--device cpu"}
    study["--preset full"] = "--preset smoke --study tiny.toml"
    with ended(machine.start(token + head)) as first:
        wait_until(lambda: answers(port), first)
        with ended(machine.start(again + joining)):
            began = time.monotonic()
            done = machine.start(again + replaced(block("ray study"), study))
            assert done.wait(DEADLINE_S) == 0, machine.said()
            figures["seconds of the page's study on two nodes"] = round(time.monotonic() - began, 1)
    assert (machine.work / "reports" / "mine" / "report.md").exists()


def wait_until(state, process):
    deadline = time.monotonic() + DEADLINE_S
    while not state():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def free_port():
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]
