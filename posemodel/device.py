"""Choosing a device, and waiting for it."""

import torch

from posemodel.config import Device
from posemodel.errors import SettingsError


def choose_device(name: Device) -> torch.device:
    """`auto` is CUDA, else MPS, else the CPU; SettingsError where the named device is not there."""
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(device for device, there in available.items() if there))
    if not available.get(name):
        raise SettingsError(f"device: no {name} device here. Use --device auto or --device cpu.")
    return torch.device(name)


def synchronize(device: torch.device) -> None:
    """Wait until everything queued on the device is done; a CPU computes at once."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
