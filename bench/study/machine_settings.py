"""Resolve settings that depend on the machine (device, workers, GPUs, preset) and the default name of a study."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from bench.engines.cluster.settings import Cluster, named_address, require_ray
from bench.engines.places import assign
from bench.measure.cores import usable_cores
from bench.measure.gpus import Gpu, visible_gpus
from bench.report.wording import counted
from bench.settings.layers import COMMAND_LINE, Setting, errors_about
from bench.settings.presets import presets
from posemodel.device import choose_device
from posemodel.errors import SettingsError

ABOUT_ITS_MACHINE = (
    "a loader study is about the machine that it runs on, so its measurements cannot be placed on a cluster. Run it on "
    "a node."
)
"""Why a study of loaders has no engine."""


def places_here(settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """Resolve `device`, `workers` and `gpus` on this machine.

    `gpus` becomes the UUIDs of the GPUs that workers get, or None for the device as it is. On a CPU, one
    single-threaded trial per core has the highest total throughput, which is what workers `cores` means.
    """
    if on_cluster(settings):
        return _places_on_cluster(settings)
    if settings["workers"].value == 0:
        return _places_elsewhere(settings)
    resolved = {**settings, "device": device_here(settings)}
    placed = gpus_of_workers(resolved)
    gpus = Setting(tuple(dict.fromkeys(gpu.uuid for gpu in placed)) or None, settings["gpus"].origin)
    return {"device": resolved["device"], "workers": workers_setting(resolved, placed), "gpus": gpus}


def workers_setting(settings: Mapping[str, Setting], placed: Sequence[Gpu]) -> Setting:
    """Return `workers` as a number; ``placed``: the GPU of each, empty for the device as it is."""
    device, workers = settings["device"].value, settings["workers"]
    if isinstance(workers.value, int):
        return workers
    if placed:
        gpus = len({*placed})
        text = f"{counted(gpus, 'GPU')}, {counted(len(placed) // gpus, 'trial')} on each"
        return Setting(len(placed), f"{workers.origin} ({workers.value}: {text})")
    if workers.value == "cores" and device == "cpu":
        cores = usable_cores()
        return Setting(cores, f"{workers.origin} (cores: {cores} here)")
    return Setting(1, f"{workers.origin} ({workers.value}: one trial on a {device} device)")


def gpus_of_workers(settings: Mapping[str, Setting], visible: Sequence[Gpu] | None = None) -> tuple[Gpu, ...]:
    """Return the GPU of each worker; empty for the device as it is: a CPU, or the only GPU if one trial runs at once.

    Args:
        settings: `workers`, `gpus`, `trials_per_gpu`, and `device` as resolved on this machine.
        visible: The GPUs that this process may use; None: found out if the device is a GPU.

    Raises SettingsError if `gpus` names one that is not there, or if more workers than places are asked for, and for
    settings of GPUs where there are none.
    """
    device, workers, chosen = (settings[name] for name in ("device", "workers", "gpus"))
    if workers.value == 0 or on_cluster(settings):
        return ()
    if visible is None:
        visible = visible_gpus() if device.value == "cuda" else ()
    with errors_about(settings, "gpus", "workers", "trials_per_gpu"):
        if not visible:
            _refuse_gpu_settings(settings)
            return ()
        placed = assign(
            visible,
            workers=workers.value if isinstance(workers.value, int) else None,
            chosen=chosen.value,
            trials_per_gpu=settings["trials_per_gpu"].value,
        )
    return placed if len(placed) > 1 or len(visible) > 1 else ()


def _refuse_gpu_settings(settings: Mapping[str, Setting]) -> None:
    """Raise SettingsError where there is no GPU: for `gpus`, and for `trials_per_gpu` if it was typed for this machine.

    A study file, which several machines may use, can have the latter.
    """
    device, sharing = settings["device"], settings["trials_per_gpu"]
    why = f"the device is {device.value}" if device.value != "cuda" else "none can be told apart here"
    if settings["gpus"].value:
        raise SettingsError(f"gpus: there is no GPU to choose: {why} (device from: {device.origin}).")
    if sharing.value > 1 and sharing.origin == COMMAND_LINE:
        raise SettingsError(
            f"trials_per_gpu: there is no GPU to share: {why} (device from: {device.origin}). Give "
            f"--workers {sharing.value} to run as many trials at once."
        )


def places_on_gpus(settings: Mapping[str, Setting]) -> int | None:
    """Return how many trials the GPUs take at once; None without GPUs that can be told apart.

    ``settings``: as for `places_here`, whatever `workers` says.
    """
    device = device_here(settings)
    if device.value != "cuda" or not visible_gpus():
        return None
    return len(gpus_of_workers({**settings, "device": device, "workers": Setting("auto", "")})) or 1


def _places_elsewhere(settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """Return the device and the workers of a command that runs no trial itself: this machine need not have the device.

    Raises SettingsError if the device is still to be found out, or GPUs are named.
    """
    if settings["device"].value == "auto":
        with errors_about(settings, "device"):
            raise SettingsError(
                "device: with --workers 0 no trial runs on this machine: say what the workers train on, --device cuda "
                "or --device cpu."
            )
    if settings["gpus"].value:
        with errors_about(settings, "gpus"):
            raise SettingsError("gpus: with --workers 0 no trial runs on this machine. Leave --gpus out.")
    return {
        "device": settings["device"],
        "workers": settings["workers"],
        "gpus": Setting(None, settings["gpus"].origin),
    }


def on_cluster(settings: Mapping[str, Setting]) -> bool:
    """Return whether the trials run on a Ray cluster; SettingsError for an address of one where they do not."""
    engine, address = settings.get("engine"), settings.get("ray_address")
    ray = engine is not None and engine.value == "ray"
    if not ray and address is not None and address.value is not None and address.origin == COMMAND_LINE:
        raise SettingsError(f"--ray-address {address.value}: needs --engine ray.")
    return ray


def cluster_of(settings: Mapping[str, Setting]) -> Cluster | None:
    """Return the cluster on which trials run, with what each needs there; None: they run on this machine.

    ``settings``: those that `places_here` has resolved, and the loader's `num_workers`, if the study has one.
    """
    if not on_cluster(settings):
        return None
    loaders = settings["num_workers"].value if "num_workers" in settings else 0
    most = settings["workers"].value
    return Cluster(
        settings["ray_address"].value,
        most or None,
        settings["device"].value,
        settings["trials_per_gpu"].value,
        1 + (max(loaders, default=0) if isinstance(loaders, tuple) else loaders),
    )


def _places_on_cluster(settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """Return the device and the workers (0: no bound) of a command whose trials run on a Ray cluster."""
    require_ray()
    workers, gpus = settings["workers"], settings["gpus"]
    if workers.value == 0:
        with errors_about(settings, "workers"):
            raise SettingsError(
                "workers: with --engine ray, workers is the most trials at once: give 1 or more, or leave it out."
            )
    if gpus.value:
        with errors_about(settings, "gpus"):
            raise SettingsError(
                "gpus: with --engine ray, Ray chooses the GPUs of its nodes. Leave --gpus out; `ray start --num-gpus` "
                "says how many a node offers."
            )
    if settings["device"].value == "auto":
        with errors_about(settings, "device"):
            raise SettingsError(
                "device: with --engine ray trials run on the nodes of a cluster: say what they train on, --device cuda "
                "or --device cpu."
            )
    named_address(settings["ray_address"].value)  # raises for one that does not answer, before a study is begun
    bound = workers if isinstance(workers.value, int) else Setting(0, f"{workers.origin} ({workers.value}: no bound)")
    return {"device": settings["device"], "workers": bound, "gpus": Setting(None, gpus.origin)}


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
