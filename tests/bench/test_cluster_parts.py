"""Parts of a cluster's engine without a cluster: what is shipped, the processes on a node, data there, the ledger."""

import io
import os
import pickle
import queue
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import uuid
import zipfile
from contextlib import closing
from multiprocessing import Pipe
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from bench.engines import checkpoints
from bench.engines.checkpoint_places import place_anywhere
from bench.engines.cluster import messages, nursery, settings, shipping
from bench.engines.cluster.deaths import Deaths
from bench.engines.cluster.needs import needs_in, why_unplaceable, with_memory
from bench.engines.cluster.serving import NodeTrial, NodeWork
from bench.engines.cluster.settings import Cluster, require_ray
from bench.engines.events import TrialBegan, TrialEnded, WorkersChanged
from bench.engines.processes import MAX_DEATHS, WorkerError
from bench.kinds.optimizers.kind import KIND
from bench.kinds.optimizers.trial import TRIALS
from bench.ledger.reader import read_study
from bench.ledger.store import Ledger
from bench.settings.layers import COMMAND_LINE, DEFAULT, Setting
from bench.study.idle_share import IdleShare
from bench.study.machine_settings import cluster_of, places_here
from bench.study.node_data import NodeData
from bench.trials.progress import RunningTrial
from bench.trials.record import make_record
from bench.trials.status import Status
from posemodel.errors import SettingsError
from posemodel.synthetic import generate
from tests.support.own_of_node import say_where
from tests.support.plans import first_trials
from tests.support.ray_nodes import MISSING
from tests.support.restarted_servers import until
from tests.support.stubborn_nodes import FollowsNothing, LeavesAChild


def names(shipped):
    return sorted(zipfile.ZipFile(io.BytesIO(shipped)).namelist())


def write(folder, *paths, content="x = 1\n"):
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)


def test_modules_are_shipped_and_nothing_else(tmp_path):
    write(
        tmp_path,
        *("own.py", "package/__init__.py", "package/table.csv", "package/data/set.py", "plain/module.py", "fast.so"),
        *("data/set.csv", "reports/r.md", ".hidden/h.py", "venv/pyvenv.cfg", "venv/lib.py", "mlflow.db", "people/p.py"),
        *("photo.JPG", "weights.safetensors", ".env", "tiny.toml", "credentials.json", "stores.sh", "plain/token.txt"),
        *("runs/__pycache__/r.py", "package/key.pem"),
    )
    (tmp_path / "package" / "big.txt").write_bytes(b"0" * (shipping.LARGEST_BYTES + 1))
    shipped = shipping.pack(tmp_path, tmp_path / "people")
    assert names(shipped) == [
        *("fast.so", "own.py", "package/__init__.py", "package/data/set.py", "package/table.csv", "plain/module.py")
    ]
    assert shipping.pack(tmp_path, tmp_path / "people") == shipped


@pytest.mark.parametrize("name", ["data", "runs", "reports", "studies"])
def test_a_package_may_have_the_name_of_a_folder_of_results(name, tmp_path):
    write(tmp_path, f"{name}/__init__.py", f"{name}/own.py", "people/p.py")
    assert names(shipping.pack(tmp_path, tmp_path / "people")) == [f"{name}/__init__.py", f"{name}/own.py"]


def test_linked_packages_are_shipped_and_no_link_leads_in_a_circle(tmp_path):
    here = tmp_path / "here"
    write(tmp_path, "elsewhere/package/__init__.py", "elsewhere/secrets/token.py", "here/own.py")
    (here / "package").symlink_to(tmp_path / "elsewhere" / "package")
    (here / "secrets").symlink_to(tmp_path / "elsewhere" / "secrets")
    (here / "round").symlink_to(here)
    (here / "gone.py").symlink_to(here / "nowhere.py")
    assert names(shipping.pack(here, here / "people")) == ["own.py", "package/__init__.py"]
    subprocess.run(["git", "init", "-q"], cwd=here, check=True)
    assert names(shipping.pack(here, here / "people")) == ["own.py", "package/__init__.py"]


