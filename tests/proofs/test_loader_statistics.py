"""Intervals and choices of loader studies keep their error rates in hundreds of simulated studies of known truth.

Its short sibling is tests/bench/test_loader_statistics.py.
"""

from collections import Counter
from dataclasses import replace

import pytest

from bench.kinds.loaders.analysis.configurations import configuration_key
from bench.measure.loader.configuration import configuration
from tests.support.loader_worlds import BATCH_SIZE, NOISES, advised, excludes_truth, finds, with_costs

SHARD = "simulations"
COVERS = (
    "bench/kinds/loaders/analysis/*.py",
    "bench/trials/loader_settings.py",
    "tests/support/loader_worlds.py",
)
STUDIES, ADVISED = 400, 100
BLOCKS = 28
ADVICE_BLOCKS = 10
LOSSES = (0.0, 0.02, 0.03, 0.04, 0.06)
"""Of the cheapest configuration; the margin is 0.03."""


@pytest.mark.parametrize("name", NOISES)
def test_at_most_five_percent_of_studies_ever_exclude_a_truth(name, figures):
    """Of all pairs, at any look; where configurations are equal, that is also a difference out of nothing."""
    share = sum(excludes_truth(NOISES[name], seed, BLOCKS) for seed in range(STUDIES)) / STUDIES
    figures |= {"studies": STUDIES, "share of studies that exclude the truth": share}
    assert share <= 0.05


def test_with_one_process_for_all_blocks_nearly_every_study_excludes_the_truth(figures):
    """Why each block has fresh processes: two of one configuration differ for as long as they live."""
    kept = replace(NOISES["quiet"], fresh=False)
    share = sum(excludes_truth(kept, seed, BLOCKS) for seed in range(STUDIES)) / STUDIES
    figures["share of studies that exclude the truth"] = share
    assert share > 0.5


@pytest.mark.parametrize(
    ("noise", "blocks", "least"), [("quiet", 13, 0.8), ("quiet", BLOCKS, 0.95), ("scattering", BLOCKS, 0.8)]
)
def test_a_difference_of_five_percent_is_found(noise, blocks, least, figures):
    world = with_costs(NOISES[noise], 1, 1, 1, 1, 0.95)
    share = sum(finds(world, seed, blocks, fast=4, slow=0) for seed in range(STUDIES)) / STUDIES
    figures["share of studies that find it"] = share
    assert share >= least


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("blocks", [ADVICE_BLOCKS, BLOCKS])
def test_advice_is_the_same_each_time_or_not_settled(loss, blocks, figures):
    """The cheapest of three loses so much against two that are equal; at the margin itself nothing need be settled."""
    world = with_costs(NOISES["quiet"], 1 / (1 - loss), 1.0, 1.0)
    picked: Counter[str] = Counter()
    needed = []
    for seed in range(ADVISED):
        choice, ended = advised(world, seed, blocks)
        picked[choice.key if choice.settled else ""] += 1
        needed.append(ended)
    right = configuration_key(configuration(batch_size=BATCH_SIZE, num_workers=int(loss > 0.03)).model_dump())
    settled = ADVISED - picked[""]
    figures |= {"settled": settled, "settled on the right one": picked[right], "blocks, mean": sum(needed) / ADVISED}
    assert settled - max((picked[key] for key in picked if key), default=0) <= 0.1 * ADVISED
    assert loss == 0.03 or settled - picked[right] <= 0.05 * ADVISED
