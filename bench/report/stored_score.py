"""The shown score of a workload, and of a stored study by the name of its workload."""

from collections.abc import Mapping
from typing import Any

from bench.report.shown_score import UNKNOWN, ShownScore
from bench.workloads import POSE, workload
from bench.workloads.of_study import name_of
from bench.workloads.protocol import Workload
from posemodel.errors import SettingsError


def shown_score_of(task: Workload) -> ShownScore:
    """Return the score of a workload as reports show it."""
    return ShownScore(task.score, task.sample_name, of_pose=task.name == POSE)


def stored_score(table: Mapping[str, Any] | None) -> ShownScore:
    """Return the score of the workload in a stored study's table `[workload]`.

    A workload that cannot be loaded here (its module may be elsewhere) has an unknown score.
    """
    try:
        return shown_score_of(workload(name_of(table or {})))
    except SettingsError:
        return UNKNOWN
