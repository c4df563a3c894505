"""Make data frames of loader studies with a known answer, from simulated loops of known cost.

Loops are simulated by `round_robin`; if they need more CPU than the machine has, all times grow in proportion. The
noise is like that measured on real machines: each process has its own constant speed, short measurements (slices)
scatter, and the machine's speed drifts slowly, so that consecutive slices are similar.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from bench.kinds.loaders.analysis.findings import Comparison, LoaderVerdict
from bench.kinds.loaders.analysis.ratios import looks, pairs_of
from bench.kinds.loaders.analysis.verdict import loaders_verdict
from bench.measure.loader.configuration import LoaderConfiguration, configuration
from bench.measure.loader.timeline import Timeline
from tests.support.round_robin import batch_costs, simulate_round_robin
from tests.support.simulated_loader import sample_costs

BATCH_SIZE = 4
BLOCKS = 28
SLICE_S = 3.0
"""Long enough for a dozen batches of the slowest case."""
MOST_BATCHES = 200
IN_TURN, SHARED_CORES = "in turn", "shared cores"


@dataclass(frozen=True, eq=False)
class Case:
    """A data set's and a step's cost, and what must come out of studying it."""

    bottleneck: str
    sample_s: float
    compute_s: float
    """Seconds of the step on a batch: the host's."""
    workers: Sequence[int] = (0, 1, 2, 4, 8)
    device_s: float = 0.0
    """Seconds of the step on a batch on a device with a clock of its own; 0: there is none."""
    sample_cpu: float = 0.0
    """Share of a sample's time that is CPU work; the rest is waiting."""
    step_cpu: float = 0.0
    """Cores that the step keeps busy."""
    cores: float = 2.0
    life_sd: float = 0.012
    """Relative standard deviation of a process's speed."""
    slice_sd: float = 0.02
    """Relative standard deviation of a slice's speed, besides."""
    drift: float = 0.1
    """The machine's speed goes up and down by that share, over ten blocks."""
    bursts: float = 0.0
    """Share of the slices in which somebody else takes a third of the machine, and is seen to."""
    first_batch_s: float = 0.05
    slow_every: int = 0
    slow_s: float = 0.0
    lock: bool = False
    """Whether all workers wait for one lock while they make a sample."""
    faults: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    """(status, error) of configurations by their number of workers."""


CASES = {
    "loader-bound": Case("loader-bound", 0.05, 0.005),
    "compute-bound": Case("compute-bound", 0.01, 0.2),
    "balanced": Case("balanced", 0.04, 0.08, workers=(0, 1, 2)),
    "slow first batch": Case("compute-bound", 0.01, 0.08, first_batch_s=5.0),
    "one slow sample in fifty": Case("compute-bound", 0.01, 0.05, slow_every=50, slow_s=0.6),
    "memory-bound": Case(
        "memory-bound",
        0.05,
        0.01,
        faults={
            4: ("skipped", "would need 3.1 GB of /dev/shm, 1.0 GB free"),
            8: ("out_of_memory", "a worker was killed (SIGKILL)"),
        },
    ),
    "noisy": Case("compute-bound", 0.01, 0.08, life_sd=0.03, slice_sd=0.06, bursts=0.2),
    "flips": Case("compute-bound", 0.02, 0.05),
}
"""In each, a batch is 4 samples. In `flips` nothing but the sample's cost changes: see FLIPPED."""
FLIPPED = Case("loader-bound", 0.2, 0.05)
ALONE = {
    "in turn, loading dominates": Case("loader-bound", 0.02, 0.005, workers=(0,)),
    "in turn, computing dominates": Case("compute-bound", 0.001, 0.1, workers=(0,)),
    "in turn, balanced": Case(IN_TURN, 0.02, 0.08, workers=(0,)),
    "a device of its own clock": Case("compute-bound", 0.002, 0.004, workers=(0,), device_s=0.05),
}
"""One process that loads and computes, one after the other; or beside a device that computes meanwhile."""
SHARING = Case(SHARED_CORES, 0.02, 0.08, workers=(0, 2, 4), sample_cpu=1.0, step_cpu=2.0)
"""Workers and step want the same two cores: with either alone, training would be faster."""

LOCKED = Case("loader-bound", 0.01, 0.02, workers=(0, 1, 2, 4), lock=True)


