"""A network by dotted path, from the working directory, in a study's workers.

In one process: tests/bench/test_own_network_commands.py.
"""

import json

import pytest

from posemodel.synthetic import generate
from tests.support.own_networks import TINY
from tests.support.place import WORKERS


@pytest.mark.long
def test_a_class_of_the_working_directory_is_found_by_workers(place):
    place.forked_starts = WORKERS
    (place.folder / "own_net.py").write_text(TINY)
    generate(place.folder / "few", images=12, seed=0, size=(96, 80))
    done = place.run(
        *("study", "optimizers", "--preset", "smoke", "--device", "cpu", "--data", "few", "--network", "own_net.Tiny"),
        *("--optimizers", "sgd", "--tunings", 2, "--trials", 1, "--seeds", 1, "--tune-steps", 1, "--steps", 2),
        *("--size", 64, "--batch-size", 2, "--workers", 2, "--json"),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["status"], found["spec"]["network"]) == ("complete", "own_net:Tiny")
    assert found["trials"]["complete"] == found["trials"]["planned"] == 4
