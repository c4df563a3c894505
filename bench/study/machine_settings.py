"""Resolve settings that depend on the machine (device, workers, preset) and the default name of a study."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch

from bench.measure.cores import usable_cores
from bench.settings.layers import Setting, errors_about
from bench.settings.presets import presets
from posemodel.device import choose_device


def device_and_workers(settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """Resolve `device` and `workers` on this machine; workers `cores` means 1 on an accelerator.

    On a CPU, one single-threaded trial per core has the highest total throughput.
    """
    device = device_here(settings)
    workers = settings["workers"]
    if workers.value == "cores":
        cores = usable_cores()
        workers = (
            Setting(cores, f"{workers.origin} (cores: {cores} here)")
            if device.value == "cpu"
            else Setting(1, f"{workers.origin} (cores: one trial on a {device.value} device)")
        )
    return {"device": device, "workers": workers}


def device_here(settings: Mapping[str, Setting]) -> Setting:
    """Resolve the `device` setting on this machine; SettingsError if the machine has no such device."""
    requested = settings["device"]
    with errors_about(settings, "device"):
        device = choose_device(requested.value).type
    return (
        requested
        if device == requested.value
        else Setting(device, f"{requested.origin} ({requested.value}: found here)")
    )


def default_name(kind: str, preset: str, folder: Path) -> str:
    """Return KIND-PRESET-DATA, from the data folder or annotation file; characters not allowed become hyphens."""
    stem = folder.stem if folder.is_file() else folder.name
    return f"{kind}-{preset}-" + re.sub(r"[^A-Za-z0-9._-]+", "-", stem)


def default_preset() -> str:
    """Return `full` on a machine with a CUDA GPU, otherwise `small`."""
    return "full" if torch.cuda.is_available() else "small"


def preset_for_device(kind: str, preset: str, device: str | None) -> str:
    """Return PRESET-gpu if the kind has such a preset and a GPU is used, otherwise PRESET.

    ``device``: the device setting; None stands for `auto`.
    """
    exists = f"{preset}-gpu" in presets(kind)
    return f"{preset}-gpu" if exists and choose_device(device or "auto").type == "cuda" else preset  # type: ignore[arg-type]
