"""Run a study's trials on GPUs that are only an inventory: python -m tests.support.simulated_gpus STUDY.toml DATA COUNT

Each worker gets one of the GPUs, as on a machine that has so many; the trials of a workload that sleeps use none. What
each trial's process saw of its GPU goes to seen.txt.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path

from bench.cli.actions.stores import study_paths
from bench.kinds.optimizers.kind import OptimizersKind
from bench.kinds.optimizers.trial import TRIALS
from bench.measure.gpus import Gpu
from bench.study.prepare import prepare
from bench.study.settings import StudyRequest

SEEN = Path("seen.txt")


def inventory(count: int) -> list[Gpu]:
    """GPUs of one model."""
    return [Gpu(f"GPU-{number:08x}-0000-0000-0000-000000000000", "Simulated", 1 << 34) for number in range(count)]


def run_and_tell(spec, **how):
    """Run a trial; say first what its process sees."""
    with SEEN.open("a") as seen:
        seen.write(f"{os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES')}\n")
    return TRIALS.run_trial(spec, **how)


class Telling(OptimizersKind):
    """The kind, whose trials say what they see."""

    trials = replace(TRIALS, run_trial=run_and_tell)


def main(study: str, data: str, count: int) -> None:
    """Run the study with so many workers."""
    kind = Telling()
    prepared = prepare(kind, StudyRequest({"data": Path(data)}, Path(study), "smoke"), None)
    kind.run(prepared.spec, study_paths(), workers=count, gpus=inventory(count) if count > 1 else ())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
