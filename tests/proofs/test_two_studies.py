"""Two equal studies are rarely found different: 200 pairs of simulated studies."""

import pytest

from tests.bench.test_two_studies import false_claims

SHARD = "simulations"
COVERS = (
    "bench/kinds/optimizers/analysis/*.py",
    "bench/statistics/*.py",
    "bench/trials/scores.py",
    "bench/trials/columns.py",
    "tests/bench/test_two_studies.py",
)


@pytest.mark.parametrize("n", [3, 6])
def test_equal_studies_are_rarely_told_apart(n, figures):
    """Both families together would be 10 %; each is held to its own 5 %, with three standard errors of 200 studies."""
    claims = false_claims(n, studies=200)
    figures |= {"false claims of a better AP": claims["better"], "false claims of a higher speed": claims["faster"]}
    assert claims["better"] <= 0.1
    assert claims["faster"] <= 0.1
