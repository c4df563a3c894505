"""NVML of a machine that a test describes, as far as GPUs are listed; errors are the package's own."""

# ruff: noqa: N802 (NVML's names)

from collections.abc import Sequence
from types import SimpleNamespace

import pynvml

from bench.measure.gpus import Card, Gpu


class SimulatedNvml:
    """Answers as the module `pynvml` does; handles are GPUs and instances themselves."""

    NVMLError = pynvml.NVMLError
    NVMLError_NotFound = pynvml.NVMLError_NotFound
    NVML_DEVICE_MIG_ENABLE = pynvml.NVML_DEVICE_MIG_ENABLE

    def __init__(self, cards: Sequence[Card], *, driver: bool = True) -> None:
        """``driver``: False as on a machine without NVIDIA's driver."""
        self.cards, self.driver, self.opened = cards, driver, 0

    def nvmlInit(self) -> None:
        if not self.driver:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
        self.opened += 1

    def nvmlShutdown(self) -> None:
        self.opened -= 1

    def nvmlDeviceGetCount(self) -> int:
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Gpu:
        return self.cards[index].gpu

    def nvmlDeviceGetUUID(self, handle: Gpu) -> str:
        return handle.uuid

    def nvmlDeviceGetName(self, handle: Gpu) -> str:
        return handle.name

    def nvmlDeviceGetMemoryInfo(self, handle: Gpu) -> SimpleNamespace:
        return SimpleNamespace(total=handle.memory_bytes, used=0)

    def nvmlDeviceGetMigMode(self, handle: Gpu) -> tuple[int, int]:
        """Current and pending mode; models without MIG raise an error."""
        instances = self._instances(handle)
        if instances is None and "A2" in handle.name:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        mode = pynvml.NVML_DEVICE_MIG_DISABLE if instances is None else pynvml.NVML_DEVICE_MIG_ENABLE
        return mode, mode

    def nvmlDeviceGetMaxMigDeviceCount(self, _handle: Gpu) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Gpu, index: int) -> Gpu:
        """Instances have even indices here: NVML leaves gaps."""
        instances = self._instances(handle) or ()
        if index % 2 or index // 2 >= len(instances):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return instances[index // 2]

    def _instances(self, handle: Gpu) -> tuple[Gpu, ...] | None:
        return next(card.instances for card in self.cards if card.gpu == handle)
