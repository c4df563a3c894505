"""Trials that are interrupted or killed go on from their checkpoints in other processes, and end as if undisturbed."""

import json
import os
import signal

import pandas as pd
import psutil
import pytest

from bench.ledger.reader import WAITING
from tests.support.elsewhere import Elsewhere
from tests.support.long_tests import long
from tests.support.place import PLANNED, STUDY_FILE, VALLEY_FILE, WORKERS, Place, PosePlace
from tests.support.running_study import DEADLINE_S, ended, entries, output, wait_for

SLOW_FILE = VALLEY_FILE.replace("= 20", "= 100") + "sleep_ms = 4\n"
"""Its trials take half a second each."""
POSE_FILE = STUDY_FILE.replace('["sgd", "adam"]', '["adam"]').replace("tunings = 2", "tunings = 1").replace(
    "teps = 2", "teps = 40"
)  # fmt: skip
POSE_TRIALS = 2
OFTEN = {"POSEBENCH_CHECKPOINT_EVERY": "0.05s"}
TIMED = ("_s", "_s_sum", "_ms", "_seconds", "_share", "run_id", "concurrent_trials")
"""Ends of the names of what depends on the clock or on the number of workers, or is drawn at random."""


def make_place(folder, file, *, pose=False):
    place = (PosePlace if pose else Place)(folder)
    (place.folder / "slow.toml").write_text(file)
    return place


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The study of valleys run once through, without checkpoints."""
    place = make_place(tmp_path_factory.mktemp("undisturbed") / "here", SLOW_FILE)
    process = place.run(*place.study_of("slow.toml"), "--json")
    assert process.returncode == 0, process.stderr
    return place


def table(place, name):
    frame = pd.read_csv(place.folder / "reports" / place.name / name, dtype=str)
    frame = frame[[column for column in frame if not column.endswith(TIMED)]]
    return frame.sort_values(list(frame.columns)).reset_index(drop=True)


def assert_as_undisturbed(place, undisturbed, trials):
    recorded = place.recorded()
    assert len(recorded) == len(set(recorded)) == trials
    for name in ("records.csv", "curves.csv"):
        pd.testing.assert_frame_equal(table(place, name), table(undisturbed, name))


def samples_of(place):
    return sorted(path.read_text() for path in (place.folder / "mlartifacts").rglob("samples.json"))


def checkpoints(place):
    return sorted(path.name for path in (place.folder / "shared").rglob("*.tar"))


def interrupt(place, process, end):
    """End the command once a trial has a checkpoint."""
    with ended(process):
        wait_for(lambda: checkpoints(place), process, place)
        end(process)
        process.wait(DEADLINE_S)


def terminate(process):
    process.send_signal(signal.SIGTERM)


def kill(process):
    os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("workers", "url", "end"), [(1, True, terminate), long(2, False, kill)], ids=["interrupted", "workers killed"]
)
def test_a_trial_goes_on_in_another_process(tmp_path, undisturbed, workers, url, end):
    """The other pairs of these: tests/proofs/test_more_kills.py."""
    goes_on(tmp_path, undisturbed, workers, url, end)


def goes_on(folder, undisturbed, workers, url, end):
    """A study of so many workers, with its checkpoints at a URL or in a folder, is ended and resumed."""
    place = make_place(folder / "here", SLOW_FILE)
    place.forked_starts = WORKERS
    shared = f"local://{place.folder / 'shared'}" if url else "shared"
    process = place.start(*place.study_of("slow.toml"), "--workers", workers, "--checkpoints", shared, **OFTEN)
    interrupt(place, process, end)
    assert process.returncode == (130 if end is terminate else -signal.SIGKILL)
    assert "Traceback" not in output(place)
    if end is terminate:
        assert f"Go on with it:\n  posebench study resume {place.name} --checkpoints {shared}\n" in output(place)
    kept = checkpoints(place)
    assert 1 <= len(kept) <= workers

    elsewhere = place.folder / "elsewhere"
    elsewhere.mkdir()
    last = place.run(
        *("study", "resume", place.name, "--json", "--workers", workers, "--checkpoints", shared),
        TMPDIR=str(elsewhere),
    )
    assert last.returncode == 0, last.stderr
    assert json.loads(last.stdout)["trials"]["complete"] == PLANNED
    said = [line for line in last.stderr.splitlines() if "goes on from its checkpoint after step" in line]
    assert len(said) == len(kept)
    assert "cannot be used" not in last.stderr
    assert checkpoints(place) == [], "each is removed once its trial is recorded"
    assert [*elsewhere.glob("posebench-trial-*")] == []
    assert_as_undisturbed(place, undisturbed, PLANNED)


@pytest.mark.long
def test_a_pose_network_goes_on_in_another_process(tmp_path):
    """Its final weights show in its samples, AP and losses, which are equal to the bit."""
    undisturbed = make_place(tmp_path / "undisturbed", POSE_FILE, pose=True)
    whole = undisturbed.run(*undisturbed.study_of("slow.toml"))
    assert whole.returncode == 0, whole.stderr
    place = make_place(tmp_path / "here", POSE_FILE, pose=True)
    process = place.start(*place.study_of("slow.toml"), "--checkpoints", "shared", **OFTEN)
    interrupt(place, process, terminate)
    assert process.returncode == 130, output(place)
    assert len(checkpoints(place)) == 1
    last = place.run("study", "resume", place.name, "--checkpoints", "shared")
    assert last.returncode == 0, last.stderr
    assert last.stderr.count("goes on from its checkpoint after step") == 1
    assert_as_undisturbed(place, undisturbed, POSE_TRIALS)
    assert samples_of(place) == samples_of(undisturbed) != []


def test_a_ctrl_c_in_a_terminal_lets_the_loader_live_until_its_trial_is_saved(tmp_path):
    """It goes to all processes of the command, those of the data loader included."""
    place = make_place(tmp_path / "here", POSE_FILE.replace("= 40", "= 4_000") + "num_workers = 2\n", pose=True)
    process = place.start(*place.study_of("slow.toml"), "--checkpoints", "shared", POSEBENCH_CHECKPOINT_EVERY="1h")
    with ended(process):
        wait_for(lambda: place.run_states().get("RUNNING") == 2 and loaders(process), process, place)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(DEADLINE_S) == 130
    assert "Traceback" not in output(place)
    assert len(checkpoints(place)) == 1, output(place)


def loaders(process):
    """Whether the loader's processes are there, and have had their time to begin."""
    children = psutil.Process(process.pid).children()
    return len(children) >= 2 and all(child.cpu_times().user > 0.05 for child in children)


