"""Workloads: what a trial trains, each behind the protocol of `bench.workloads.protocol`.

Comes in: a name, or a study's settings. Goes out: the workload, and its own settings. Never: a plan, a record.
"""

import importlib
from functools import cache

from bench.workloads.protocol import Workload
from posemodel.errors import SettingsError

POSE = "pose"
"""The workload that ships: the PAF network of posemodel. What studies train that name no other."""
WORKLOADS = {POSE: "bench.workloads.pose:POSE"}
"""Where each workload that ships is."""
PROTOCOL = tuple(name for name in (*Workload.__annotations__, *vars(Workload)) if not name.startswith("_"))
"""What a workload has."""


@cache
def workload(name: str) -> Workload:
    """The workload of a name in `WORKLOADS`, or at a dotted path `package.module:NAME`; a class is called.

    SettingsError where there is none.
    """
    module, _, attribute = WORKLOADS.get(name, name).partition(":")
    if not attribute:
        raise SettingsError(
            f"workload {name!r}: is neither one that ships ({', '.join(WORKLOADS)}) nor a path package.module:NAME."
        )
    try:
        loaded = getattr(importlib.import_module(module), attribute)
        made: Workload = loaded() if isinstance(loaded, type) else loaded
    except (Exception, SystemExit) as error:  # whatever somebody's module raises
        raise SettingsError(f"workload {name!r}: cannot be loaded here ({type(error).__name__}: {error}).") from error
    missing = sorted(each for each in PROTOCOL if not hasattr(made, each))
    if missing:
        raise SettingsError(f"workload {name!r}: is none: it has no {', '.join(missing)}.")
    score = made.score
    if (score.direction, score.low, score.high, score.failure) != ("maximize", 0.0, 1.0, 0.0) or score.name != "ap":
        raise SettingsError(
            f"workload {name!r}: its score is {score}; tables and tests know the score `ap`, which is maximized, from "
            "0 (what a failed run counts) to 1."
        )
    if made.name != name:
        raise SettingsError(f"workload {name!r}: calls itself {made.name!r}; workers would look for that one.")
    return made