def test_what_cannot_be_packed_is_left_out(tmp_path):
    write(tmp_path, "own.py", "old.py")
    os.utime(tmp_path / "old.py", (0, 0))  # before the first time that a zip file can hold
    (tmp_path / os.fsdecode(b"caf\xe9.py")).write_text("")
    os.mkfifo(tmp_path / "pipe.py")
    assert names(shipping.pack(tmp_path, tmp_path / "people")) == ["old.py", "own.py"]
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert names(shipping.pack(tmp_path, tmp_path / "people")) == ["old.py", "own.py"]


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_what_git_ignores_is_not_shipped(tmp_path):
    write(tmp_path, "own.py", "scratch.py", "build/own.py")
    (tmp_path / ".gitignore").write_text("scratch.py\nbuild/\n")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert names(shipping.pack(tmp_path, tmp_path / "people")) == ["own.py"]


def test_a_folder_with_too_much_in_it_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(shipping, "MOST_FILES", 2)
    write(tmp_path, "a.py", "b.py", "c.py")
    with pytest.raises(SettingsError, match="Start the study in a folder of its own"):
        shipping.pack(tmp_path, tmp_path / "people")


@pytest.fixture(scope="module")
def session():
    """A session whose nursery ends with this module's tests."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    with nursery.hold(name):
        yield name


def answer(connection):
    assert connection.poll(120)
    return connection.recv()


@pytest.mark.parametrize("fresh", [False, True], ids=["forked", "started anew"])
def test_a_process_on_a_node_runs_trials_and_ends_when_its_place_does(valley_spec, session, hermetic, fresh):
    spec = valley_spec(tunings=1)
    trial = first_trials(spec)[0]
    work = NodeWork(spec.name, TRIALS.run_trial, NodeData(KIND, spec), {}, (), None, None, 1)
    with nursery.new_process(session, fresh=fresh, folder=hermetic, grace_s=15) as connection:
        connection.send((messages.WORK, pickle.dumps(work)))
        kind, about = answer(connection)
        assert (kind, about["machine"]["torch_threads"]) == (messages.READY, "1")
        connection.send((messages.TRIAL, pickle.dumps(NodeTrial(trial, 3, False))))
        heard = []
        while not heard or heard[-1][0] == messages.STEP:
            heard.append(answer(connection))
        assert {each[0] for each in heard} == {messages.STEP, messages.OUTCOME}
        assert 10**8 < heard[-1][2] < 10**11, "the memory that PyTorch and a trial take, in bytes"
        record = pickle.loads(heard[-1][1]).record
        assert (record.status, record.concurrent_trials, record.trial_id) == (Status.COMPLETE, 3, trial.id)
        connection.send((messages.STOP,))
        assert answer(connection) == (messages.RETURNED,)
        with pytest.raises(EOFError):
            answer(connection)


def test_a_module_is_the_one_that_was_sent(session, tmp_path, monkeypatch):
    """Also on the machine of the study's own process, where somebody may change it meanwhile."""
    here, sent = tmp_path / "here", tmp_path / "sent"
    write(tmp_path, "here/own_of_test.py", "sent/own_of_test.py")
    monkeypatch.syspath_prepend(here)
    work = NodeWork("study", TRIALS.run_trial, say_where, {}, (), None, None, 1)
    with nursery.new_process(session, fresh=False, folder=sent, grace_s=15) as connection:
        connection.send((messages.WORK, pickle.dumps(work)))
        assert answer(connection) == (messages.FAILED, str(sent / "own_of_test.py"), True)
    (sent / "own_of_test.py").unlink()
    (here / "own_of_test.py").unlink()
    with nursery.new_process(session, fresh=False, folder=sent, grace_s=15) as connection:
        connection.send((messages.WORK, pickle.dumps(work)))
        assert f"Sent to the nodes are {shipping.WHAT_IS_SENT};" in answer(connection)[1]


