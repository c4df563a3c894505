"""What loader studies drawn at random say, 20 seeds each; a short sibling is tests/bench/test_analysis_loaders.py."""

import pytest

from tests.bench import test_analysis_loaders as sibling
from tests.support.loader_cases import CASES

SHARD = "simulations"
COVERS = (
    "bench/kinds/loaders/analysis/*.py",
    "bench/report/dataloader_call.py",
    "bench/trials/loader_settings.py",
    "bench/measure/loader/*.py",
    "tests/bench/test_analysis_loaders.py",
    "tests/support/loader_cases.py",
)
SEEDS = range(20)
NOISE_MAY_MOVE = 1
"""Of the noisy case's bottlenecks, whose speeds have a jitter of 7 %: in one study of 20 it makes another one."""


@pytest.mark.parametrize("name", CASES)
def test_the_bottleneck_is_the_one_that_was_built_in(name, figures):
    found = [sibling.verdict_of(CASES[name], seed=seed).bottleneck for seed in SEEDS]
    other = [each for each in found if each != CASES[name].bottleneck]
    figures |= {"studies": len(found), "studies with another bottleneck": len(other)}
    assert len(other) <= (NOISE_MAY_MOVE if name == "noisy" else 0), other


@pytest.mark.parametrize(
    "check",
    [
        sibling.test_on_a_noisy_machine_no_small_difference_is_called_one,
        sibling.test_variants_that_change_nothing_are_not_recommended,
    ],
)
def test_nothing_is_made_of_noise(check, figures):
    for seed in SEEDS:
        check(seed)
    figures["studies"] = len(SEEDS)
