"""The phases of a loader study."""

from typing import Literal

PhaseName = Literal["grid", "around", "largest"]
GRID: PhaseName = "grid"
AROUND: PhaseName = "around"
LARGEST: PhaseName = "largest"
