"""Make thousands of loader studies with known true speeds, from given mean seconds per image and realistic noise.

Sources of noise: each process has its own constant speed, short measurements (slices) scatter, the machine's speed
drifts, some samples are slow, and other programs use the machine, detected or not.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bench.kinds.loaders.analysis.choice import Choice, choose, panel_state
from bench.kinds.loaders.analysis.configurations import END_TO_END, panels
from bench.kinds.loaders.analysis.findings import Comparison
from bench.kinds.loaders.analysis.ratios import Ratios, Times, level_at, looks, pairs_of
from bench.measure.loader.configuration import configuration

BATCH_SIZE, IMAGES = 8, 96
"""Images of a slice: about a second of a hundred images/s."""
SLICES = 2


@dataclass(frozen=True)
class World:
    """Configurations by their workers (0, 1, 2 ...), and what their measurements are made of."""

    costs: Sequence[float]
    """True mean seconds per image (relative) of each."""
    life_sd: float = 0.012
    slice_sd: float = 0.02
    scale: Sequence[float] = ()
    """How many times as much each scatters; all alike without."""
    drift: float = 0.1
    slow_every: int = 0
    """One sample in so many is slow, drawn anew in each slice."""
    slow_times: float = 20.0
    seen: float = 0.0
    """Share of slices in which others take a third of the machine, and are seen to."""
    unseen: float = 0.0
    """The same, not seen."""
    fresh: bool = True
    """Whether each block has processes of its own."""


NOISES = {
    "quiet": World((1.0,) * 4),
    "scattering": World((1.0,) * 4, life_sd=0.016, slice_sd=0.027),
    "unlike scatter": World((1.0,) * 4, scale=(1, 1, 3, 4)),
    "slow samples": World((1.0,) * 4, slow_every=50),
    "bursts": World((1.0,) * 4, seen=0.15, unseen=0.03),
    "many": World((1.0,) * 8),
    "unequal speeds": World((4.7, 1.05, 1.0, 0.97), scale=(2, 1, 1, 1)),
}
"""All but the last of equal configurations."""


def simulated_frames(world: World, seed: int, blocks: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The frames ``lives`` and ``slices`` of a study of every configuration in so many blocks."""
    rng = np.random.default_rng(seed)
    count = len(world.costs)
    scale = np.asarray(world.scale or np.ones(count), dtype=float)
    drift = 1 + world.drift / 2 * np.sin(rng.uniform(0, 2 * math.pi) + 2 * math.pi * np.arange(blocks) / 10)
    born = rng.standard_normal((blocks if world.fresh else 1, count, 1))
    shape = (blocks, count, SLICES)
    factor = _around_one(world.life_sd * scale[:, None], born) * _around_one(
        world.slice_sd * scale[:, None], rng.standard_normal(shape)
    )
    if world.slow_every:
        slow = rng.binomial(IMAGES, 1 / world.slow_every, shape) / IMAGES
        factor = factor * (1 + slow * (world.slow_times - 1)) / (1 + (world.slow_times - 1) / world.slow_every)
    seen, unseen = rng.random(shape) < world.seen, rng.random(shape) < world.unseen
    factor = factor * np.where(seen | unseen, 1.5, 1.0)
    seconds = IMAGES * np.asarray(world.costs)[:, None] / 100 * factor * drift[:, None, None]
    settings = pd.DataFrame([configuration(batch_size=BATCH_SIZE, num_workers=w).model_dump() for w in range(count)])
    block, config, place = (each.ravel() for each in np.indices(shape))
    slices = settings.iloc[config].reset_index(drop=True)
    slices = slices.assign(
        phase="grid", panel=0, block=block, place=place, own_loader="", arm=END_TO_END, images=IMAGES,
        batches=IMAGES // BATCH_SIZE, seconds=seconds.ravel(), wait_s=0.5 * seconds.ravel(),
        host_s=0.5 * seconds.ravel(), compute_s=0.5 * seconds.ravel(), cpu_s=seconds.ravel(),
        others_share=np.where(seen, 0.33, 0.01).ravel(),
    )  # fmt: skip
    lives = slices[slices["place"] == 0].reset_index(drop=True)[["phase", "panel", "block", "own_loader", *settings]]
    lives = lives.assign(
        status="complete", error="", effective_pin_memory=False, device="cpu", peak_memory_bytes=1e8,
        first_batch_s=0.1, epoch_gap_s=np.nan,
    )  # fmt: skip
    return lives, slices


def plan_of(world: World, blocks: int, **settings: float) -> Comparison:
    """What a study of a world plans."""
    return Comparison(looks=looks(blocks, 4), pairs=pairs_of([len(world.costs)]), **settings)


def looked_at(world: World, seed: int, blocks: int) -> Iterator[Ratios]:
    """The ratios at each look of a study in which nothing drops out."""
    plan = plan_of(world, blocks)
    (panel,) = panels(*simulated_frames(world, seed, blocks))
    times = panel.of_arm(END_TO_END)
    for at in plan.looks:
        yield Ratios(Times(times.keys, times.seconds[:at]), level_at(plan, at) / plan.pairs)


def excludes_truth(world: World, seed: int, blocks: int) -> bool:
    """Whether any interval of a pair excludes the truth at any look of a study."""
    for ratios in looked_at(world, seed, blocks):
        for a, b in itertools.combinations(range(len(world.costs)), 2):
            found = ratios.between(ratios.times.keys[a], ratios.times.keys[b])
            truth = world.costs[b] / world.costs[a]
            if found.low is not None and found.high is not None and not found.low <= truth <= found.high:
                return True
    return False


def finds(world: World, seed: int, blocks: int, *, fast: int, slow: int) -> bool:
    """Whether the one configuration is shown to be faster than the other at any look of a study."""
    return any(
        (ratios.between(ratios.times.keys[fast], ratios.times.keys[slow]).low or 0.0) > 1
        for ratios in looked_at(world, seed, blocks)
    )


def advised(world: World, seed: int, blocks: int, **settings: float) -> tuple[Choice, int]:
    """A study that ends once nothing is open, and its number of blocks: what drops out is measured no further."""
    plan = plan_of(world, blocks, **settings)
    (panel,) = panels(*simulated_frames(world, seed, blocks))
    seconds = panel.of_arm(END_TO_END).seconds
    for at in plan.looks:
        ratios = Ratios(Times(panel.keys, seconds[:at]), level_at(plan, at) / plan.pairs)
        state = panel_state(ratios, panel.keys, panel.keys[0], plan)  # the fewer workers, the cheaper
        if state.settled or at == plan.looks[-1]:
            return choose(ratios, panel.keys, plan.margin), at
        seconds[at:, [key not in state.next for key in panel.keys]] = np.nan
    raise AssertionError("a study has a last look")


def with_costs(world: World, *costs: float) -> World:
    """The world with other configurations."""
    return replace(world, costs=costs)


def _around_one(sd: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Log-normal factors of mean 1."""
    return np.exp(sd * normal - sd**2 / 2)