def test_a_node_without_the_place_for_checkpoints_says_so(session, tmp_path):
    place, study = tmp_path / "there", "study"
    work = NodeWork(study, TRIALS.run_trial, tmp_path.absolute, {}, (), str(place), 60.0, 1)

    def prepared():
        with nursery.new_process(session, fresh=False, folder=tmp_path, grace_s=15) as connection:
            connection.send((messages.WORK, pickle.dumps(work)))
            return answer(connection)

    kind, text, usage = prepared()
    assert (kind, usage) == (messages.FAILED, True)
    assert text.startswith(f"checkpoints {place}: what the study's own process has written there is not seen.")
    checkpoints.mark_place(str(place), study)
    assert prepared()[0] == messages.READY
    checkpoints.forget_recorded(str(place), study, set())
    assert not list((place / study).iterdir())


def test_a_relative_place_for_checkpoints_is_one_on_each_node(hermetic):
    assert place_anywhere("states") == str(hermetic / "states")
    assert place_anywhere("file:///tmp/states") == "/tmp/states"
    assert place_anywhere("s3://bucket/states") == "s3://bucket/states"


def test_the_last_one_that_leaves_takes_the_folder_away():
    name = f"left-{uuid.uuid4().hex[:12]}"
    folder = nursery.folder_of(name)
    nursery.hold(name).close()
    while folder.exists():
        time.sleep(0.05)
    with nursery.hold(name):
        assert folder.exists()
    while folder.exists() or folder.with_name(f"{folder.name}-ended").exists():
        time.sleep(0.05)


def test_what_a_killed_nursery_has_left_is_removed_in_time(tmp_path, monkeypatch, session):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    old, new = nursery.folder_of("old"), nursery.folder_of("new")
    (tmp_path / "posebench-trial-x").mkdir()
    for each in (old, tmp_path / "posebench-trial-x"):
        os.utime(each, (1, 1))
    living = tmp_path / f"posebench-{os.getuid()}-living"
    monkeypatch.setattr(tempfile, "tempdir", None)
    living.symlink_to(nursery.folder_of(session))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(nursery, "OLD_S", 60.0)
    young = [nursery.folder_of(f"young-{number}") for number in range(8)]
    others = [nursery.folder_of(f"old-{number}") for number in range(8)]  # found before and after young ones
    for each in others:
        os.utime(each, (1, 1))
    nursery.sweep()
    assert not any(each.exists() for each in (old, *others))
    kept = {each.name for each in (new, living, *young)}
    assert kept | {"posebench-trial-x"} <= {each.name for each in tmp_path.iterdir()}


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_a_temporary_folder_may_have_a_long_path(tmp_path, monkeypatch):
    long = tmp_path / ("long" * 30)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    name = f"long-{uuid.uuid4().hex[:12]}"
    with nursery.hold(name), nursery.new_process(name, fresh=False, folder=tmp_path, grace_s=15) as connection:
        work = NodeWork("study", TRIALS.run_trial, tmp_path.absolute, {}, (), None, None, 1)
        connection.send((messages.WORK, pickle.dumps(work)))
        assert answer(connection)[0] == messages.READY


def test_an_interrupted_trial_that_waits_for_an_answer_is_not_ended_by_it():
    module = pytest.importorskip("bench.engines.cluster.place", reason=MISSING)
    place = object.__new__(module.Place)
    ours, theirs = Pipe()
    place._process, place._sending, place._answers = ours, threading.Lock(), queue.SimpleQueue()
    place.stop()
    theirs.send((messages.SCORE, 0.5))
    theirs.send((messages.RETURNED,))
    assert [each[0] for each in place.run(b"")] == [messages.SCORE, messages.RETURNED]
    assert [theirs.recv() for _ in range(3)] == [(messages.STOP,), (messages.TRIAL, b""), (messages.ANSWER, False)]


