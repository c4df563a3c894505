"""Eight studies whose answer is known: rows as measurements would leave them, of simulated loops.

`python -m tests.support.loader_cases` measures those that sleeps can build, on real loaders, and prints the verdicts.
"""

import argparse
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from bench.kinds.loaders.analysis.verdict import loaders_verdict
from bench.measure.loader.configuration import LoaderConfiguration, configuration
from bench.measure.loader.figures import figures
from bench.measure.loader.loop import LoopPlan
from bench.measure.loader.measurement import Arm, default_batches, measure
from tests.support.round_robin import batch_costs, simulate_round_robin
from tests.support.simulated_loader import sample_costs, sleeping

BATCH_SIZE = 4
BLOCKS = 5
EPOCHS = 3


@dataclass(frozen=True, eq=False)
class Case:
    """A data set's and a step's cost, and what must come out of studying it."""

    bottleneck: str
    sample_s: float
    compute_s: float
    workers: Sequence[int] = (0, 1, 2, 4, 8)
    jitter: float = 0.01
    """Relative standard deviation of a measurement's speed."""
    noise: float = 0.02
    first_batch_s: float = 0.0
    slow_every: int = 0
    slow_s: float = 0.0
    faults: dict[int, tuple[str, str]] = field(default_factory=dict)
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
    "noisy": Case("compute-bound", 0.01, 0.08, jitter=0.07, noise=0.15),
    "flips": Case("compute-bound", 0.02, 0.05),
}
"""In each, a batch is 4 samples. In `flips` nothing but the sample's cost changes: see FLIPPED."""
FLIPPED = Case("loader-bound", 0.2, 0.05)


def simulated_rows(case: Case, *, pin_memory: Sequence[bool] = (False,), seed: int = 0) -> pd.DataFrame:
    """The rows of a study of the case: every number of workers, arm and block, with the case's jitter."""
    return _simulated_rows(case, tuple(pin_memory), seed).copy()


@cache
def _simulated_rows(case: Case, pin_memory: tuple[bool, ...], seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = []
    for block in range(BLOCKS):
        for workers in case.workers:
            for pinned in pin_memory:
                chosen = configuration(batch_size=BATCH_SIZE, num_workers=workers, pin_memory=pinned)
                for arm in Arm if workers == case.workers[0] else (Arm.LOADER, Arm.END_TO_END):
                    rows.append(_row(case, chosen, arm, block, rng))
    return pd.DataFrame(rows)


def _row(case: Case, chosen: LoaderConfiguration, arm: Arm, block: int, rng: np.random.Generator) -> dict[str, Any]:
    status, error = (
        case.faults.get(chosen.num_workers, ("complete", "")) if arm is not Arm.COMPUTE else ("complete", "")
    )
    row = {"arm": str(arm), **chosen.model_dump(), "effective_pin_memory": False, "device": "cpu"}
    row |= {"block": block, "status": status, "error": error}
    if status != "complete":
        return row
    speed = 1 + case.jitter * rng.standard_normal()
    found = figures(_timeline(case, chosen, arm, speed), chosen.batch_size, chosen.round_length)
    return row | found | {"peak_memory_bytes": 2e8 * (1 + chosen.num_workers)}


def _timeline(case: Case, chosen: LoaderConfiguration, arm: Arm, speed: float):
    batches = default_batches(chosen)
    samples = sample_costs(case.sample_s, slow_every=case.slow_every, slow_s=case.slow_s)
    costs = np.resize(batch_costs(samples, chosen.batch_size), (EPOCHS, batches)) / speed
    costs[:, 0] += case.first_batch_s
    if arm is Arm.COMPUTE:
        costs = np.zeros_like(costs)
    compute = 0.0 if arm is Arm.LOADER else case.compute_s / speed
    return simulate_round_robin(
        costs, compute, num_workers=0 if arm is Arm.COMPUTE else chosen.num_workers, epochs=EPOCHS
    )


def measured_rows(case: Case, *, blocks: int = 2) -> pd.DataFrame:
    """The same study on real loaders: an epoch each; faults, noise and the first batch's delay are left out."""
    costs = sample_costs(case.sample_s, slow_every=case.slow_every, slow_s=case.slow_s)
    workload = sleeping(costs, case.compute_s)
    rows = []
    for block in range(blocks):
        for workers in case.workers:
            chosen = configuration(batch_size=BATCH_SIZE, num_workers=workers)
            for arm in Arm if workers == case.workers[0] else (Arm.LOADER, Arm.END_TO_END):
                found = measure(workload, chosen, arm, LoopPlan(epochs=1, seconds=6.0), hashed_batches=0)
                rows.append(found.as_row() | {"block": block})
    return pd.DataFrame(rows)


def main() -> None:
    """Print each case's verdict beside what it must be; exit 1 where one is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=["loader-bound", "compute-bound", "balanced", "flips", "flipped"])
    parser.add_argument("--blocks", type=int, default=2)
    asked = parser.parse_args()
    warnings.filterwarnings("ignore", "This DataLoader will create")
    wrong = 0
    for name in asked.cases:
        case = FLIPPED if name == "flipped" else CASES[name]
        found = loaders_verdict(measured_rows(case, blocks=asked.blocks), noise=case.noise)
        wrong |= found.bottleneck != case.bottleneck
        print(f"{name}: {found.bottleneck} (must be {case.bottleneck}). {found.text}", flush=True)
    raise SystemExit(wrong)


if __name__ == "__main__":
    main()
