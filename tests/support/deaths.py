"""Functions that run a trial in a worker process: one tells what the process sees, one dies of its first trial."""

import os
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.measure.gpus import VISIBLE_VARIABLE
from bench.trials.outcome import Outcome
from bench.trials.spec import TrialSpec
from bench.trials.training import run_trial


def tell_environment(spec: TrialSpec, **options: Any) -> Outcome:
    """Run the trial; its record has the value of CUDA_VISIBLE_DEVICES in place of the implementation."""
    outcome = run_trial(spec, **options)
    seen = os.environ.get(VISIBLE_VARIABLE, "not set")
    return outcome._replace(record=replace(outcome.record, implementation=seen))


@dataclass(frozen=True)
class DyingOnce:
    """The first process that runs a trial is killed by it; all others run theirs."""

    died: Path
    """File that the first one leaves."""

    def __call__(self, spec: TrialSpec, **options: Any) -> Outcome:
        try:
            self.died.touch(exist_ok=False)
        except FileExistsError:
            return run_trial(spec, **options)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("it was killed")
