"""What every engine keeps: the same study has the same records, whoever runs its trials, and loses none of them.

The engines are this process (one worker), processes of this machine, and a Ray cluster of two nodes. Nodes that die,
and a cluster of sixteen GPUs, are in `tests/proofs/test_ray_cluster.py`.
"""

import json
import signal
from collections import Counter, defaultdict

import pytest

from tests.support.long_tests import long
from tests.support.mortal_valley import MORTAL
from tests.support.place import PLANNED, STUDY_FILE, VALLEY_FILE, WORKERS, Place, PosePlace
from tests.support.ray_nodes import MISSING, nodes
from tests.support.running_study import DEADLINE_S, RUNNING, ended, entries, holding, output, wait_for

INLINE, PROCESSES, RAY = ("inline", "processes", "ray")
OWN = "class Slow(__import__('torch').optim.SGD):\n    pass\n"
"""An own optimizer, in a module of the working folder."""
MIXED = VALLEY_FILE.replace('"sgd"', '"own_descent.Slow"') + 'fails_at = 15\nonly = "Adam"\n'
MIXED += '\n[spaces."own_descent.Slow"]\nlr = { log = [0.01, 1.0] }\n'
"""Half of its trials fail, half of them are those of the own optimizer."""
ONCE = VALLEY_FILE.replace("tunings = 2", "tunings = 1")
"""Four trials."""
TIMES = ("seconds", "images_per_s", "step_ms", "data_wait")
"""Parts of the names of metrics that differ from run to run."""
ABOUT_THE_RUN = ("concurrent_trials", "torch_threads", "gpu")


@pytest.fixture(scope="module")
def cluster():
    """Two nodes with a core each; skipped where Ray is not installed."""
    pytest.importorskip("ray", reason=MISSING)
    with nodes(1, 1) as found:
        yield found


@pytest.fixture(params=[INLINE, long(PROCESSES), RAY])
def engine(request):
    """An engine: its name, and the cluster if it is Ray's."""
    return request.param, request.getfixturevalue("cluster") if request.param == RAY else None


@pytest.fixture(params=[long(INLINE), long(PROCESSES), RAY])
def interruptible(request):
    """An engine whose short sibling, in this process, is in `tests/end_to_end/test_checkpoints.py`."""
    return request.param, request.getfixturevalue("cluster") if request.param == RAY else None


def options(engine):
    """What a command of `posebench study` needs to run its trials there."""
    name, cluster = engine
    if cluster is not None:
        return cluster.options
    return ("--workers", 1 if name == INLINE else 2)


def where(engine):
    """The same for `tests.support.engine_events`."""
    name, cluster = engine
    return cluster.address if cluster is not None else str(1 if name == INLINE else 2)


def at(folder, text=VALLEY_FILE):
    """A place whose workers are forked."""
    place = Place(folder, text)
    place.forked_starts = WORKERS
    return place


def records(place):
    """Each record's parameters and metrics that do not depend on the moment, by trial."""
    ids = dict(place.query("SELECT run_uuid, value FROM tags WHERE key = 'posebench.trial'"))
    found = defaultdict(dict)
    for run, key, value in place.query("SELECT run_uuid, key, value FROM params"):
        if run in ids and key not in ABOUT_THE_RUN:
            found[ids[run]][key] = value
    for run, key, value in place.query("SELECT run_uuid, key, value FROM tags WHERE key IN ('posebench.status')"):
        if run in ids:
            found[ids[run]][key] = value
    for run, key, step, value in place.query("SELECT run_uuid, key, step, value FROM metrics ORDER BY key, step"):
        if run in ids and not any(part in key for part in TIMES):
            found[ids[run]][f"{key} {step}"] = value
    return dict(found)


@pytest.fixture(scope="module")
def seen():
    """The records of the engines that have run the mixed study."""
    return {}


def test_records_failures_and_progress_are_the_same_on_each_engine(engine, tmp_path, seen):
    place = at(tmp_path / "here", MIXED)
    (place.folder / "own_descent.py").write_text(OWN)
    done = place.run_program("tests.support.engine_events:command", "tiny.toml", "people", where(engine))
    assert done.returncode == 0, done.stderr
    assert len(place.recorded()) == len(set(place.recorded())) == PLANNED
    found = seen[engine[0]] = records(place)
    assert Counter(each["posebench.status"] for each in found.values()) == {"complete": 4, "failed": 4}
    assert all(each == found for each in seen.values()), "the records of the engines before"

    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    heard = defaultdict(list)
    for event in events:
        trial_id = event.get("trial_id") or (event.get("trial") or event.get("record") or {}).get("trial_id")
        if trial_id:
            heard[trial_id].append(event["event"])
    assert set(heard) == set(found)
    for trial_id, names in heard.items():
        assert (names[0], names[-1]) == ("TrialBegan", "TrialEnded"), trial_id
        assert "TrialStepped" in names
    # Of two workers the one that has ended a trial earlier may be heard later.
    assert sorted(event["ended"] for event in events if event["event"] == "TrialEnded") == list(range(1, PLANNED + 1))
    machine = dict(place.query("SELECT key, value FROM tags WHERE key LIKE 'machine.%'"))
    assert {"machine.cpu", "machine.cores", "machine.torch"} <= {*machine}, "on a cluster its node's"
    told = place.query("SELECT value FROM tags WHERE key LIKE 'posebench.session.%'")
    (session,) = [json.loads(text) for (text,) in told]
    assert session.get("engine") == (None if engine[1] is None else "ray")
    assert session["workers"] == (1 if engine[0] == INLINE else 2)


