"""Tests of workers, processes and servers that take seconds.

Their shorter siblings stand beside them, and run in `make test`.
"""

import pytest

from tests.support.long_tests import run_tests

SHARD = "worlds"
COVERS = (
    "bench/cli/*.py",
    "bench/engines/*.py",
    "bench/kinds/loaders/**/*.py",
    "bench/ledger/*.py",
    "bench/measure/**/*.py",
    "bench/records/*.py",
)
FILES = (
    "tests/bench/test_budget.py",
    "tests/bench/test_checkpoints.py",
    "tests/bench/test_claim_speed.py",
    "tests/bench/test_gpu_places.py",
    "tests/bench/test_join.py",
    "tests/bench/test_loader_living.py",
    "tests/bench/test_loader_plan.py",
    "tests/bench/test_loader_prediction.py",
    "tests/bench/test_loader_stream.py",
    "tests/bench/test_mlflow_server.py",
    "tests/bench/test_tracking.py",
    "tests/bench/test_worker.py",
)


@pytest.mark.parametrize("file", FILES)
def test_what_takes_long(file, figures):
    run_tests(figures, "--long", files=[file])
