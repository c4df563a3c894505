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
    "tests/bench/test_cli.py",
    "tests/bench/test_own_network_commands.py",
    "tests/bench/test_read_differently.py",
    "tests/bench/test_repeated_trials.py",
    "tests/bench/test_skip_bad.py",
    "tests/bench/test_train_options.py",
    "tests/end_to_end/test_any_keypoints.py",
    "tests/end_to_end/test_killed_training.py",
    "tests/end_to_end/test_torchrun.py",
    "tests/posemodel/test_averaging.py",
    "tests/posemodel/test_distributed.py",
    "tests/posemodel/test_driven_training.py",
    "tests/posemodel/test_exif.py",
    "tests/posemodel/test_import_weights.py",
    "tests/posemodel/test_judged_weights.py",
    "tests/posemodel/test_loader.py",
    "tests/posemodel/test_network.py",
    "tests/posemodel/test_network_skeletons.py",
    "tests/posemodel/test_own_network.py",
    "tests/posemodel/test_recipes.py",
    "tests/posemodel/test_soundness.py",
    "tests/posemodel/test_training.py",
    "tests/posemodel/test_weight_average.py",
    "tests/posemodel/test_weights.py",
)


@pytest.mark.parametrize("file", FILES)
def test_what_takes_long(file, figures):
    run_tests(figures, "--long", files=[file])
