"""Lengths of time in options and environment variables, such as `90s`, `10m` or `1h30m`."""

import os
import re

from posemodel.errors import SettingsError

UNITS = (3600, 60, 1)
"""Seconds of `h`, `m` and `s`."""
NUMBER = r"\d+(?:\.\d+)?"


def duration_in(variable: str, default_s: float) -> float:
    """Return the seconds that an environment variable says, which may be 0; ``default_s`` if it is not set or empty.

    Raises SettingsError if it holds no duration.
    """
    text = os.environ.get(variable)
    return parse_duration(text, f"environment {variable}", zero=True) if text else default_s


def parse_duration(text: str, origin: str, *, zero: bool = False) -> float:
    """Return the seconds of `90s`, `10m`, `1h30m`.

    Args:
        text: The duration as typed.
        origin: The option or variable, for messages.
        zero: Allow no time at all, as `0s`.

    Raises SettingsError for anything else, including a number without a unit.
    """
    typed = text.strip().lower().replace(" ", "")
    if re.fullmatch(NUMBER, typed):
        raise SettingsError(f"{origin} {text}: has no unit: give {typed}m for minutes, {typed}h or {typed}s.")
    amounts = re.fullmatch(rf"(?:({NUMBER})h)?(?:({NUMBER})m)?(?:({NUMBER})s)?", typed)
    if amounts is None or not typed:
        raise SettingsError(f"{origin} {text}: must be a time, such as 90s, 10m, 2h or 1h30m.")
    seconds = sum(float(amount or 0) * unit for amount, unit in zip(amounts.groups(), UNITS, strict=True))
    if seconds == 0 and not zero:
        raise SettingsError(f"{origin} {text}: must be longer than 0.")
    return seconds
