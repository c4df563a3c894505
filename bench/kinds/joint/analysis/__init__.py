"""A joint study's analysis. In: records; out: findings. Never touches disk, clock or database.

``picks`` chooses what the confirm phase runs, ``joint_findings`` says what it all found: ``found`` puts the records
together once, ``answer`` says which configurations to take, ``front``, ``decided``, ``history`` and ``run`` are the
sections of what that rests on.
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