def simulated_study(
    case: Case, seed: int = 0, *, blocks: int = BLOCKS, pin_memory: Sequence[bool] = (False,)
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The frames ``lives`` and ``slices`` of a study of the case: every number of workers in every block."""
    lives, slices = _simulated_study(case, seed, blocks, tuple(pin_memory))
    return lives.copy(), slices.copy()


def comparison_of(case: Case, *, blocks: int = BLOCKS, pin_memory: Sequence[bool] = (False,)) -> Comparison:
    """What such a study would have planned."""
    return Comparison(looks=looks(blocks, 4), pairs=pairs_of([len(case.workers) * len(pin_memory)]), cores=case.cores)


def verdict_of(
    case: Case, seed: int = 0, *, blocks: int = BLOCKS, pin_memory: Sequence[bool] = (False,), **more: Any
) -> LoaderVerdict:
    """The verdict of a simulated study."""
    lives, slices = simulated_study(case, seed, blocks=blocks, pin_memory=pin_memory)
    plan = comparison_of(case, blocks=blocks, pin_memory=pin_memory)
    return loaders_verdict(lives, slices, plan=plan, **more)


@cache
def _simulated_study(
    case: Case, seed: int, blocks: int, pin_memory: tuple[bool, ...]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    tried = [
        configuration(batch_size=BATCH_SIZE, num_workers=workers, pin_memory=pinned)
        for workers in case.workers
        for pinned in pin_memory
    ]
    lives: list[dict[str, Any]] = []
    slices: list[dict[str, Any]] = []
    begun = rng.uniform(0, 2 * np.pi)
    for block in range(blocks):
        machine = 1 + case.drift / 2 * np.sin(begun + 2 * np.pi * block / 10)
        living = {each: machine * np.exp(case.life_sd * rng.standard_normal()) for each in tried}
        begin = [each for each in tried if not block or each.num_workers not in case.faults]
        lives += [_life(case, each, block, len(lives) + n) for n, each in enumerate(begin)]
        order = [each for each in tried if each.num_workers not in case.faults]
        rng.shuffle(order)
        place = 0
        for turn in (order, order[::-1]):
            for each in turn:
                arms = ["end_to_end", "loader", *(["compute"] if each.num_workers == min(case.workers) else [])]
                for arm in arms:
                    slices.append(
                        _slice(case, each, arm, living[each], rng)
                        | {"phase": "grid", "panel": 0, "block": block, "own_loader": "", "place": place}
                        | each.model_dump()
                    )
                    place += 1
    return pd.DataFrame(lives), pd.DataFrame(slices)


def _life(case: Case, chosen: LoaderConfiguration, block: int, number: int) -> dict[str, Any]:
    status, error = case.faults.get(chosen.num_workers, ("complete", ""))
    complete = status == "complete"
    waits = _timeline(case, chosen, "end_to_end").waits if complete else np.empty(0)
    return {
        "id": f"{number:016x}",
        "phase": "grid",
        "panel": 0,
        "block": block,
        **chosen.model_dump(),
        "own_loader": "",
        "status": status,
        "error": error,
        "effective_pin_memory": False,
        "device": "cpu",
        "memory_kind": "pss",
        "page_cache": "warm",
        "first_batch_s": BATCH_SIZE * case.sample_s + case.first_batch_s if complete else np.nan,
        "epoch_gap_s": np.nan,
        "start_s": 0.5 if complete else np.nan,
        "peak_memory_bytes": 2e8 * (1 + chosen.num_workers) if complete else np.nan,
        "shm_peak_bytes": 1e7 * chosen.num_workers if complete else np.nan,
        "shm_tree_peak_bytes": 1e7 * chosen.num_workers if complete else np.nan,
        "gpu_utilization_percent": np.nan,
        "gpu_memory_bytes": np.nan,
        "gpu_others_bytes": np.nan,
        "need_memory_bytes": 2e8 * (1 + chosen.num_workers),
        "need_shm_bytes": 1e7 * chosen.num_workers,
        "hashes": [11, 12] if complete else [],
        "compared_samples": np.nan,
        "different_samples": np.nan,
        "first_different_sample": np.nan,
        "wait_quantiles_ms": list(1000 * np.percentile(waits, range(101))) if complete else [],
        "run_id": f"{number:032x}",
    }


def _slice(
    case: Case, chosen: LoaderConfiguration, arm: str, slower: float, rng: np.random.Generator
) -> dict[str, Any]:
    """About SLICE_S seconds out of a long loop, from a batch at random on, whole rounds of the workers."""
    line = _timeline(case, chosen, arm)
    one_round = max(1, chosen.num_workers) if arm != "compute" else 1
    each_s = (line.done[-1] - line.done[0]) / (len(line.done) - 1)
    batches = one_round * int(np.ceil(min(SLICE_S / each_s, MOST_BATCHES) / one_round))
    first = int(rng.integers(len(line.done) // 10, len(line.done) - batches - 1))
    part = slice(first + 1, first + 1 + batches)
    burst = rng.random() < case.bursts
    slower *= np.exp(case.slice_sd * rng.standard_normal()) * (1.5 if burst else 1.0)
    waits, steps = slower * line.waits[part].sum(), slower * line.computes[part].sum()
    host = slower * batches * case.compute_s if arm != "loader" else 0.0
    cpu = (
        slower
        * batches
        * (
            (BATCH_SIZE * case.sample_s * case.sample_cpu if arm != "compute" else 0.0)
            + (case.compute_s * case.step_cpu if arm != "loader" else 0.0)
        )
    )
    return {
        "arm": arm,
        "batches": batches,
        "images": batches * BATCH_SIZE,
        "seconds": waits + steps,
        "wait_s": waits,
        "host_s": host,
        "compute_s": slower * batches * max(case.compute_s, case.device_s) if arm != "loader" else 0.0,
        "cpu_s": cpu,
        "others_share": 0.33 if burst else abs(0.01 * rng.standard_normal()),
    }


@cache
def _timeline(case: Case, chosen: LoaderConfiguration, arm: str) -> Timeline:
    """A long loop of an arm, without noise."""
    costs = batch_costs(sample_costs(case.sample_s, slow_every=case.slow_every, slow_s=case.slow_s), BATCH_SIZE)
    workers = 0 if arm == "compute" else chosen.num_workers
    costs = np.zeros_like(costs) if arm == "compute" else costs
    step = 0.0 if arm == "loader" else max(case.compute_s, case.device_s)
    # One process that loads beside a device waits for it only as far as loading did not cover it.
    steps = np.maximum(case.compute_s, step - costs) if step and workers == 0 else step
    making = min(workers, 1) if case.lock else workers
    line = simulate_round_robin(costs, steps, num_workers=making, prefetch_factor=2 * max(1, workers // max(1, making)))
    cpu = costs.sum() * case.sample_cpu + len(costs) * case.compute_s * case.step_cpu * (step > 0)
    late = max(1.0, cpu / case.cores / (line.done[-1] - line.asked[0]))
    return Timeline(late * line.asked, late * line.delivered, late * line.done, line.epoch)
