"""Defaults of a loader study that depend on the machine: device, numbers of workers, batch sizes."""

from collections.abc import Mapping

from bench.measure.limits import Limits, limits
from bench.settings.layers import AUTO, Setting
from bench.study.machine_settings import device_here

ADVICE_PRESETS = ("advice", "advice-gpu")
"""Presets of `posebench loader advise`, for a CPU and for a GPU."""
ADVICE_WORKERS = 4
"""Maximum count of worker numbers to try, so that advice takes two minutes."""
WORKER_BYTES = 1_000_000_000
"""Memory that the default assumes for each worker; the study itself predicts it from a measurement."""
MOST_WORKERS = 16
"""Maximum number of workers that the default tries; `--num-workers` allows more."""


def on_this_machine(settings: Mapping[str, Setting], preset: str) -> dict[str, Setting]:
    """Return `device`, and `num_workers` and `batch_size` if they are `auto`, for this machine."""
    resolved = {"device": device_here(settings)}
    workers, batch_size = settings["num_workers"], settings["batch_size"]
    if workers.value == AUTO:
        available = limits()
        chosen = default_workers(available, few=preset in ADVICE_PRESETS)
        resolved["num_workers"] = Setting(chosen, f"{workers.origin} ({AUTO}: {available.cores:g} cores here)")
    if batch_size.value == AUTO:
        device = resolved["device"].value
        resolved["batch_size"] = Setting(default_batch_sizes(device), f"{batch_size.origin} ({AUTO}: device {device})")
    return resolved


def default_workers(available: Limits, *, few: bool = False) -> tuple[int, ...]:
    """Return 0, 1, 2, 4 ... up to the cores that this process may use, as far as its memory suffices.

    Memory is judged by its limit, not by what is free now, so that the same command makes the same study tomorrow. With
    ``few`` only ADVICE_WORKERS of them, spread over the range.
    """
    most = max(1, min(int(available.cores), MOST_WORKERS, available.memory_bytes // WORKER_BYTES))
    powers = [2**power for power in range(most.bit_length()) if 2**power <= most]
    wanted = sorted({0, *powers, most})
    if few and len(wanted) > ADVICE_WORKERS:
        wanted = sorted({0, most // 4, most // 2, most})
    return tuple(wanted)


def default_batch_sizes(device: str) -> tuple[int, ...]:
    """Return usual batch sizes; an accelerator takes more images at once."""
    return (4, 8, 16) if device == "cpu" else (8, 16, 32)
