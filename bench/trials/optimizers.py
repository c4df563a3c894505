"""A trial of an optimizers study: train one network with one optimizer, and record whatever came of it."""

import gc
import math
from collections.abc import Callable

import torch

from bench.measure.gpu import GpuSampler
from bench.optimizers import optimizer_entry
from bench.record import CurvePoint, Record, Status, make_record, now_ms
from bench.spec import TrialSpec
from posemodel.train import train

ERROR_LENGTH = 500


def run_trial(
    spec: TrialSpec, *, on_point: Callable[[CurvePoint], None] | None = None
) -> tuple[Record, list[CurvePoint]]:
    """Run one trial. Every outcome but an interruption is a record: errors become `failed` or `out_of_memory`."""
    curve: list[CurvePoint] = []

    def collect(step: int, metrics: dict[str, float]) -> None:
        curve.append(CurvePoint(step, metrics | gpu.latest(), now_ms()))
        if on_point is not None:
            on_point(curve[-1])

    pinned = spec.train.loader.pin_memory and torch.accelerator.is_available()
    with GpuSampler(spec.train.device) as gpu:
        try:
            make_optimizer = optimizer_entry(spec.optimizer).factory(
                {**spec.hyperparameters, "weight_decay": spec.weight_decay}
            )
            result = train(spec.train, make_optimizer, on_metrics=collect)
        except (MemoryError, torch.OutOfMemoryError) as error:
            _give_memory_back()
            record = _fault(spec, Status.OUT_OF_MEMORY, error, curve)
        except Exception as error:
            record = _fault(spec, Status.FAILED, error, curve)
        else:
            record = make_record(
                spec,
                Status(result.status),
                steps_done=result.step,
                metrics={k: v for k, v in (result.metrics | gpu.summary()).items() if math.isfinite(v)},
                effective_pin_memory=pinned,
            )
    return record, curve


def _fault(spec: TrialSpec, status: Status, error: Exception, curve: list[CurvePoint]) -> Record:
    message = f"{type(error).__name__}: {error}"[:ERROR_LENGTH]
    return make_record(spec, status, steps_done=curve[-1].step if curve else 0, metrics={}, error=message)


def _give_memory_back() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
