"""Whole studies, from the command line to the report, that take seconds.

Their shorter siblings stand beside them, and run in `make test`.
"""

import pytest

from tests.support.long_tests import run_tests

SHARD = "kills"
COVERS = ("bench/**/*.py",)
FILES = (
    "tests/bench/test_cli_study.py",
    "tests/end_to_end/test_any_network.py",
    "tests/end_to_end/test_any_optimizer.py",
    "tests/end_to_end/test_changing_cluster.py",
    "tests/end_to_end/test_checkpoints.py",
    "tests/end_to_end/test_closed_output.py",
    "tests/end_to_end/test_clusters_page.py",
    "tests/end_to_end/test_deaths.py",
    "tests/end_to_end/test_engines.py",
    "tests/end_to_end/test_examples.py",
    "tests/end_to_end/test_extended_study.py",
    "tests/end_to_end/test_fourth_kind.py",
    "tests/end_to_end/test_interruption.py",
    "tests/end_to_end/test_joint_study.py",
    "tests/end_to_end/test_killed_study.py",
    "tests/end_to_end/test_loader_study.py",
    "tests/end_to_end/test_mlflow_ui.py",
    "tests/end_to_end/test_no_result.py",
    "tests/end_to_end/test_nothing_scored.py",
    "tests/end_to_end/test_recorded_stores.py",
    "tests/end_to_end/test_secrets.py",
    "tests/end_to_end/test_series.py",
    "tests/end_to_end/test_servers_away.py",
    "tests/end_to_end/test_small_machines.py",
    "tests/end_to_end/test_val_loss_study.py",
    "tests/end_to_end/test_worker_command.py",
)


@pytest.mark.parametrize("file", FILES)
def test_what_takes_long(file, figures):
    run_tests(figures, "--long", files=[file])
