"""What this machine makes of a loader study's settings: device, numbers of workers, batch sizes."""

from collections.abc import Mapping

from bench.measure.limits import Limits, limits
from bench.settings.layers import AUTO, Setting
from bench.study.machine_settings import device_here

ADVICE_PRESETS = ("advice", "advice-gpu")
"""Of `posebench loader advise`, for a CPU and for a GPU."""
ADVICE_WORKERS = 4
"""Numbers of workers that fit into two minutes."""
WORKER_BYTES = 1_000_000_000
"""Memory for each worker that the default tries; the study itself predicts it from a measurement."""
MOST_WORKERS = 16
"""That the default tries; more are a flag away."""


def on_this_machine(settings: Mapping[str, Setting], preset: str) -> dict[str, Setting]:
    """What this machine makes of `device`, and of `num_workers` and `batch_size` where they are left to it."""
    found = {"device": device_here(settings)}
    workers, batch_size = settings["num_workers"], settings["batch_size"]
    if workers.value == AUTO:
        here = limits()
        chosen = default_workers(here, few=preset in ADVICE_PRESETS)
        found["num_workers"] = Setting(chosen, f"{workers.origin} ({AUTO}: {here.cores:g} cores here)")
    if batch_size.value == AUTO:
        device = found["device"].value
        found["batch_size"] = Setting(default_batch_sizes(device), f"{batch_size.origin} ({AUTO}: device {device})")
    return found


def default_workers(found: Limits, *, few: bool = False) -> tuple[int, ...]:
    """0, 1, 2, 4 ... up to the cores that this process may use, and as many as its memory carries.

    By the memory that it may have, not by what is free at the moment: the same command must ask the same tomorrow.
    With ``few`` only ADVICE_WORKERS of them, spread over the range.
    """
    most = max(1, min(int(found.cores), MOST_WORKERS, found.memory_bytes // WORKER_BYTES))
    powers = [2**power for power in range(most.bit_length()) if 2**power <= most]
    wanted = sorted({0, *powers, most})
    if few and len(wanted) > ADVICE_WORKERS:
        wanted = sorted({0, most // 4, most // 2, most})
    return tuple(wanted)


def default_batch_sizes(device: str) -> tuple[int, ...]:
    """What people try: an accelerator takes more at once."""
    return (4, 8, 16) if device == "cpu" else (8, 16, 32)
