"""Memory and CPU time of a process and all its descendants, shared pages counted once."""

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import psutil

PROC = Path("/proc")


@dataclass(frozen=True)
class TreeMemory:
    """Memory of a process tree at one moment."""

    bytes: int
    """Memory of all processes, as counted by ``kind``."""
    shm_bytes: int
    """The part in shared memory (batches in transit); 0 if the kernel does not tell."""
    processes: int
    """Number of processes that were counted."""
    kind: str
    """The way in which memory was counted.

    `pss`: pages shared within the tree count once, pages shared with other programs count too (Linux);
    `uss`: shared pages left out (macOS, Windows);
    `rss`: shared pages counted in every process, which is too much (where nothing else can be read).
    """


def tree(pid: int) -> list[psutil.Process]:
    """Return the process and all its living descendants; empty if it has ended."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def tree_memory(pid: int, proc: Path = PROC) -> TreeMemory:
    """Return the tree's memory now; processes that end while it is read count as 0."""
    total = shm = count = 0
    kinds = set()
    processes = tree(pid)
    for process in processes:
        with contextlib.suppress(psutil.Error, OSError):
            kind, used, shared = _memory(process, proc)
            total, shm, count = total + used, shm + shared, count + 1
            kinds.add(kind)
    if "pss" in kinds:
        total += _parts_of_others(pid, count, proc)
    return TreeMemory(total, shm, count, "+".join(sorted(kinds)))


def tree_cpu_seconds(pid: int) -> float:
    """Return the CPU seconds that the tree has used so far, ended and awaited children included, so that it never
    shrinks."""
    seconds = 0.0
    for process in tree(pid):
        with contextlib.suppress(psutil.Error, OSError):
            times = process.cpu_times()
            seconds += times.user + times.system + times.children_user + times.children_system
    return seconds


def kill_tree(pid: int) -> None:
    """Kill the process and all its descendants at once."""
    for process in reversed(tree(pid)):
        with contextlib.suppress(psutil.Error, OSError):
            process.kill()


def kill_group(leader: int) -> None:
    """Kill the rest of the process group that ``leader`` made (``os.setsid``), if there is any."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)


def resident_bytes(pid: int) -> int:
    """Return the tree's resident memory, shared pages counted in every process: at least its PSS, and quick to read."""
    total = 0
    for process in tree(pid):
        with contextlib.suppress(psutil.Error, OSError):
            total += process.memory_info().rss
    return total


def _parts_of_others(pid: int, count: int, proc: Path) -> int:
    """Return the bytes of the root's shared pages (libraries, the fork server's objects) that PSS attributes to
    processes outside the tree of ``count`` processes, although the tree would need all of them if it ran alone."""
    try:
        rollup = _fields(proc / str(pid) / "smaps_rollup")
        status = _fields(proc / str(pid) / "status")
    except OSError:
        return 0
    # The files are of two moments: what the process allocates or frees in between counts in one of these sums alone.
    resident = min(
        rollup.get("Rss", 0) - status.get("RssShmem", 0), status.get("RssAnon", 0) + status.get("RssFile", 0)
    )
    pss = rollup["Pss"] - rollup.get("Pss_Shmem", 0)
    own = rollup.get("Private_Clean", 0) + rollup.get("Private_Dirty", 0)
    return max(0, resident - own - count * max(0, pss - own))


def _fields(path: Path) -> dict[str, int]:
    """Return the values, in bytes, of a kernel file that lists them in kB."""
    lines = [line.split() for line in path.read_text().splitlines()]
    return {line[0].removesuffix(":"): 1024 * int(line[1]) for line in lines if line[2:] == ["kB"]}


def _memory(process: psutil.Process, proc: Path) -> tuple[str, int, int]:
    """Return (kind, bytes, bytes in shared memory) of one process."""
    rollup = proc / str(process.pid) / "smaps_rollup"
    if rollup.is_file():
        fields = _fields(rollup)
        return "pss", fields.get("Pss", 0), fields.get("Pss_Shmem", 0)
    try:
        return "uss", process.memory_full_info().uss, 0
    except (psutil.AccessDenied, AttributeError):
        return "rss", process.memory_info().rss, 0
