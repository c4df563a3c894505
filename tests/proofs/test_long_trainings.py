"""Trainings of real networks that take seconds.

Their shorter siblings stand beside them, and run in `make test`.
"""

import pytest

from tests.support.long_tests import run_tests

SHARD = "real"
COVERS = (
    "bench/cli/actions/train*.py",
    "bench/trials/*.py",
    "bench/workloads/*.py",
    "posemodel/**/*.py",
)
FILES = (
    "tests/bench/test_read_differently.py",
    "tests/bench/test_repeated_trials.py",
    "tests/bench/test_train_options.py",
    "tests/posemodel/test_exif.py",
    "tests/posemodel/test_import_weights.py",
    "tests/posemodel/test_loader.py",
    "tests/posemodel/test_network.py",
    "tests/posemodel/test_network_skeletons.py",
    "tests/posemodel/test_own_network.py",
    "tests/posemodel/test_recipes.py",
    "tests/posemodel/test_soundness.py",
    "tests/posemodel/test_training.py",
)


@pytest.mark.parametrize("file", FILES)
def test_what_takes_long(file, figures):
    run_tests(figures, "--long", files=[file])