class TestReaching:
    """What listens at an address is asked whether it is a cluster's head."""

    @pytest.fixture
    def connection(self):
        return pytest.importorskip("bench.engines.cluster.connection", reason=MISSING)

    def test_something_that_does_not_answer(self, connection, monkeypatch):
        monkeypatch.setattr(connection, "ANSWER_S", 0.3)
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = f"127.0.0.1:{server.getsockname()[1]}"
            with pytest.raises(SettingsError, match=f"what listens at {address} does not answer as the head"):
                connection.Connected(Cluster(address))

    def test_a_cluster_of_other_machines(self, connection, monkeypatch, tmp_path):
        node = SimpleNamespace(state=connection.ALIVE, raylet_socket_name=str(tmp_path / "raylet"))
        monkeypatch.setattr(connection, "_nodes_at", lambda _address: {"id": node})
        with pytest.raises(SettingsError, match="this machine is no node of the Ray cluster at head:6379"):
            connection._reach("head:6379")
        with closing(socket.socket(socket.AF_UNIX)) as listener:
            listener.bind(node.raylet_socket_name)
            listener.listen()
            connection._reach("head:6379")
            node.state = connection.ALIVE + 1
            with pytest.raises(SettingsError, match="is no node"):
                connection._reach("head:6379")

    def test_a_cluster_that_wants_a_token(self, connection, monkeypatch):
        ray = pytest.importorskip("ray")

        def nodes_at(_address):
            raise ray.exceptions.AuthenticationError("no token")

        monkeypatch.setattr(connection, "_nodes_at", nodes_at)
        monkeypatch.setattr(connection, "has_token", lambda: False)
        with pytest.raises(SettingsError, match=r"asks for a token\. Copy ~/\.ray/auth_token of its head"):
            connection._reach("head:6379")

    def test_nobody_else_may_read_a_token_that_ray_makes(self, connection, monkeypatch, tmp_path):
        monkeypatch.setenv("HOME", str(tmp_path))
        file = tmp_path / ".ray" / "auth_token"
        with connection._token_private():
            file.parent.mkdir()
            file.touch(mode=0o644)
        assert file.stat().st_mode & 0o777 == 0o600
        file.chmod(0o640)
        with connection._token_private():
            pass
        assert file.stat().st_mode & 0o777 == 0o640, "a file of the user's own stays as it is"


def begin(session, folder, spec, locate, grace_s):
    """A training process that has begun to find its data."""
    connection = nursery.new_process(session, fresh=False, folder=folder, grace_s=grace_s)
    work = NodeWork(spec.name, TRIALS.run_trial, locate, {}, (), None, None, 1)
    connection.send((messages.WORK, pickle.dumps(work)))
    return connection


def test_a_process_that_follows_no_interruption_is_killed_when_its_place_has_ended(valley_spec, session, hermetic):
    file = hermetic / "pid"
    with begin(session, hermetic, valley_spec(tunings=1), FollowsNothing(file), 1):
        until(lambda: file.exists() and file.read_text(), "the process")
    until(lambda: not psutil.pid_exists(int(file.read_text())), "the end of the process")


def test_a_process_that_leaves_a_child_has_ended_all_the_same(valley_spec, session, hermetic):
    file = hermetic / "child lives"
    with begin(session, hermetic, valley_spec(tunings=1), LeavesAChild(file), 15) as connection:
        assert connection.poll(60)
        with pytest.raises(EOFError):
            connection.recv()
        assert file.exists()
    file.unlink()


def test_a_trial_that_dies_on_a_node_goes_elsewhere_and_the_node_is_left_out_if_it_ends_there():
    deaths = Deaths()
    deaths.note(1, "bad")
    assert deaths.is_for_others(1, "bad", {"bad", "good"})
    assert not deaths.is_for_others(1, "bad", {"bad"}), "there is no other"
    assert not deaths.is_for_others(1, "good", {"bad", "good"})
    assert deaths.bad_nodes(1, "good") == []
    deaths.note(2, "bad")
    deaths.note(2, "good")
    assert not deaths.is_for_others(2, "bad", {"bad", "good"}), "it dies everywhere"
    assert deaths.bad_nodes(3, "bad") == [], "a trial has ended there"
    deaths.note(4, "bad")
    assert not deaths.is_for_others(4, "bad", {"bad", "good"}), "one death after trials that have ended"
    deaths.note(5, "bad")
    assert deaths.is_for_others(5, "bad", {"bad", "good"})
    assert [deaths.bad_nodes(key, "good") for key in (4, 5)] == [[], ["bad"]]


