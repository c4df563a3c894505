"""A `DataLoader(...)` call to paste, of loader settings."""

from typing import Any

from bench.trials.loader_settings import chosen_settings

DATALOADER_DEFAULTS: dict[str, Any] = {
    "num_workers": 0,
    "pin_memory": False,
    "prefetch_factor": None,
    "persistent_workers": False,
    "start_method": None,
}
"""PyTorch's own; batch_size has a default too (1), but nobody trains with it."""


def dataloader_call(chosen: Any) -> str:
    """The ``DataLoader(...)`` call to paste: what differs from PyTorch's defaults, the batch size always."""
    settings = chosen_settings(chosen)
    arguments = ["dataset", f"batch_size={settings['batch_size']}"]
    for name, default in DATALOADER_DEFAULTS.items():
        if settings[name] is not None and settings[name] != default:
            shown = "multiprocessing_context" if name == "start_method" else name
            arguments.append(f"{shown}={settings[name]!r}")
    return f"DataLoader({', '.join(arguments)})"
