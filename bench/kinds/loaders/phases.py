"""The phases of a loader study: the grid of combinations, variants around its best, and the largest-batch search."""

from typing import Literal

PhaseName = Literal["grid", "around", "largest"]
GRID: PhaseName = "grid"
AROUND: PhaseName = "around"
LARGEST: PhaseName = "largest"
