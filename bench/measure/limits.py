"""Cores, memory and /dev/shm that this process may use, by affinity, quota and cgroup rather than the host's totals."""

import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.measure.cores import usable_cores

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
SHARED_MEMORY = Path("/dev/shm")
UNLIMITED_BYTES = 1 << 60
"""A limit at or above this value means "no limit": cgroup v1 writes a number near 2**63."""


@dataclass(frozen=True)
class Limits:
    """Cores and memory that this process can count on now."""

    cores: float
    """Cores by affinity and CPU quota; may be fractional, such as 1.5."""
    memory_bytes: int
    """Maximum memory in bytes of this process's group: the machine's memory, or the cgroup's limit if that is lower."""
    memory_free_bytes: int
    """The part of ``memory_bytes`` that is still free."""
    shm_bytes: int | None
    """Size of /dev/shm; None on systems without it (on macOS and Windows shared memory is no file system)."""
    shm_free_bytes: int | None
    """Free bytes of /dev/shm; None on systems without it."""


def limits(proc: Path = PROC, cgroups: Path = CGROUPS, shared_memory: Path = SHARED_MEMORY) -> Limits:
    """Read the limits of this process as they are now.

    Args:
        proc, cgroups, shared_memory: Where Linux shows processes, control groups and shared memory.
    """
    memory = psutil.virtual_memory()
    total, free = memory.total, memory.available
    for limit, used in _memory_groups(proc, cgroups):
        total, free = min(total, limit), min(free, max(0, limit - used))
    shm = shutil.disk_usage(shared_memory) if shared_memory.is_dir() else None
    return Limits(
        cores=min(float(usable_cores()), _cpu_quota(proc, cgroups)),
        memory_bytes=total,
        memory_free_bytes=free,
        shm_bytes=None if shm is None else shm.total,
        shm_free_bytes=None if shm is None else shm.free,
    )


def shm_used_bytes(shared_memory: Path = SHARED_MEMORY) -> int:
    """Return the bytes in use in /dev/shm, by any program; 0 on systems without it."""
    if not shared_memory.is_dir():
        return 0
    status = os.statvfs(shared_memory)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def oom_kills(proc: Path = PROC, cgroups: Path = CGROUPS) -> int | None:
    """Return how many processes of this control group the kernel has killed for lack of memory so far; None if it does
    not count."""
    counts = []
    for folder in _folders(proc, cgroups, "memory"):
        for name in ("memory.events", "memory.oom_control"):
            for line in _text(folder / name).splitlines():
                if line.startswith("oom_kill "):
                    counts.append(int(line.split()[1]))
    return max(counts) if counts else None


def _memory_groups(proc: Path, cgroups: Path) -> list[tuple[int, int]]:
    """Return (limit, used bytes that cannot be reclaimed) of this process's cgroup and each of its ancestors with a
    memory limit."""
    groups = []
    for folder in _folders(proc, cgroups, "memory"):
        for limit_name, used_name in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            limit, used = _text(folder / limit_name), _text(folder / used_name)
            if limit.isdigit() and used.isdigit() and int(limit) < UNLIMITED_BYTES:
                groups.append((int(limit), max(0, int(used) - _page_cache_bytes(folder))))
    return groups


def _page_cache_bytes(folder: Path) -> int:
    """Return the bytes of the group's page cache, which the kernel drops before memory runs out."""
    sizes = {}
    for line in _text(folder / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name.removeprefix("total_") in ("inactive_file", "active_file") and value.isdigit():
            sizes[name] = int(value)
    totals = [value for name, value in sizes.items() if name.startswith("total_")]  # version 1, groups below included
    return sum(totals) if totals else sum(sizes.values())


def _cpu_quota(proc: Path, cgroups: Path) -> float:
    """Return the CPU quota of this process's cgroup and its ancestors, in cores; infinite without a quota."""
    quotas = [math.inf]
    for folder in _folders(proc, cgroups, "cpu"):
        new = _text(folder / "cpu.max").split()
        old = [_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")]
        for quota in (new, old):
            if len(quota) == 2 and quota[0].isdigit() and quota[1].isdigit():
                quotas.append(int(quota[0]) / int(quota[1]))
    return min(quotas)


def _folders(proc: Path, cgroups: Path, controller: str) -> list[Path]:
    """Return the folders of the control groups that this process is in, up to the root, of cgroup versions 2 and 1."""
    folders = []
    for line in _text(proc / "self" / "cgroup").splitlines():
        _, names, path = line.split(":", 2)
        if names and controller not in names.split(","):
            continue
        bases = [cgroups / names, cgroups / controller] if names else [cgroups, cgroups / "unified"]
        for base in bases:
            group = base / path.lstrip("/")
            folders += [group, *(parent for parent in group.parents if parent.is_relative_to(base))]
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