@pytest.fixture
def some_places():
    """Places that are no process: on a node that is about to leave, on one that is left out, and on one that stays."""
    places_of = pytest.importorskip("bench.engines.cluster.places")
    stopped = []

    def place(node, stage, **more):
        made = places_of.RemotePlace(SimpleNamespace(), stage=places_of.Stage[stage], node=node, **more)
        made.stop = lambda: stopped.append(made)
        return made

    made = places_of.Places.__new__(places_of.Places)
    made._all = [
        place("leaving", "FREE"),
        place("stays", "FREE"),
        place("", "FREE"),
        place("leaving", "RUNNING"),
        place("leaving", "RUNNING", is_stopped=True),
        place("out", "RUNNING"),
        place("out", "FREE"),
    ]
    made._nodes = SimpleNamespace(leaving={"leaving"}, is_usable={"stays"}.__contains__, needs={"num_cpus": 0.5})
    made._let_go, made._tell_workers = made._all.remove, lambda: None
    return made, [*made._all], stopped


@pytest.mark.parametrize("saves", [True, False])
def test_nodes_that_leave_are_left_by_what_does_not_run_and_trials_are_saved_where_they_can_be(some_places, saves):
    places, at_first, stopped = some_places
    places.leave_nodes(saves=saves)
    assert places._all == at_first[1:6]
    assert stopped == (at_first[3:4] if saves else [])


def test_a_trial_has_its_cores_and_one_at_least(some_places):
    places = some_places[0]
    assert places.threads == 1
    places._nodes.needs["num_cpus"] = 3.0
    assert places.threads == 3


def test_more_deaths_in_a_row_are_suffered_where_there_are_more_places():
    deaths = Deaths()
    for _ in range(20):
        deaths.count("died", places=10)
    with pytest.raises(WorkerError, match="21 died"):
        deaths.count("died", places=10)
    few = Deaths()
    for _ in range(MAX_DEATHS):
        few.count("died", places=2)
    with pytest.raises(WorkerError, match=f"{MAX_DEATHS + 1} died"):
        few.count("died", places=2)


def test_a_node_makes_the_synthetic_set_and_refuses_what_it_lacks(tiny_spec, hermetic, monkeypatch, tmp_path):
    monkeypatch.setenv("POSEBENCH_CACHE", str(tmp_path / "cache"))
    made = generate(hermetic / "data" / "synthetic-12-seed0", images=12, seed=0)
    assert made
    from bench.workloads.pose_data import find_data  # the digest of what was made

    folder = (hermetic / "data" / "synthetic-12-seed0").resolve()
    digest = find_data({"data": Setting(folder, DEFAULT)}, None).digest
    spec = tiny_spec().model_copy(update={"data": folder, "data_digest": digest})
    assert NodeData(KIND, spec)() == folder
    shutil.rmtree(folder)
    there = pickle.loads(pickle.dumps(NodeData(KIND, spec)))()
    assert there == tmp_path / "cache" / "data" / folder.name
    elsewhere = spec.model_copy(update={"data": Path("/nowhere/coco")})
    with pytest.raises(SettingsError, match=r"is not here\. Put it at the same path on each node"):
        NodeData(KIND, elsewhere)()


def test_the_death_of_a_process_elsewhere_is_counted_with_the_trial_of_this_one(valley_spec, storage_url):
    spec = valley_spec(tunings=1)
    ledger = Ledger(storage_url, spec.name, spec.identity())
    ledger.enqueue(first_trials(spec)[:1])
    claim = ledger.claim()
    ledger.charge_death_of(claim.key)
    again = ledger.claim()
    assert (again.key, again.deaths) == (claim.key, 1)
    ledger.put_back(again.key)
    ledger.charge_death_of(again.key)
    assert ledger.claim().deaths == 1, "it was nobody's then"


