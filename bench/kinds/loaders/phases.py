"""The phases of a loader study: the grid of combinations, variants of its best one, and the largest-batch search."""

from typing import Literal

PhaseName = Literal["grid", "around", "largest"]
GRID: PhaseName = "grid"
"""Every combination of the main settings."""
AROUND: PhaseName = "around"
"""The best combination, varied in one setting at a time."""
LARGEST: PhaseName = "largest"
"""The search for the largest batch that fits into memory."""