@pytest.mark.parametrize(
    ("place_of_them", "words"),
    [
        ("nosuch://bucket/x", "checkpoints nosuch://bucket/x: cannot be opened (Protocol not known: nosuch"),
        ("/dev/null/x", "checkpoints /dev/null/x: files cannot be kept there"),
    ],
)
def test_a_place_that_cannot_be_used_is_refused_before_the_study_begins(place, place_of_them, words):
    before = place.files()
    refused = place.run(*place.study, "--checkpoints", place_of_them)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert words in " ".join(refused.stderr.split())
    assert place.files() == before


@pytest.mark.long
def test_a_worker_elsewhere_goes_on_with_another_s_trial(tmp_path, undisturbed):
    """The first is on a machine that is about to be taken away; the study's own command trains nothing."""
    place = make_place(tmp_path / "here", SLOW_FILE)
    first, second = (Elsewhere(tmp_path / name, place) for name in ("first", "second"))
    command = ("worker", place.name, "--checkpoints", place.folder / "shared")
    with ended(place.start(*place.study_of("slow.toml"), "--workers", 0)) as driver:
        wait_for(lambda: entries(place, WAITING), driver, place)
        with ended(first.start(*command, **OFTEN)) as leaving:
            wait_for(lambda: checkpoints(place), leaving, first)
            leaving.send_signal(signal.SIGTERM)
            assert leaving.wait(DEADLINE_S) == 130
        assert len(checkpoints(place)) == 1, output(first)
        last = second.run(*command)
        assert last.returncode == 0, last.stderr
        assert last.stderr.count("goes on from its checkpoint after step") == 1
        assert driver.wait(DEADLINE_S) == 0, output(place)
    assert checkpoints(place) == []
    assert_as_undisturbed(place, undisturbed, PLANNED)
