"""Workloads: what a trial trains, each behind the protocol of `bench.workloads.protocol`.

Comes in: a name, or a study's settings. Goes out: the workload, and its own settings. Never: a plan, a record.
"""

import importlib
from functools import cache
from typing import Any

from bench.settings.dotted import is_path, split, with_colon
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
    """The workload of a name in `WORKLOADS`, or at a path `package.module:NAME`; a class is called.

    It may be spelled `package.module.NAME`, and is called by the other spelling all the same. SettingsError where there
    is none.
    """
    name = with_colon(name)
    if name not in WORKLOADS and not is_path(name):
        raise SettingsError(
            f"workload {name!r}: is neither one that ships ({', '.join(WORKLOADS)}) nor a path package.module:NAME."
        )
    module, attribute = split(WORKLOADS.get(name, name))
    try:
        loaded: Any = importlib.import_module(module)
        for part in attribute.split("."):
            loaded = getattr(loaded, part)
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
    if with_colon(made.name) != name:
        raise SettingsError(f"workload {name!r}: calls itself {made.name!r}; workers would look for that one.")
    return made
