"""Workloads (the things that a trial trains), behind the interface `bench.workloads.protocol.Workload`.

In: the name of a workload, or the settings of a study. Out: the workload and its own settings, and through it a data
set, runs as plain settings, trained networks and their scores. Knows nothing of plans, ledgers, records and reports.

All that a workload of one's own needs is imported from here:

    from bench.workloads import Score, WorkloadBase, WorkloadRun, train_steps

- `pose.py` is the workload that ships; the modules `pose_*.py` do its work.
- `base.py` has the base classes of one's own workload, `loop.py` a training loop for it.
- `of_study.py` finds the workload of a study.
"""

import importlib
import sys
from contextlib import redirect_stdout
from functools import cache
from typing import TYPE_CHECKING, Any

from bench.workloads.base import WorkloadBase, WorkloadRun
from bench.workloads.protocol import (
    REPORT,
    SELECT,
    Assignment,
    Budget,
    Costs,
    FoundData,
    MakeOptimizer,
    OnCosts,
    OnMetrics,
    ProbeData,
    Samples,
    Split,
    Trained,
    Workload,
)
from bench.workloads.score import Score
from posemodel.config import Settings
from posemodel.dotted_paths import is_dotted_path, split_dotted_path, with_colon
from posemodel.errors import SettingsError

if TYPE_CHECKING:
    from bench.workloads.loop import train_steps

__all__ = [
    "REPORT",
    "SELECT",
    "Assignment",
    "Budget",
    "Costs",
    "FoundData",
    "MakeOptimizer",
    "OnCosts",
    "OnMetrics",
    "ProbeData",
    "Samples",
    "Score",
    "Settings",
    "Split",
    "Trained",
    "Workload",
    "WorkloadBase",
    "WorkloadRun",
    "train_steps",
    "workload",
]

NAME = "name"
"""Key of the workload's name in the table `[workload]` of a study file, beside its own settings."""
POSE = "pose"
"""Name of the workload that ships, a pose network of `posemodel`, and the default of studies."""
WORKLOADS = {POSE: "bench.workloads.pose:POSE"}
"""Name -> `package.module:OBJECT` of each workload that ships."""
PROTOCOL = tuple(name for name in (*Workload.__annotations__, *vars(Workload)) if not name.startswith("_"))
"""Names of the attributes and methods that a workload must have."""


@cache
def workload(name: str) -> Workload:
    """Return the workload with a name in `WORKLOADS`, or at a path `package.module:NAME`; a class is instantiated.

    The path may also be written `package.module.NAME`; the workload's ``name`` has the colon. Raises SettingsError if
    it cannot be loaded or does not follow the protocol.
    """
    name = with_colon(name)
    if name not in WORKLOADS and not is_dotted_path(name):
        raise SettingsError(
            f"workload {name!r}: is neither a workload that ships ({', '.join(WORKLOADS)}) nor a path "
            "package.module:NAME."
        )
    module, attribute = split_dotted_path(WORKLOADS.get(name, name))
    try:
        with redirect_stdout(sys.stderr):  # stdout is reserved for JSON
            loaded: Any = importlib.import_module(module)
            for part in attribute.split("."):
                loaded = getattr(loaded, part)
            instance: Workload = loaded() if isinstance(loaded, type) else loaded
    except (Exception, SystemExit) as error:  # somebody's module may raise anything
        raise SettingsError(f"workload {name!r}: cannot be loaded here ({type(error).__name__}: {error}).") from error
    missing = sorted(each for each in PROTOCOL if not hasattr(instance, each))
    if missing:
        raise SettingsError(
            f"workload {name!r}: does not follow the workload protocol: it has no {', '.join(missing)}."
        )
    if faults := instance.score.faults():
        raise SettingsError(f"workload {name!r}: its score cannot be used: {'; '.join(faults)}.")
    taken = sorted({*instance.settings.model_fields} & {NAME, *WorkloadRun.model_fields})
    if taken and name not in WORKLOADS:
        raise SettingsError(
            f"workload {name!r}: its settings may not be called {', '.join(taken)}: these are the suite's fields of a "
            "run. Rename them."
        )
    if with_colon(instance.name) != name:
        raise SettingsError(
            f"workload {name!r}: has the name {instance.name!r}, which workers would look for. Set it to its path."
        )
    return instance


def __getattr__(name: str) -> Any:
    """Import `train_steps` when it is used, since it imports PyTorch, which settings, plans and records do not need."""
    if name == "train_steps":
        return importlib.import_module("bench.workloads.loop").train_steps
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
