"""Lengths of time in environment variables, such as `90s`, `10m` or `2h`."""

import os
import re

from posemodel.errors import SettingsError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smh])")


def duration_in(variable: str, default_s: float) -> float:
    """Return the seconds that an environment variable says; ``default_s`` if it is not set or empty.

    Raises SettingsError if it holds no duration.
    """
    text = os.environ.get(variable)
    if not text:
        return default_s
    duration = _DURATION.fullmatch(text.strip())
    if duration is None:
        raise SettingsError(f"environment {variable}: {text!r} is not a duration such as 90s, 10m or 2h.")
    return float(duration[1]) * _UNITS[duration[2]]