def test_a_status_says_where_a_trial_is_trained(valley_spec, storage_url):
    spec = valley_spec(tunings=1)
    ledger = Ledger(storage_url, spec.name, spec.identity())
    ledger.enqueue(first_trials(spec)[:1])
    claim = ledger.claim()
    ledger.note_runner(claim.key, "node7", 41)
    (entry,) = read_study(storage_url, spec.name).entries
    assert (entry.host, entry.pid) == (socket.gethostname(), os.getpid()), "who owns it"
    assert entry.runner == ("node7", 41)
    ledger.put_back(claim.key)
    ledger.claim()
    (entry,) = read_study(storage_url, spec.name).entries
    assert entry.runner is None


def test_the_number_of_workers_in_the_ledger_follows_the_cluster(valley_spec, storage_url):
    spec = valley_spec(tunings=1)
    ledger = Ledger(storage_url, spec.name, spec.identity())
    with ledger.session(0):
        ledger.note_workers(7)
        assert read_study(storage_url, spec.name).workers == 7
    assert read_study(storage_url, spec.name).workers == 0


def test_the_idle_share_counts_places_while_they_are_there(valley_spec, monkeypatch):
    """Two places for the first 10 s, one for the next: 30 s offered, of which a trial of 20 s and one of 4 s ran.

    Time before the first trial and after the last one does not count.
    """
    now = [90.0]
    monkeypatch.setattr("bench.study.idle_share.time.time", lambda: now[0])
    idle = IdleShare(0)
    first, second = first_trials(valley_spec(tunings=1))[:2]

    def begin(trial):
        running = RunningTrial(trial.id, trial.phase, trial.optimizer, 0, 20, now[0], "node", 1)
        idle.on_event(TrialBegan(running))

    def end(trial, seconds):
        idle.on_event(TrialEnded(make_record(trial, Status.COMPLETE, steps_done=1, metrics={}), seconds, 1))

    idle.on_event(WorkersChanged(2))
    now[0] = 100.0
    begin(first)
    begin(second)
    now[0] = 110.0
    end(second, 4.0)
    idle.on_event(WorkersChanged(1))
    now[0] = 120.0
    end(first, 20.0)
    assert (idle.share, idle.workers, idle.trials) == (pytest.approx(1 - 24 / 30), 2, 2)
    for moment, workers in ((130.0, 3), (140.0, 0)):
        now[0] = moment
        idle.on_event(WorkersChanged(workers))
    assert (idle.share, idle.workers) == (pytest.approx(1 - 24 / 30), 3)


def places(**changed):
    default = {"device": "cpu", "workers": "auto", "gpus": None, "trials_per_gpu": 1, "checkpoints": None}
    values = {**default, "engine": "ray", "ray_address": None, **changed}
    return {name: Setting(value, COMMAND_LINE) for name, value in values.items()}


