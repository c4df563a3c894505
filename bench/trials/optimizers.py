"""A trial of an optimizers study: train one network with one optimizer, and record whatever came of it."""

import gc
import math

import torch

from bench.measure.gpu import GpuSampler
from bench.optimizers import optimizer_entry
from bench.record import CurvePoint, Record, Status, make_record, now_ms
from bench.spec import TrialSpec
from posemodel.errors import PosemodelError
from posemodel.train import train

ERROR_LENGTH = 500


def run_trial(spec: TrialSpec, *, concurrent_trials: int = 1) -> tuple[Record, list[CurvePoint]]:
    """Run one trial and return its record and curve.

    What goes wrong in training is a record too: `failed` or `out_of_memory`. Interruptions and what a user can mend
    (PosemodelError: a broken image, say) are raised: they are no result of this trial.
    """
    curve: list[CurvePoint] = []
    place = {
        "effective_pin_memory": spec.train.loader.pin_memory and spec.train.device == "cuda",
        "torch_threads": torch.get_num_threads(),
        "concurrent_trials": concurrent_trials,
    }
    fault: Status | None = None
    with GpuSampler(spec.train.device) as gpu:
        try:
            make_optimizer = optimizer_entry(spec.optimizer).factory(
                {**spec.hyperparameters, "weight_decay": spec.weight_decay}
            )
            result = train(
                spec.train,
                make_optimizer,
                on_metrics=lambda step, metrics: curve.append(CurvePoint(step, metrics | gpu.latest(), now_ms())),
            )
        except PosemodelError:
            raise
        except Exception as error:
            fault = Status.OUT_OF_MEMORY if _is_out_of_memory(error) else Status.FAILED
            message = f"{type(error).__name__}: {error}"[:ERROR_LENGTH]
    if fault is not None:
        # Only here, where the exception and the frames that it held are gone, can memory be given back.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        steps = curve[-1].step if curve else 0
        return make_record(spec, fault, steps_done=steps, metrics={}, error=message, **place), curve
    metrics = {k: v for k, v in (result.metrics | gpu.summary()).items() if math.isfinite(v)}
    return make_record(spec, Status(result.status), steps_done=result.step, metrics=metrics, **place), curve


def _is_out_of_memory(error: Exception) -> bool:
    """CUDA has an exception of its own; CPU and MPS allocators only say it in words."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    words = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in words or "can't allocate memory" in words)
