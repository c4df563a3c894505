"""What a joint study may search for, and which loader settings it searches."""

from typing import Literal

Objective = Literal["ap-and-speed", "ap-at-time"]
AP_AND_SPEED: Objective = "ap-and-speed"
"""A front of AP and images/s after equally many images."""
AP_AT_TIME: Objective = "ap-at-time"
"""AP alone after equal time."""
AXES = ("num_workers", "pin_memory", "batch_size")
"""Settings of the loader that are searched, each among the values that the study lists."""
