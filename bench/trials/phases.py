"""Names of the phases of studies whose trials train, and the unit of time budgets."""

from typing import Literal

Phase = Literal["tune", "confirm", "search"]
TUNE: Phase = "tune"
CONFIRM: Phase = "confirm"
SEARCH: Phase = "search"
"""Phase of a joint study in which a sampler chooses one trial after the other."""
SECOND = "second"
"""Unit of a budget in seconds of training."""
