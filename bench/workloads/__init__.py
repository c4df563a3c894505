"""Workloads: what a trial trains, each behind the protocol of `bench.workloads.protocol`.

Comes in: a name. Goes out: the workload of that name. Never: a study, a plan, a record.
"""

import importlib
from functools import cache

from bench.workloads.protocol import Workload
from posemodel.errors import SettingsError

POSE = "pose"
"""The workload that ships: the PAF network of posemodel. What studies train that name no other."""
WORKLOADS = {POSE: "bench.workloads.pose:POSE"}
"""Where each workload that ships is."""


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
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"workload {name!r}: cannot be imported here ({error}).") from error
    made: Workload = found() if isinstance(found, type) else found
    score = made.score
    if (score.direction, score.low, score.high, score.failure) != ("maximize", 0.0, 1.0, 0.0) or score.name != "ap":
        raise SettingsError(
            f"workload {name!r}: its score is {score}; tables and tests know the score `ap`, which is maximized, from "
            "0 (what a failed run counts) to 1."
        )
    return made
