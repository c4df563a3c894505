"""Random simulated loader studies name the true bottleneck and make nothing of noise: 20 seeds for each case."""

import pytest

from tests.bench import test_analysis_loaders as sibling

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


@pytest.mark.parametrize("name", sibling.EVERY_CASE)
def test_the_bottleneck_is_the_one_that_was_built_in(name, figures):
    for seed in SEEDS:
        sibling.test_the_bottleneck_is_the_one_that_was_built_in(name, seed)
        sibling.test_what_was_measured_is_close_to_what_is_possible(name, seed)
    figures["studies"] = len(SEEDS)


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
