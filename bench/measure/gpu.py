"""GPU utilisation and memory, sampled by NVML beside a running trial (extra `gpu`: nvidia-ml-py)."""

import math
import os
import threading
import time
from collections.abc import Iterable, Sequence
from types import ModuleType, TracebackType
from typing import Any, NamedTuple

import torch

from bench.measure.gpus import Gpu, gpu_of

try:
    import pynvml
except ImportError:  # an extra
    pynvml = None

INTERVAL_S = 0.5
"""Seconds between two samples."""
NVML_LOOKS_BACK_S = 1.0
"""Longest window in seconds that NVML's utilisation covers (1/6 s to 1 s, depending on the product, by its
documentation)."""


class Sample(NamedTuple):
    """NVML's values at one moment."""

    at: float
    """The moment, by ``time.perf_counter``."""
    busy_percent: float
    own_bytes: float
    others_bytes: float


def own_bytes(processes: Iterable[Any], pid: int) -> int | None:
    """Return the GPU memory of a process by NVML's list; None if NVML does not say (another process namespace, Windows'
    WDDM)."""
    sizes = [each.usedGpuMemory for each in processes if each.pid == pid and each.usedGpuMemory is not None]
    return sum(sizes) if sizes else None


class GpuSampler:
    """Samples the CUDA device of this process (a GPU or a MIG instance) inside a ``with`` block; without CUDA or NVML
    it records nothing.

    Outside ``with`` it samples only when `sample_now` is called.

    Memory is this process's: by NVML, or, where NVML cannot tell processes apart (in a container), as reserved by
    PyTorch, which leaves out the few hundred MB of the CUDA context. Utilisation is the whole device's: the share of
    time in which anything ran. ``gpu_others_bytes`` is the memory of other processes; above a few hundred MB the
    utilisation is partly theirs.
    """

    def __init__(self, device_type: str) -> None:
        self.device: Gpu | None = None
        """The GPU that is sampled; None without CUDA, or if it cannot be identified."""
        self._nvml: ModuleType | None = None
        self._handle: Any = None
        self._samples: list[Sample] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        if device_type == "cuda":
            self._open()

    def _open(self) -> None:
        properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        self.device = gpu_of(str(properties.uuid), properties.name, properties.total_memory)
        if pynvml is None:
            return
        try:
            pynvml.nvmlInit()
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(self.device.uuid)
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
            self.sample_now()

    def sample_now(self) -> None:
        """Take a sample now; its utilisation covers at most the last NVML_LOOKS_BACK_S seconds."""
        if self._nvml is None:
            return
        try:
            busy, at = self._busy_percent(), time.perf_counter()
            used, own = self._nvml.nvmlDeviceGetMemoryInfo(self._handle).used, self._own_bytes()
        except self._nvml.NVMLError:
            self._nvml = None
            return
        self._samples.append(Sample(at, busy, float(own), float(max(used - own, 0))))

    def _busy_percent(self) -> float:
        """Return the share of time in which anything ran, in per cent; NaN for a MIG instance, for which NVML has
        none."""
        assert self._nvml is not None
        try:
            return float(self._nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu)
        except (self._nvml.NVMLError_NotSupported, self._nvml.NVMLError_InvalidArgument):
            return math.nan

    def _own_bytes(self) -> int:
        assert self._nvml is not None
        own = own_bytes(self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle), os.getpid())
        return torch.cuda.memory_reserved() if own is None else own

    def latest(self) -> dict[str, float]:
        """Return the newest sample's utilisation (per cent of time busy) and bytes of memory of this process; empty
        without a GPU."""
        if not self._samples:
            return {}
        newest = self._samples[-1]
        memory = {"gpu_memory_bytes": newest.own_bytes}
        if math.isnan(newest.busy_percent):
            return memory
        return {"gpu_utilization_percent": newest.busy_percent, **memory}

    def summary(self, since: float = -math.inf) -> dict[str, float]:
        """Return `summarized` of all samples; empty without a GPU."""
        return summarized(self._samples, since)


def summarized(samples: Sequence[Sample], since: float = -math.inf) -> dict[str, float]:
    """Return mean utilisation (per cent), peak memory of this process and peak memory of others (bytes); empty without
    samples.

    Args:
        samples: In the order in which they were taken.
        since: Moment (``time.perf_counter``) from which utilisation counts, so that a loop's start is left out. The
            utilisation is NaN if no sample's window lies wholly after it.
    """
    if not samples:
        return {}
    kept = [each.busy_percent for each in samples if each.at - NVML_LOOKS_BACK_S >= since]
    return {
        "gpu_utilization_percent": sum(kept) / len(kept) if kept else math.nan,
        "gpu_memory_bytes": max(each.own_bytes for each in samples),
        "gpu_others_bytes": max(each.others_bytes for each in samples),
    }
