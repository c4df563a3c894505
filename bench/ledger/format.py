"""How the ledger writes a trial into an Optuna trial, and how it tells whether a trial's worker lives."""

import socket
import time
from typing import Any

import psutil
from optuna.trial import FrozenTrial

HEARTBEAT_S = 10
GRACE_S = 60
"""A trial whose worker has not been heard of for so long is given to another one."""

SPEC, TRIAL_ID, OWNER, HEARTBEAT, ATTEMPTS, STATUS = "spec", "trial_id", "owner", "heartbeat", "attempts", "status"
"""Attributes of a trial."""
RUNGS = "rungs"
"""Attribute of a trial: what Optuna's pruner has noted of it."""
DUPLICATE = "duplicate"
"""Status of a later copy of a trial, enqueued by two processes at once: it never runs and counts for nothing."""
STUDY = "posebench:identity"
"""Attribute of a study: what it is. A study without it is somebody else's."""
EARLIER = "posebench:earlier"
"""Attribute of a study: what it was before each time that it was extended, a list of identities."""
SESSION = "posebench:session:"
"""Attributes of a study that begin so say which processes work on it."""
CLAIMANT = "claimant:"
"""Attributes of a trial that begin so say who has tried to take it: known before the claim, unlike its owner."""


def this_process() -> dict[str, Any]:
    """Who holds a trial: enough to tell, on the same host, whether that process still lives."""
    process = psutil.Process()
    return {"host": socket.gethostname(), "pid": process.pid, "started": process.create_time()}


def is_stale(trial: FrozenTrial) -> bool:
    """Whether a running trial's worker is dead: on this host by its process, elsewhere by its silence."""
    owner = trial.user_attrs.get(OWNER)
    if owner is not None and is_here(owner):
        return not lives(owner["pid"], owner["started"])
    claimants = [value for name, value in trial.user_attrs.items() if name.startswith(CLAIMANT)]
    if owner is None and claimants and all(is_here(c) and not lives(c["pid"], c["started"]) for c in claimants):
        return True  # killed between its claim and its name under it, or halfway through giving it back
    heard = trial.user_attrs.get(HEARTBEAT) or (trial.datetime_start.timestamp() if trial.datetime_start else 0.0)
    return time.time() - heard > GRACE_S


def claimant_attribute(process: dict[str, Any]) -> str:
    """The attribute of a trial that says that this process has tried to take it; each process has its own."""
    return f"{CLAIMANT}{process['host']}:{process['pid']}:{process['started']}"


def is_here(process: dict[str, Any]) -> bool:
    """Whether a process is of this host."""
    return bool(process["host"] == socket.gethostname())


def lives(pid: int, started: float) -> bool:
    """Whether a process of this host still runs; ``started`` tells it from a later one with the same id."""
    try:
        return abs(psutil.Process(pid).create_time() - started) < 1 and psutil.Process(pid).status() != "zombie"
    except psutil.NoSuchProcess:
        return False
