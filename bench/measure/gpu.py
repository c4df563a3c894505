"""Sampling a GPU beside a running trial: utilisation and memory, by NVML (extra `gpu`: nvidia-ml-py)."""

import os
import threading
from collections.abc import Iterable
from types import ModuleType, TracebackType
from typing import Any

INTERVAL_S = 0.5


def own_bytes(processes: Iterable[Any], pid: int) -> int | None:
    """What NVML says that a process holds; None where it does not say (another process namespace, Windows' WDDM)."""
    held = [each.usedGpuMemory for each in processes if each.pid == pid and each.usedGpuMemory is not None]
    return sum(held) if held else None


class GpuSampler:
    """Samples the CUDA device that this process uses, between ``with`` and its end; without CUDA or NVML, nothing.

    Memory is this process's: as NVML counts it, or where NVML cannot tell processes apart (in a container) as PyTorch
    has reserved it, which leaves out the CUDA context's few hundred MB. Utilisation is the whole device's, the share of
    time in which anything ran; ``gpu_others_bytes`` is what others held meanwhile: above a few hundred MB it is theirs
    too.
    """

    def __init__(self, device_type: str) -> None:
        self._nvml: ModuleType | None = None
        self._handle: Any = None
        self._utilization: list[float] = []
        self._memory: list[float] = []
        self._others: list[float] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        if device_type == "cuda":
            self._open()

    def _open(self) -> None:
        import torch

        try:
            import pynvml
        except ImportError:
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
        assert self._nvml is not None
        while not self._stop.wait(INTERVAL_S):
            try:
                self._utilization.append(float(self._nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu))
                used, own = self._nvml.nvmlDeviceGetMemoryInfo(self._handle).used, self._own_bytes()
                self._memory.append(float(own))
                self._others.append(float(max(used - own, 0)))
            except self._nvml.NVMLError:
                return

    def _own_bytes(self) -> int:
        import torch

        assert self._nvml is not None
        own = own_bytes(self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle), os.getpid())
        return torch.cuda.memory_reserved() if own is None else own

    def latest(self) -> dict[str, float]:
        """The newest sample (empty without a GPU): per cent of time busy, bytes of memory that this process holds."""
        if not self._utilization or not self._memory:
            return {}
        return {"gpu_utilization_percent": self._utilization[-1], "gpu_memory_bytes": self._memory[-1]}

    def summary(self) -> dict[str, float]:
        """Mean utilisation, peak memory, and what others held at most, over all samples (empty without a GPU)."""
        if not self._utilization or not self._memory:
            return {}
        mean = sum(self._utilization) / len(self._utilization)
        return {
            "gpu_utilization_percent": mean,
            "gpu_memory_bytes": max(self._memory),
            "gpu_others_bytes": max(self._others),
        }
