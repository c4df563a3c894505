"""Attribute names of the ledger in Optuna's storage, and the check whether a trial's worker is still alive."""

import socket
import time
from typing import Any

import psutil
from optuna.trial import FrozenTrial

HEARTBEAT_S = 10
"""Seconds between two heartbeats of a worker."""
GRACE_S = 60
"""Seconds without a heartbeat after which a trial is given to another worker."""

SPEC, TRIAL_ID, OWNER, HEARTBEAT, ATTEMPTS, STATUS = "spec", "trial_id", "owner", "heartbeat", "attempts", "status"
"""User attributes of a trial."""
RUNGS = "rungs"
"""Attribute of a trial: the state of Optuna's pruner for it."""
DUPLICATE = "duplicate"
"""Status of the later copy of a trial that two processes enqueued at once; it never runs and is not counted."""
STUDY = "posebench:identity"
"""Attribute of a study: its identity. Studies without it were not created by posebench."""
EARLIER = "posebench:earlier"
"""Attribute of a study: list of its identities before each extension."""
SESSION = "posebench:session:"
"""Prefix of a study's attributes that name the processes working on it."""
CLAIMANT = "claimant:"
"""Prefix of a trial's attributes that name the processes that tried to claim it; written before the claim, unlike
the owner."""


def this_process() -> dict[str, Any]:
    """Return host, process id and start time of this process, as stored for the owner of a trial."""
    process = psutil.Process()
    return {"host": socket.gethostname(), "pid": process.pid, "started": process.create_time()}


def is_stale(trial: FrozenTrial) -> bool:
    """Return True if a running trial's worker is dead, judged by its process on this host and by heartbeats on other
    hosts."""
    owner = trial.user_attrs.get(OWNER)
    if owner is not None and is_here(owner):
        return not lives(owner["pid"], owner["started"])
    claimants = [value for name, value in trial.user_attrs.items() if name.startswith(CLAIMANT)]
    if owner is None and claimants and all(is_here(c) and not lives(c["pid"], c["started"]) for c in claimants):
        return True  # killed between its claim and writing the owner, or while giving the trial back
    last_seen = trial.user_attrs.get(HEARTBEAT) or (trial.datetime_start.timestamp() if trial.datetime_start else 0.0)
    return time.time() - last_seen > GRACE_S


def claimant_attribute(process: dict[str, Any]) -> str:
    """Return the name of the trial attribute that records a claim attempt of a process; unique per process."""
    return f"{CLAIMANT}{process['host']}:{process['pid']}:{process['started']}"


def is_here(process: dict[str, Any]) -> bool:
    """Return True if a process runs on this host."""
    return bool(process["host"] == socket.gethostname())


def lives(pid: int, started: float) -> bool:
    """Return True if a process of this host still runs.

    ``started``: its start time, which distinguishes it from a later process with the same id.
    """
    try:
        return abs(psutil.Process(pid).create_time() - started) < 1 and psutil.Process(pid).status() != "zombie"
    except psutil.NoSuchProcess:
        return False