def test_a_trial_s_needs_come_from_the_settings():
    pytest.importorskip("ray")
    settled = places() | places_here(places(device="cuda", trials_per_gpu=4, workers=9))
    cluster = cluster_of(settled | {"num_workers": Setting((0, 3), DEFAULT)} | {"trials_per_gpu": Setting(4, "")})
    assert (cluster.most, cluster.cores, cluster.gpu_share) == (9, 4, 0.25)
    unbounded = cluster_of(places() | places_here(places()))
    assert (unbounded.most, unbounded.cores, unbounded.gpu_share) == (None, 1, 0.0)
    assert cluster_of(places(engine="local")) is None


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"workers": 0}, "most trials at once"),
        ({"gpus": (0,)}, "Ray chooses the GPUs"),
        ({"device": "auto"}, "say what they train on"),
        ({"engine": "local", "ray_address": "head:6379"}, "needs --engine ray"),
    ],
)
def test_settings_that_mean_nothing_on_a_cluster_are_refused(changed, text):
    if changed.get("engine") != "local":
        pytest.importorskip("ray")
    with pytest.raises(SettingsError, match=text):
        places_here(places(**changed))


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr(settings.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(SettingsError, match=r'pip install "posebench\[ray\]"'):
        require_ray()


def test_a_system_that_cannot_fork_is_refused(monkeypatch):
    monkeypatch.delattr(settings.os, "fork")
    with pytest.raises(SettingsError, match="Linux and macOS alone; here, leave --engine out"):
        require_ray()


def test_builds_of_pytorch_for_different_devices_are_one_version():
    place = pytest.importorskip("bench.engines.cluster.place", reason=MISSING)
    found = place.versions()
    assert {*found} == {"python", "posebench", "torch"}
    assert "+" not in found["torch"]
    assert torch.__version__.startswith(found["torch"])


def test_a_cluster_in_words():
    assert Cluster().text == "the Ray cluster"
    assert Cluster("head:6379").text == "the Ray cluster at head:6379"


@pytest.mark.parametrize(
    ("nodes", "cluster", "needs"),
    [
        ([{"CPU": 2}, {"CPU": 16}], Cluster(cores=9), {"num_cpus": 8, "num_gpus": 0}),
        ([{"CPU": 2}, {"CPU": 16}], Cluster(cores=3), {"num_cpus": 3, "num_gpus": 0}),
        ([{"CPU": 2}, {"CPU": 4}], Cluster(cores=9), {"num_cpus": 2, "num_gpus": 0}),
        ([{"CPU": 16}, *[{"CPU": 4}] * 10], Cluster(cores=9), {"num_cpus": 4, "num_gpus": 0}),
        ([{"CPU": 1}, {"CPU": 16}], Cluster(cores=9), {"num_cpus": 8, "num_gpus": 0}),
        ([{"CPU": 0}], Cluster(cores=9), {"num_cpus": 9, "num_gpus": 0}),
        ([{"CPU": 32, "GPU": 4}, {"CPU": 8}], Cluster(device="cuda", cores=9), {"num_cpus": 8, "num_gpus": 1}),
        ([{"CPU": 32, "GPU": 4}], Cluster(device="cuda", trials_per_gpu=4, cores=9), {"num_cpus": 2, "num_gpus": 0.25}),
        ([{"CPU": 2, "GPU": 4}], Cluster(device="cuda"), {"num_cpus": 0, "num_gpus": 1}),
        ([], Cluster(device="cuda", cores=3), {"num_cpus": 3, "num_gpus": 1}),
    ],
)
def test_what_a_place_needs(nodes, cluster, needs):
    assert needs_in(nodes, cluster) == needs


def test_memory_that_was_measured_is_stated_and_makes_nothing_unplaceable():
    nodes = [{"CPU": 1, "memory": 9e9}, {"CPU": 4, "memory": 2e9}, {"CPU": 4, "memory": 3e9}]
    needs = {"num_cpus": 2, "num_gpus": 0}
    assert with_memory(nodes, needs, 10**9) == needs | {"memory": 10**9}
    assert with_memory(nodes, needs, 4 * 10**9) == needs | {"memory": 3 * 10**9}, "the largest that has the cores"
    assert with_memory([], needs, 10**9) == needs | {"memory": 0}


def test_why_nothing_can_be_placed():
    gpu, cores = Cluster(device="cuda"), Cluster(cores=4)
    assert why_unplaceable([{"CPU": 2}, {"GPU": 1.0, "CPU": 1}], {"num_cpus": 1, "num_gpus": 1.0}, gpu) is None
    text = why_unplaceable([{"CPU": 2}], {"num_cpus": 1, "num_gpus": 0.5}, gpu)
    assert text.endswith("needs 1 core and 0.5 of a GPU, but no node of the cluster has a GPU.")
    text = why_unplaceable([{"CPU": 2}, {"CPU": 2}], {"num_cpus": 4, "num_gpus": 0}, cores)
    assert text == "The study trains on cpu; a trial needs 4 cores, but no node has that much."
