"""Sampling a GPU beside a running trial: utilisation and memory, by NVML (extra `gpu`: nvidia-ml-py)."""

import math
import os
import threading
import time
from collections.abc import Iterable, Sequence
from types import ModuleType, TracebackType
from typing import Any, NamedTuple

import torch

try:
    import pynvml
except ImportError:  # an extra
    pynvml = None

INTERVAL_S = 0.5
NVML_LOOKS_BACK_S = 1.0
"""What a sample of the utilisation is over, at most (NVML's documentation: 1/6 s to 1 s, by product)."""


class Sample(NamedTuple):
    """What NVML said at a moment."""

    at: float
    """By ``time.perf_counter``."""
    busy_percent: float
    own_bytes: float
    others_bytes: float


def own_bytes(processes: Iterable[Any], pid: int) -> int | None:
    """What NVML says that a process holds; None where it does not say (another process namespace, Windows' WDDM)."""
    held = [each.usedGpuMemory for each in processes if each.pid == pid and each.usedGpuMemory is not None]
    return sum(held) if held else None


class GpuSampler:
    """Samples the CUDA device that this process uses, between ``with`` and its end; without CUDA or NVML, nothing.

    Without ``with`` it samples when it is asked to (`look`).

    Memory is this process's: as NVML counts it, or where NVML cannot tell processes apart (in a container) as PyTorch
    has reserved it, which leaves out the CUDA context's few hundred MB. Utilisation is the whole device's, the share of
    time in which anything ran; ``gpu_others_bytes`` is what others held meanwhile: above a few hundred MB it is theirs
    too.
    """

    def __init__(self, device_type: str) -> None:
        self._nvml: ModuleType | None = None
        self._handle: Any = None
        self._samples: list[Sample] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        if device_type == "cuda":
            self._open()

    def _open(self) -> None:
        if pynvml is None:
            return
        try:
            pynvml.nvmlInit()
            uuid = torch.cuda.get_device_properties(torch.cuda.current_device()).uuid
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
        except pynvml.NVMLError:
            return
        self._nvml = pynvml

    def __enter__(self) -> "GpuSampler":
        if self._nvml is not None:
            self._thread = threading.Thread(target=self._run, daemon=True, name="gpu-sampler")
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL_S) and self._nvml is not None:
            self.look()

    def look(self) -> None:
        """Take a sample now: of the utilisation since NVML_LOOKS_BACK_S ago, at most."""
        if self._nvml is None:
            return
        try:
            busy = float(self._nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu)
            at = time.perf_counter()
            used, own = self._nvml.nvmlDeviceGetMemoryInfo(self._handle).used, self._own_bytes()
        except self._nvml.NVMLError:
            self._nvml = None
            return
        self._samples.append(Sample(at, busy, float(own), float(max(used - own, 0))))

    def _own_bytes(self) -> int:
        assert self._nvml is not None
        own = own_bytes(self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle), os.getpid())
        return torch.cuda.memory_reserved() if own is None else own

    def latest(self) -> dict[str, float]:
        """The newest sample (empty without a GPU): per cent of time busy, bytes of memory that this process holds."""
        if not self._samples:
            return {}
        newest = self._samples[-1]
        return {"gpu_utilization_percent": newest.busy_percent, "gpu_memory_bytes": newest.own_bytes}

    def summary(self, since: float = -math.inf) -> dict[str, float]:
        """As `summarized`, of all samples (empty without a GPU)."""
        return summarized(self._samples, since)


def summarized(samples: Sequence[Sample], since: float = -math.inf) -> dict[str, float]:
    """Mean utilisation, peak memory, and what others held at most (empty without samples).

    ``since``: of ``time.perf_counter``, when the utilisation to be told of began, so that what a loop does first is not
    in it; NaN where no sample saw only what came after.
    """
    if not samples:
        return {}
    kept = [each.busy_percent for each in samples if each.at - NVML_LOOKS_BACK_S >= since]
    return {
        "gpu_utilization_percent": sum(kept) / len(kept) if kept else math.nan,
        "gpu_memory_bytes": max(each.own_bytes for each in samples),
        "gpu_others_bytes": max(each.others_bytes for each in samples),
    }
