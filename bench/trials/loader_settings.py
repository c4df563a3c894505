"""The settings of a loader as columns of rows: what makes a configuration, and its values as Python's own."""

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


def plain_setting(value: Any) -> Any:
    """A setting as Python's own: None for what is not set, whole numbers whole (a column with gaps holds floats)."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (float, np.floating, np.integer)):
        return int(value)
    return value


def chosen_settings(chosen: Any) -> dict[str, Any]:
    """The settings of a row as plain values."""
    return {name: plain_setting(chosen[name]) for name in SETTINGS}
