"""Sampling a GPU beside a running trial: utilisation and memory, by NVML (extra `gpu`: nvidia-ml-py)."""

import threading
from types import ModuleType, TracebackType
from typing import Any

INTERVAL_S = 0.5


class GpuSampler:
    """Samples the CUDA device that this process uses, between ``with`` and its end; without CUDA or NVML, nothing."""

    def __init__(self, device_type: str) -> None:
        self._nvml: ModuleType | None = None
        self._handle: Any = None
        self._utilization: list[float] = []
        self._memory: list[float] = []
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
                self._memory.append(float(self._nvml.nvmlDeviceGetMemoryInfo(self._handle).used))
            except self._nvml.NVMLError:
                return

    def latest(self) -> dict[str, float]:
        """The newest sample (empty without a GPU): per cent of time busy, bytes of memory in use on the device."""
        if not self._utilization or not self._memory:
            return {}
        return {"gpu_utilization_percent": self._utilization[-1], "gpu_memory_bytes": self._memory[-1]}

    def summary(self) -> dict[str, float]:
        """Mean utilisation and peak memory over all samples (empty without a GPU)."""
        if not self._utilization or not self._memory:
            return {}
        mean = sum(self._utilization) / len(self._utilization)
        return {"gpu_utilization_percent": mean, "gpu_memory_bytes": max(self._memory)}
