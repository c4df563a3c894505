"""The phases of studies whose trials train, and the unit of budgets in time."""

from typing import Literal

Phase = Literal["tune", "confirm", "search"]
TUNE: Phase = "tune"
CONFIRM: Phase = "confirm"
SEARCH: Phase = "search"
"""Of a joint study: a sampler chooses what is tried, trial after trial."""
SECOND = "second"
"""The unit of a budget in seconds of training."""