def test_an_interrupted_study_gives_its_trials_back_and_they_go_on_from_their_checkpoints(interruptible, tmp_path):
    engine = interruptible
    place = at(tmp_path / "here", ONCE.replace("= 20", "= 80") + "sleep_ms = 40\n")
    how = (*options(engine), "--checkpoints", tmp_path / "checkpoints")
    most = 1 if engine[0] == INLINE else 2
    with ended(place.start(*place.study, *how, POSEBENCH_CHECKPOINT_EVERY="0.2s")) as process:
        wait_for(lambda: holding(place, most), process, place)
        wait_for(lambda: list((tmp_path / "checkpoints").rglob("*.tar")), process, place)
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_S) == 130, output(place)
    assert entries(place, RUNNING) == []
    assert "RUNNING" not in place.run_states()
    assert "Traceback" not in output(place)
    assert "posebench study resume" in output(place)
    assert ("--engine ray" in output(place)) == (engine[1] is not None)
    assert list((tmp_path / "checkpoints").rglob("*.tar")), output(place)
    before = set(place.recorded())
    last = place.run(*place.study, *how, "--json")
    assert last.returncode == 0, last.stderr
    assert json.loads(last.stdout)["trials"]["complete"] == 4
    assert before < set(place.recorded())
    assert len(place.recorded()) == len(set(place.recorded())) == 4
    assert list((tmp_path / "checkpoints").rglob("*.tar")) == []


@pytest.fixture(params=[long(PROCESSES), long(RAY)])
def separate(request):
    """An engine that runs trials in processes of their own."""
    return request.param, request.getfixturevalue("cluster") if request.param == RAY else None


def test_a_trial_whose_process_dies_once_runs_again_and_one_whose_process_dies_thrice_has_failed(separate, tmp_path):
    """The two trials of one optimizer share four deaths: three fail the first, one delays the second."""
    deaths = tmp_path / "deaths"
    deaths.mkdir()
    text = ONCE.replace("tests.support.valley:Valley", MORTAL)
    place = at(tmp_path / "here", text + f'deaths = "{deaths}"\nmost = 4\n')
    done = place.run(*place.study, *options(separate), "--json")
    assert done.returncode == 3, done.stderr
    trials = json.loads(done.stdout)["trials"]
    assert (trials["complete"], trials["failed"]) == (3, 1)
    assert sorted(each.name for each in deaths.iterdir()) == ["0", "1", "2", "3"]
    errors = place.query("SELECT DISTINCT value FROM tags WHERE key = 'posebench.error' AND value != ''")
    assert errors == [("the worker died 3 times while it ran this trial",)]


# --- Ray alone


@pytest.mark.long
def test_a_pose_network_trains_on_the_nodes_as_here(cluster, tmp_path):
    """The node makes no data of its own: the study's folder is there."""
    found = {}
    for name, how in (("here", ("--workers", 1)), ("there", cluster.options)):
        place = PosePlace(tmp_path / name, STUDY_FILE.replace("tunings = 2", "tunings = 1"))
        done = place.run(*place.study, *how, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["trials"]["complete"] == 4
        found[name] = records(place)
    assert found["here"] == found["there"]


def test_what_a_cluster_cannot_do_is_said(cluster, tmp_path):
    place = at(tmp_path / "here")

    def refused(*arguments, code=2):
        done = place.run(*arguments)
        assert done.returncode == code, done.stderr
        return " ".join(done.stderr.split())

    study = place.study
    assert "no Ray cluster answers at 127.0.0.1:1." in refused(
        *study, "--engine", "ray", "--ray-address", "127.0.0.1:1"
    )
    assert "address of Ray's client" in refused(*study, "--engine", "ray", "--ray-address", "ray://127.0.0.1:1")
    assert "Ray chooses the GPUs" in refused(*study, *cluster.options, "--gpus", "0")
    assert "most trials at once" in refused(*study, *cluster.options, "--workers", 0)
    assert "needs --engine ray" in refused(*study, "--ray-address", cluster.address)
    assert "about the machine that it runs on" in refused("study", "loaders", "--data", "people", "--engine", "ray")
    assert not (place.folder / "optuna.db").exists()


def test_an_ordinary_study_imports_nothing_of_ray(tmp_path):
    place = Place(tmp_path / "here")
    done = place.run_program("tests.support.engine_events:modules_of_ray", *place.study, "--workers", 1)
    assert done.stderr.splitlines()[-1] == "[]", done.stderr
    assert len(place.recorded()) == PLANNED
