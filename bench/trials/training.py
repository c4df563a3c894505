"""A trial that trains: train its workload with one optimizer, and record whatever came of it."""

import gc
import math
import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.nn import Parameter
from torch.optim import Optimizer

from bench.measure.gpu import GpuSampler
from bench.optimizers import optimizer_entry
from bench.optimizers.entry import WEIGHT_DECAY
from bench.optimizers.implementation import implementation_of
from bench.storage.printing import log
from bench.trials.outcome import Outcome
from bench.trials.phases import CONFIRM
from bench.trials.record import CurvePoint, make_record, now_ms
from bench.trials.spec import TrialSpec
from bench.trials.status import Status
from bench.workloads import workload
from bench.workloads.protocol import Trained
from posemodel.data.worker_faults import explained, in_a_line
from posemodel.errors import PosemodelError

ERROR_LENGTH = 500


def run_trial(
    spec: TrialSpec,
    *,
    concurrent_trials: int = 1,
    on_step: Callable[[int, float], None] | None = None,
    should_prune: Callable[[float], bool] | None = None,
    on_trained: Callable[[Trained], dict[str, float]] | None = None,
) -> Outcome:
    """Run one trial and return its record, curve and samples.

    ``on_step`` hears of the steps at which it measures, with the seconds of training spent. ``should_prune`` is asked
    with each AP but the last: True ends the trial as `pruned`, with that AP as `ap_when_pruned` and no final one.
    ``on_trained`` gets the result of a run that completed, and returns more metrics of it.
    What goes wrong in training is a record too: `failed` or `out_of_memory`. Interruptions and what a user can mend
    (PosemodelError: a broken image, say) are raised: they are no result of this trial.
    """
    curve: list[CurvePoint] = []
    its, run = workload(spec.workload), spec.run
    place: dict[str, Any] = {
        "effective_pin_memory": run.loader.pin_memory and run.device == "cuda",
        "torch_threads": torch.get_num_threads(),
        "concurrent_trials": concurrent_trials,
    }
    fault: Status | None = None
    with GpuSampler(run.device) as gpu:

        def on_metrics(step: int, metrics: dict[str, float]) -> None:
            curve.append(CurvePoint(step, metrics | gpu.latest(), now_ms()))
            if on_step is not None:
                on_step(step, metrics["train_seconds"])

        def make_and_name(parameters: Iterable[Parameter]) -> Optimizer:
            made = make_optimizer(parameters)
            place["implementation"] = implementation_of(made)
            return made

        try:
            make_optimizer = optimizer_entry(spec.builds).factory(
                {WEIGHT_DECAY: spec.weight_decay, **spec.hyperparameters}  # which have a tuned one
            )
            trained = its.train(run, make_and_name, on_metrics=on_metrics, should_prune=should_prune)
            if on_trained is not None and Status(trained.status) is Status.COMPLETE:
                trained.metrics.update(on_trained(trained))
        except PosemodelError:
            raise
        except Exception as error:
            fault = Status.OUT_OF_MEMORY if _is_out_of_memory(error) else Status.FAILED
            message = (explained(error) or in_a_line(error))[:ERROR_LENGTH]
    if fault is not None:
        # Only here, where the exception and the frames that it held are gone, can memory be given back.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        steps = curve[-1].step if curve else 0
        return Outcome(make_record(spec, fault, steps_done=steps, metrics={}, error=message, **place), curve)
    metrics = {k: v for k, v in (trained.metrics | gpu.summary()).items() if math.isfinite(v)}
    status, samples = Status(trained.status), None
    if status == Status.PRUNED:
        # Scored before its end, on other terms than the others: no analysis may take it for a final AP.
        last = metrics[its.score.name]
        metrics = {k: v for k, v in metrics.items() if k not in its.final_metrics} | {"ap_when_pruned": last}
    if spec.phase == CONFIRM and status == Status.COMPLETE:
        # Timed by itself: it is neither training nor evaluation.
        began = time.perf_counter()
        try:
            samples = trained.samples()
        except PosemodelError:
            raise
        except Exception as error:  # pictures for people: no reason to lose a trained trial
            log(f"posebench: no sample images of trial {spec.id} ({type(error).__name__}: {error})")
        metrics["samples_seconds"] = time.perf_counter() - began
    return Outcome(make_record(spec, status, steps_done=trained.step, metrics=metrics, **place), curve, samples)


def _is_out_of_memory(error: Exception) -> bool:
    """CUDA has an exception of its own; CPU and MPS allocators, and loaders whose workers share memory, use words."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    words = str(error).lower()
    phrases = ("out of memory", "can't allocate memory", "out of shared memory", "allocate shared memory", "bus error")
    return isinstance(error, RuntimeError) and any(each in words for each in phrases)
