"""Run a training trial: train its workload with one optimizer and record the result, including failures."""

import gc
import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch.optim import Optimizer

from bench.measure.gpu import GpuSampler
from bench.optimizers import optimizer_entry
from bench.optimizers.check import driving_text
from bench.optimizers.entry import WEIGHT_DECAY
from bench.optimizers.implementation import implementation_of
from bench.storage.printing import log
from bench.trials.checkpoint import TrialCheckpoint
from bench.trials.outcome import Outcome
from bench.trials.phases import CONFIRM
from bench.trials.record import SEVERAL_GPUS, CurvePoint, make_record, now_ms
from bench.trials.spec import TrialSpec
from bench.trials.status import Status
from bench.workloads import workload
from bench.workloads.protocol import Trained, Workload
from posemodel.data.worker_faults import explain_loader_error, one_line
from posemodel.errors import PosemodelError

ERROR_LENGTH = 500


def run_trial(
    spec: TrialSpec,
    *,
    concurrent_trials: int = 1,
    on_step: Callable[[int, float], None] | None = None,
    should_prune: Callable[[float], bool] | None = None,
    checkpoint: TrialCheckpoint | None = None,
    on_trained: Callable[[Trained], dict[str, float]] | None = None,
) -> Outcome:
    """Run one trial and return its record, curve and samples.

    An error in training becomes a record with status `failed` or `out_of_memory`. Interruptions, and errors that the
    user can fix (PosemodelError, such as a broken image), are raised: they are not results of the trial.

    Args:
        spec: The trial.
        concurrent_trials: Trials that run at once on this machine, for the record.
        on_step: Called with the step and the training seconds used, at each step that is measured.
        should_prune: Called with each score but the last; True ends the trial as `pruned`, with that score
            as `ap_when_pruned` (after the name of the score) and without a final one.
        checkpoint: State from which an interrupted trial goes on, and in which it is kept; None: it begins anew.
        on_trained: Called with the result of a completed run; returns further metrics.
    """
    curve: list[CurvePoint] = []
    task, run = workload(spec.workload), spec.run
    environment: dict[str, Any] = {
        "effective_pin_memory": run.loader.pin_memory and run.device == "cuda",
        "torch_threads": torch.get_num_threads(),
        "concurrent_trials": concurrent_trials,
    }
    fault: Status | None = None
    with GpuSampler(run.device) as gpu:
        environment["gpu"] = None if gpu.device is None else gpu.device.text

        def on_metrics(step: int, metrics: dict[str, float]) -> None:
            plain = _plain(metrics)
            curve.append(CurvePoint(int(step), plain | gpu.latest(), now_ms()))
            if on_step is not None:
                on_step(int(step), plain["train_seconds"])

        def note(optimizer: Optimizer) -> None:
            environment["implementation"] = implementation_of(optimizer)
            environment["driving"] = driving_text(make_optimizer.driving)

        try:
            make_optimizer = optimizer_entry(spec.builds).factory(
                {WEIGHT_DECAY: spec.weight_decay, **spec.hyperparameters}  # a tuned weight decay overrides the first
            )
            train = task.train
            if checkpoint is not None:
                train = partial(checkpoint.train, task, curve=curve, gpu=environment["gpu"])
            trained = train(run, make_optimizer.noting(note), on_metrics=on_metrics, should_prune=should_prune)
            _require_score(task, trained)
            if on_trained is not None and Status(trained.status) is Status.COMPLETE:
                trained.metrics.update(on_trained(trained))
            measured, steps_done = _plain(trained.metrics), int(trained.step)
        except PosemodelError:
            raise
        except Exception as error:
            fault = Status.OUT_OF_MEMORY if _is_out_of_memory(error) else Status.FAILED
            message = (explain_loader_error(error) or one_line(error))[:ERROR_LENGTH]
    if checkpoint is not None and checkpoint.gpus:
        environment["gpu"] = SEVERAL_GPUS.join(checkpoint.gpus)
    if fault is not None:
        # Memory can be freed only here, outside the except block: the exception keeps its frames alive.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        steps = curve[-1].step if curve else 0
        return Outcome(make_record(spec, fault, steps_done=steps, metrics={}, error=message, **environment), curve)
    if "updates" in measured:
        environment["gradient_evaluations_per_update"] = steps_done / measured["updates"]
    metrics = {k: v for k, v in (measured | gpu.summary()).items() if math.isfinite(v)}
    status, samples = Status(trained.status), None
    if status == Status.PRUNED:
        # Its last score was measured before the end of training: no analysis may take it for a final one.
        name, last = task.score.name, metrics[task.score.name]
        metrics = {k: v for k, v in metrics.items() if k not in task.final_metrics} | {f"{name}_when_pruned": last}
    if spec.phase == CONFIRM and status == Status.COMPLETE:
        # Timed separately: it is neither training nor evaluation.
        began = time.perf_counter()
        try:
            samples = trained.samples()
        except PosemodelError:
            raise
        except Exception as error:  # the images are only for viewing: do not lose a trained trial for them
            log(f"posebench: no sample images of trial {spec.id} ({type(error).__name__}: {error})")
        metrics["samples_seconds"] = time.perf_counter() - began
    return Outcome(make_record(spec, status, steps_done=steps_done, metrics=metrics, **environment), curve, samples)


def _plain(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return metrics as plain numbers, which JSON can hold: a workload may measure NumPy's, or tensors of one value."""
    return {name: float(value) for name, value in metrics.items()}


def _require_score(task: Workload, trained: Trained) -> None:
    """Raise ValueError, which fails the trial, if a run that was scored has no score within the workload's range."""
    score, status = task.score, Status(trained.status)
    value = trained.metrics.get(score.name)
    if status in (Status.COMPLETE, Status.PRUNED) and (value is None or not score.in_range(value)):
        got = "lacks it" if value is None else f"has {value:g}"
        raise ValueError(
            f"workload {task.name}: the score of a run that ended as {status} must be a number from {score.low:g} to "
            f"{score.high:g}, in its metrics as {score.name!r}; this run {got}."
        )


def _is_out_of_memory(error: Exception) -> bool:
    """Return True for an out-of-memory error; CPU and MPS allocators and loader workers report it only as text."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    message = str(error).lower()
    phrases = ("out of memory", "can't allocate memory", "out of shared memory", "allocate shared memory", "bus error")
    return isinstance(error, RuntimeError) and any(phrase in message for phrase in phrases)
