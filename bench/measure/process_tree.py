"""Memory and CPU time of a process and all that it started, shared pages counted once."""

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import psutil

PROC = Path("/proc")


@dataclass(frozen=True)
class TreeMemory:
    """Bytes of a process tree at one moment."""

    bytes: int
    shm_bytes: int
    """Of them in shared memory (batches on their way), 0 where the kernel does not tell."""
    processes: int
    kind: str
    """`pss`: pages that several of its processes share counted once, those that others share too as its own (Linux);
    `uss`: shared pages left out (macOS, Windows);
    `rss`: shared pages counted in every process, too much (where nothing else can be read)."""


def tree(pid: int) -> list[psutil.Process]:
    """The process and all that descend from it and are alive; empty when it has gone."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def tree_memory(pid: int, proc: Path = PROC) -> TreeMemory:
    """Memory of the tree now; processes that end meanwhile count for nothing."""
    total = shm = count = 0
    kinds = set()
    processes = tree(pid)
    for process in processes:
        with contextlib.suppress(psutil.Error, OSError):
            kind, held, shared = _memory(process, proc)
            total, shm, count = total + held, shm + shared, count + 1
            kinds.add(kind)
    if "pss" in kinds:
        total += _parts_of_others(pid, count, proc)
    return TreeMemory(total, shm, count, "+".join(sorted(kinds)))


def tree_cpu_seconds(pid: int) -> float:
    """Seconds of CPU that the tree has used so far, ended and awaited children included: it never shrinks."""
    seconds = 0.0
    for process in tree(pid):
        with contextlib.suppress(psutil.Error, OSError):
            times = process.cpu_times()
            seconds += times.user + times.system + times.children_user + times.children_system
    return seconds


def kill_tree(pid: int) -> None:
    """End the process and all that descend from it at once."""
    for process in reversed(tree(pid)):
        with contextlib.suppress(psutil.Error, OSError):
            process.kill()


def kill_group(leader: int) -> None:
    """End what is left of the process group that a process once made (``os.setsid``); nothing where there is none."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)


def resident_bytes(pid: int) -> int:
    """Resident memory of the tree, shared pages counted in every process: at least its PSS, and read in no time."""
    total = 0
    for process in tree(pid):
        with contextlib.suppress(psutil.Error, OSError):
            total += process.memory_info().rss
    return total


def _parts_of_others(pid: int, count: int, proc: Path) -> int:
    """What PSS leaves to processes outside of a tree of so many, of the pages that its root shares with any: libraries,
    and what the server from which it was forked had made. Alone, the tree would hold all of it."""
    try:
        rollup = _fields(proc / str(pid) / "smaps_rollup")
        status = _fields(proc / str(pid) / "status")
    except OSError:
        return 0
    resident, part = status.get("RssAnon", 0) + status.get("RssFile", 0), rollup["Pss"] - rollup.get("Pss_Shmem", 0)
    own = rollup.get("Private_Clean", 0) + rollup.get("Private_Dirty", 0)
    return max(0, resident - own - count * max(0, part - own))


def _fields(path: Path) -> dict[str, int]:
    """Bytes that a file of the kernel's names in kB."""
    lines = [line.split() for line in path.read_text().splitlines()]
    return {line[0].removesuffix(":"): 1024 * int(line[1]) for line in lines if line[2:] == ["kB"]}


def _memory(process: psutil.Process, proc: Path) -> tuple[str, int, int]:
    """(kind, bytes, of them in shared memory) of one process."""
    rollup = proc / str(process.pid) / "smaps_rollup"
    if rollup.is_file():
        fields = _fields(rollup)
        return "pss", fields.get("Pss", 0), fields.get("Pss_Shmem", 0)
    try:
        return "uss", process.memory_full_info().uss, 0
    except (psutil.AccessDenied, AttributeError):
        return "rss", process.memory_info().rss, 0
