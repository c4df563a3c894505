"""Two workers are almost twice as fast as one, eight on eight GPUs almost eight times, start-up and report included.

The trials sleep, as a process that waits for its GPU does. The short sibling, that the trials of two workers run at the
same time, is in `tests/bench/test_join.py`.
"""

import json
import subprocess
import sys
import time

from tests.support.place import Place
from tests.support.simulated_gpus import SEEN, inventory
from tests.support.valley import VALLEY

SHARD = "real"
COVERS = (
    "bench/engines/*.py", "bench/ledger/*.py", "bench/study/ledger_runner.py", "bench/study/longest_first.py",
    "bench/measure/gpus.py", "tests/support/simulated_gpus.py",
)  # fmt: skip
TRIAL_S = 30.0
STEPS = 20
SIX = ("sgd", "nesterov", "adagrad", "adadelta", "adam", "adabound")


def study_file(tunings, *, seeds=1, trial_s=TRIAL_S, optimizers=("sgd", "adam")):
    """A study with a tune trial and confirm trials of each tuning of each optimizer, all of the same length."""
    return f"""
kind = "optimizers"
optimizers = {json.dumps(optimizers)}
tunings = {tunings}
trials = 1
seeds = {seeds}
tune_steps = {STEPS}
steps = {STEPS}
evaluations = 1
batch_size = 2
device = "cpu"

[workload]
name = "{VALLEY}"
sleep_ms = {1000 * trial_s / STEPS}
"""


def trial_seconds(place):
    """Seconds of training of all recorded trials."""
    rows = place.query("SELECT value FROM latest_metrics WHERE key = 'final.train_seconds'")
    return [value for (value,) in rows]


def test_two_workers_are_almost_twice_as_fast_as_one(tmp_path, figures):
    """With 24 trials of 30 s, the whole command timed, from its start to its exit."""
    took = {}
    for workers in (1, 2):
        place = Place(tmp_path / str(workers), study_file(6))
        began = time.monotonic()
        done = place.run_installed(*place.study, "--workers", workers)
        took[workers] = time.monotonic() - began
        assert done.returncode == 0, done.stderr
        assert len(set(place.recorded())) == 24
    figures["seconds with 1 worker"], figures["seconds with 2 workers"] = round(took[1], 1), round(took[2], 1)
    figures["speed-up of 2 workers"] = round(took[1] / took[2], 3)
    assert took[1] / took[2] >= 1.9


def test_eight_workers_on_eight_gpus_are_almost_eight_times_as_fast_as_one(tmp_path, figures):
    """With 144 trials of 60 s. One worker needs the time of all trials, and that of its start, records and report,
    which is measured with the same trials without their sleep."""
    took, places = {}, {}
    for workers, trial_s in ((1, 0.0), (8, 2 * TRIAL_S)):
        place = places[workers] = Place(
            tmp_path / str(workers), study_file(8, seeds=2, trial_s=trial_s, optimizers=SIX)
        )
        began = time.monotonic()
        command = [sys.executable, "-m", "tests.support.simulated_gpus", "tiny.toml", "people", str(workers)]
        done = subprocess.run(
            command, cwd=place.folder, env=place.environment, capture_output=True, text=True, check=False
        )
        took[workers] = time.monotonic() - began
        assert done.returncode == 0, done.stderr
        assert len(set(place.recorded())) == 144
    one = took[1] + sum(trial_seconds(places[8]))
    figures["seconds with 1 worker"], figures["seconds with 8 workers"] = round(one, 1), round(took[8], 1)
    figures["speed-up of 8 workers"] = round(one / took[8], 3)
    seen = dict(line.split() for line in (places[8].folder / SEEN).read_text().splitlines())
    assert sorted(seen.values()) == [gpu.uuid for gpu in inventory(8)], "each worker sees a GPU of its own"
    assert one / took[8] >= 7.5
