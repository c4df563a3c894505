"""A `DataLoader(...)` call to paste, of loader settings."""

import math
from typing import Any

import numpy as np

SETTINGS = (
    "batch_size",
    "num_workers",
    "pin_memory",
    "prefetch_factor",
    "persistent_workers",
    "start_method",
    "cv2_threads",
)
"""What makes a configuration; names are those of torch.utils.data.DataLoader."""
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


def chosen_settings(chosen: Any) -> dict[str, Any]:
    """The settings of a row as plain values."""
    return {name: plain_setting(chosen[name]) for name in SETTINGS}


def plain_setting(value: Any) -> Any:
    """A setting as Python's own: None for what is not set, whole numbers whole (a column with gaps holds floats)."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (float, np.floating, np.integer)):
        return int(value)
    return value
