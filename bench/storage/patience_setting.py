"""How long a study waits for a server that is away: an environment variable, as it depends on where a process runs."""

from bench.storage.durations import duration_in

PATIENCE_VARIABLE = "POSEBENCH_SERVER_PATIENCE"
"""Environment variable: how long a study waits for a server that is away, as `90s`, `10m` or `1h30m`."""
DEFAULT_PATIENCE_S = 600.0


def patience_s() -> float:
    """Return the seconds that a study waits for a server; SettingsError if the variable holds no duration."""
    return duration_in(PATIENCE_VARIABLE, DEFAULT_PATIENCE_S)
