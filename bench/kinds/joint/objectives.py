"""Objectives of a joint study, and the loader settings that it searches."""

from typing import Literal

Objective = Literal["ap-and-speed", "ap-at-time"]
AP_AND_SPEED: Objective = "ap-and-speed"
"""Pareto front of AP (or another workload's score) and images/s, each trial trained on equally many images."""
AP_AT_TIME: Objective = "ap-at-time"
"""The score alone, each trial trained for equal time."""
AXES = ("num_workers", "pin_memory", "batch_size")
"""Loader settings that are searched, each among the values that the study lists."""
