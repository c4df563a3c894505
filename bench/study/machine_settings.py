"""Settings that depend on the machine: device, workers, preset; and the default name of a study."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch

from bench.measure.cores import usable_cores
from bench.settings.layers import Setting, about
from bench.settings.presets import presets
from posemodel.device import choose_device


def device_and_workers(settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """What this machine makes of `device` and `workers`; `cores` is one on an accelerator.

    On a CPU a trial for each core, of one thread each, trains more in all.
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
    """The device that `device` means on this machine; SettingsError where it has no such device."""
    asked = settings["device"]
    with about(settings, "device"):
        found = choose_device(asked.value).type
    return asked if found == asked.value else Setting(found, f"{asked.origin} ({asked.value}: found here)")


def default_name(kind: str, preset: str, folder: Path) -> str:
    """Kind, preset and data folder (or annotation file); what a name cannot hold becomes a hyphen."""
    stem = folder.stem if folder.is_file() else folder.name
    return f"{kind}-{preset}-" + re.sub(r"[^A-Za-z0-9._-]+", "-", stem)


def default_preset() -> str:
    """`full` is for a GPU, `small` for a CPU."""
    return "full" if torch.cuda.is_available() else "small"


def preset_for_device(kind: str, preset: str, device: str | None) -> str:
    """The preset PRESET-gpu where a kind has one and a GPU is used, else the preset itself; None: the machine's own."""
    there = f"{preset}-gpu" in presets(kind)
    return f"{preset}-gpu" if there and choose_device(device or "auto").type == "cuda" else preset  # type: ignore[arg-type]
