"""The phases of studies whose trials train."""

from typing import Literal

Phase = Literal["tune", "confirm", "search"]
TUNE: Phase = "tune"
CONFIRM: Phase = "confirm"
SEARCH: Phase = "search"
"""Of a joint study: a sampler chooses what is tried, trial after trial."""
