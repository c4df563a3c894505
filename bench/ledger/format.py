"""Attribute names of the ledger in Optuna's storage, and the check whether a trial's worker is still alive."""

import socket
import time
from collections.abc import Mapping
from typing import Any

import psutil

HEARTBEAT_S = 10
"""Seconds between two heartbeats of a worker."""
GRACE_S = 60
"""Seconds without a heartbeat after which a trial is given to another worker."""
SAME_START_S = 1.0
"""Seconds by which two readings of a process's start may differ."""

SPEC, TRIAL_ID, OWNER, HEARTBEAT, STATUS = "spec", "trial_id", "owner", "heartbeat", "status"
"""User attributes of a trial."""
DEATHS = "attempts"
"""Attribute of a trial: number of times that its worker's process died by itself. Earlier versions counted the claim of
a running trial too, hence the name."""
DRIVER, TOKEN = "driver", "claim"
"""Entries of a trial's owner, beside its host, process and start: the process that replaces it when it dies, if it has
one, and a random word that tells its claim from every other."""
AWAITING = "awaiting"
"""Attribute of a running trial whose record waits for MLflow's server: `{"since": seconds since the epoch}`."""
RUNNER = "runner"
"""Attribute of a running trial: host and process that train it, if these are not its owner's."""
RESULTS = "results"
"""Attribute of an ended trial: what displays show of it, see `bench.trials.progress.results_for_displays`. The records
are in MLflow; earlier versions wrote no such copy."""
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
"""Prefix of a trial's attributes by which earlier versions named the processes that tried to claim it, before the claim
and the owner were written in one transaction."""


def this_process() -> dict[str, Any]:
    """Return host, process id and start time of this process, as stored for the owner of a trial."""
    process = psutil.Process()
    return {"host": socket.gethostname(), "pid": process.pid, "started": process.create_time()}


def is_stale(attributes: Mapping[str, Any], started: float | None, *, judge_others: bool = True) -> bool:
    """Return True if a running trial's worker is dead, judged by its process on this host and by heartbeats on other
    hosts.

    A worker of this host whose driver lives is left to that driver, which counts the death (`Ledger.charge_death`);
    without a heartbeat for `GRACE_S` it is dead for everyone.

    Args:
        attributes: The trial's user attributes.
        started: Time of its claim, in seconds since the epoch.
        judge_others: False while workers of other hosts may live without having been able to send a heartbeat.
    """
    owner = attributes.get(OWNER)
    last_seen = attributes.get(HEARTBEAT) or started or 0.0
    silent = time.time() - last_seen > GRACE_S
    if owner is not None and is_here(owner):
        return not lives(owner["pid"], owner["started"]) and (silent or not _has_other_driver(owner))
    claimants = [value for name, value in attributes.items() if name.startswith(CLAIMANT)]
    if owner is None and claimants and all(is_here(c) and not lives(c["pid"], c["started"]) for c in claimants):
        return True  # killed by an earlier version between its claim and writing the owner
    return silent and judge_others


def is_same_process(one: Mapping[str, Any] | None, other: Mapping[str, Any]) -> bool:
    """Return True if both are the same process of the same host; None is no process."""
    return (
        one is not None
        and (one["host"], one["pid"]) == (other["host"], other["pid"])
        and abs(one["started"] - other["started"]) < SAME_START_S
    )


def is_here(process: Mapping[str, Any]) -> bool:
    """Return True if a process runs on this host."""
    return bool(process["host"] == socket.gethostname())


def lives(pid: int, started: float) -> bool:
    """Return True if a process of this host still runs.

    ``started``: its start time, which distinguishes it from a later process with the same id.
    """
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < SAME_START_S and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _has_other_driver(owner: Mapping[str, Any]) -> bool:
    """Return True if a living process other than this one replaces the owner."""
    driver = owner.get(DRIVER)
    if driver is None or is_same_process({"host": owner["host"], **driver}, this_process()):
        return False
    return lives(driver["pid"], driver["started"])
