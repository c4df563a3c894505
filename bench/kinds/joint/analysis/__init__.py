"""Analysis of a joint study. In: records; out: findings. Never touches disk, clock or database.

``picks`` chooses which configurations are confirmed and ``joint_findings`` builds the findings. ``found`` derives what
all sections share from the records, ``answer`` says which configurations to take, and ``front``, ``decided``,
``history`` and ``run`` are the sections with the evidence.
"""

from bench.kinds.joint.analysis.picks import (
    BEST_AP,
    FASTEST,
    NEAR_BEST,
    Pick,
    completed_confirm,
    configuration_key,
    picks,
    settings_of,
)
from bench.kinds.joint.analysis.study import joint_findings
from bench.kinds.joint.objectives import AP_AND_SPEED, AP_AT_TIME
from bench.trials.phases import SEARCH

__all__ = [
    "AP_AND_SPEED",
    "AP_AT_TIME",
    "BEST_AP",
    "FASTEST",
    "NEAR_BEST",
    "SEARCH",
    "Pick",
    "completed_confirm",
    "configuration_key",
    "joint_findings",
    "picks",
    "settings_of",
]
