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
    """`pss`: shared pages counted in parts, the sum is true (Linux); `uss`: shared pages left out (macOS, Windows);
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
    for process in tree(pid):
        with contextlib.suppress(psutil.Error, OSError):
            kind, held, shared = _memory(process, proc)
            total, shm, count = total + held, shm + shared, count + 1
            kinds.add(kind)
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


def _memory(process: psutil.Process, proc: Path) -> tuple[str, int, int]:
    """(kind, bytes, of them in shared memory) of one process."""
    rollup = proc / str(process.pid) / "smaps_rollup"
    if rollup.is_file():
        fields = dict(line.split(":", 1) for line in rollup.read_text().splitlines()[1:])
        held, shared = (1024 * int(fields.get(name, "0 kB").split()[0]) for name in ("Pss", "Pss_Shmem"))
        return "pss", held, shared
    try:
        return "uss", process.memory_full_info().uss, 0
    except (psutil.AccessDenied, AttributeError):
        return "rss", process.memory_info().rss, 0
