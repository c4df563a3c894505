"""Choice of the PyTorch device, and waiting for its queued work."""

import torch

from posemodel.config import Device
from posemodel.errors import SettingsError


def choose_device(name: Device) -> torch.device:
    """Return the named device; `auto` is CUDA, else MPS, else the CPU.

    Raises:
        SettingsError: This machine has no such device.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(device for device, usable in available.items() if usable))
    if not available.get(name):
        raise SettingsError(f"device: this machine has no {name} device. Use --device auto or --device cpu.")
    return torch.device(name)


def synchronize(device: torch.device) -> None:
    """Wait until all work queued on the device is done; a CPU has no queue."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
