"""All properties hold on as many examples as ever; `make test` tries those that take seconds on few."""

import pytest

from tests.support.examples import PROFILE
from tests.support.long_tests import run_tests

SHARD = "simulations"
COVERS = ("bench/**/*.py", "posemodel/**/*.py", "tests/support/examples.py")


@pytest.mark.parametrize("folder", ["tests/bench", "tests/posemodel"])
def test_properties_hold_on_many_examples(folder, figures):
    run_tests(figures, "-m", "hypothesis", "--hypothesis-profile", PROFILE, files=[folder])
