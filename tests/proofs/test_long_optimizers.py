"""Tests of optimizers, analyses and estimates that take seconds.

Their shorter siblings stand beside them, and run in `make test`.
"""

import pytest

from tests.support.long_tests import run_tests

SHARD = "simulations"
COVERS = (
    "bench/kinds/**/*.py",
    "bench/optimizers/*.py",
    "bench/report/*.py",
    "bench/speed/*.py",
    "bench/statistics/*.py",
    "bench/study/*.py",
    "bench/workloads/*.py",
)
FILES = (
    "tests/bench/test_adabound.py",
    "tests/bench/test_cli_data_show.py",
    "tests/bench/test_driven_optimizers.py",
    "tests/bench/test_estimate.py",
    "tests/bench/test_extension.py",
    "tests/bench/test_gpus.py",
    "tests/bench/test_hostile_names.py",
    "tests/bench/test_installed_packages.py",
    "tests/bench/test_kept_pages.py",
    "tests/bench/test_loader_page.py",
    "tests/bench/test_optimizer_figures.py",
    "tests/bench/test_own_scores.py",
    "tests/bench/test_own_workload.py",
    "tests/bench/test_plans_ahead.py",
    "tests/bench/test_rebuilt_joint.py",
    "tests/bench/test_report.py",
    "tests/bench/test_search.py",
    "tests/bench/test_simulated_worlds.py",
    "tests/bench/test_skeleton_figure.py",
    "tests/bench/test_speed_parts.py",
    "tests/bench/test_study_weights.py",
    "tests/bench/test_two_studies.py",
    "tests/bench/test_val_loss.py",
    "tests/bench/test_workloads.py",
)


@pytest.mark.parametrize("file", FILES)
def test_what_takes_long(file, figures):
    run_tests(figures, "--long", files=[file])
