"""Format loader settings as a `DataLoader(...)` call to paste."""

from typing import Any

from bench.trials.loader_settings import plain_settings

DATALOADER_DEFAULTS: dict[str, Any] = {
    "num_workers": 0,
    "pin_memory": False,
    "prefetch_factor": None,
    "persistent_workers": False,
    "start_method": None,
}
"""PyTorch's defaults; batch_size is left out, since nobody trains with its default of 1."""


def dataloader_call(chosen: Any) -> str:
    """Return the ``DataLoader(...)`` call: the batch size, and settings that differ from PyTorch's defaults."""
    settings = plain_settings(chosen)
    arguments = ["dataset", f"batch_size={settings['batch_size']}"]
    for name, default in DATALOADER_DEFAULTS.items():
        if settings[name] is not None and settings[name] != default:
            shown = "multiprocessing_context" if name == "start_method" else name
            arguments.append(f"{shown}={settings[name]!r}")
    return f"DataLoader({', '.join(arguments)})"
