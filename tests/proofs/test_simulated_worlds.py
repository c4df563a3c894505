"""The claims of optimizers studies keep their error rates on 1,000 simulated studies of each family of worlds.

Its short sibling, tests/bench/test_simulated_worlds.py, has a tenth of the studies of some families.
"""

import math
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest

from bench.kinds.optimizers.simulation import preset_study
from tests.support.simulated_worlds import FAMILIES, power
from tests.support.simulated_worlds import figures as figures_of

SHARD = "worlds"
COVERS = (
    "bench/kinds/optimizers/simulation.py", "bench/kinds/optimizers/search.py", "bench/kinds/optimizers/plan.py",
    "bench/kinds/optimizers/spec.py", "bench/optimizers/space.py", "bench/optimizers/spaces.py",
    "bench/optimizers/built_in.py", "bench/optimizers/entry.py", "bench/statistics/*.py", "bench/trials/scores.py",
    "studies/optimizers-small.toml", "tests/support/simulated_worlds.py",
)  # fmt: skip
STUDIES, FINDING = 1000, 250
LEAST_COVERED = {"others matter": 0.86}
"""Of a pair, where it is not 0.90: a default far from the best leaves skewed finalists (docs/method.md)."""
GAPS = (0.03, 0.04, 0.05)
"""AP by which the first optimizer's best is better where the gap is to be found."""


@pytest.fixture(scope="module")
def running(request):
    """What will have come of each family that is to be proved: all are begun at once, on all cores."""
    spec = preset_study()
    families = [item.callspec.params["family"] for item in request.session.items if item.path == request.path]
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        yield {
            family: (
                pool.submit(figures_of, spec, family, STUDIES),
                {gap: pool.submit(power, spec, family, FINDING, gap) for gap in GAPS},
            )
            for family in families
        }
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("family", FAMILIES)
def test_few_studies_make_a_false_claim_and_intervals_hold_the_truth(family, running, figures):
    all_studies, finding = running[family]
    found = all_studies.result()
    figures["studies with a false claim"] = found.false_claims
    figures["standard deviation of a tuning's mean"] = round(found.sd, 5)
    figures["mean score"] = round(found.mean, 5)
    figures |= {f"gaps of {gap} found": round(share.result(), 4) for gap, share in finding.items()}
    assert found.false_claims <= 0.065
    if math.isnan(found.coverage):
        assert family == "none learns", "intervals are given where anything was learned"
        return
    figures["differences covered"] = round(found.coverage, 4)
    figures["differences covered, of the pair that is covered least"] = round(found.worst_coverage, 4)
    assert found.coverage >= 0.93
    assert found.worst_coverage >= LEAST_COVERED.get(family, 0.90)
