"""Names of the data loader settings that form a configuration, and their values as plain Python objects."""

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
"""Settings of a loader configuration; all but ``cv2_threads`` are parameters of torch.utils.data.DataLoader."""


def plain_value(value: Any) -> Any:
    """Convert a table value to a plain Python one: NaN becomes None, a float an int (columns with gaps hold floats)."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (float, np.floating, np.integer)):
        return int(value)
    return value


def plain_settings(chosen: Any) -> dict[str, Any]:
    """Return the loader settings of a row (a mapping or pandas Series) as plain values."""
    return {name: plain_value(chosen[name]) for name in SETTINGS}
