"""CPU time that other programs took, or that was stolen from the virtual machine, while something was measured."""

import math
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.measure.cores import usable_cores
from bench.measure.limits import CGROUPS, PROC, limits
from bench.measure.process_tree import tree_cpu_seconds

IDLE = {3, 4}
"""Columns of /proc/stat that count idle time: idle, and waiting for a disk."""
COUNTED = 8
"""Number of leading columns of /proc/stat that do not overlap: user, nice, system, idle, iowait, irq, softirq and
steal. The guest columns that follow are already part of user and nice (proc(5))."""


@dataclass(frozen=True)
class CpuMark:
    """CPU seconds used up to one moment."""

    at: float
    """The moment, by ``time.perf_counter``."""
    tree: float
    """CPU seconds of this process and all its descendants."""
    measuring: float
    """CPU seconds of the processes that measure."""
    machine: float
    """CPU seconds of all programs on the cores that this process may use, stolen time included; NaN if unknown."""


class CpuClock:
    """Measures what share of this process's cores other programs used between two moments."""

    def __init__(self, measuring: Iterable[int] = (), proc: Path = PROC, cgroups: Path = CGROUPS) -> None:
        """
        Args:
            measuring: Ids of processes that count neither as this process nor as others.
            proc, cgroups: Where Linux shows processes and control groups.

        Under a CPU quota below the number of usable cores the others' share is unknown: taking a core then takes
        nothing from this process.
        """
        self._proc = proc
        self.cores = usable_cores()
        self._others_known = limits(proc, cgroups).cores >= self.cores
        self._measuring = [psutil.Process(pid) for pid in measuring if psutil.pid_exists(pid)]

    def mark(self) -> CpuMark:
        """Return the CPU seconds used until now."""
        machine = machine_cpu_seconds(self._proc) if self._others_known else math.nan
        return CpuMark(time.perf_counter(), tree_cpu_seconds(os.getpid()), sum(map(_own, self._measuring)), machine)

    def others_share(self, begin: CpuMark, end: CpuMark) -> float:
        """Return the share of the cores' time that others took between two marks: 0 to about 1; NaN if unknown."""
        window = self.cores * (end.at - begin.at)
        others = (end.machine - begin.machine) - (end.tree - begin.tree) - (end.measuring - begin.measuring)
        return math.nan if window <= 0 or math.isnan(others) else max(0.0, others / window)


def machine_cpu_seconds(proc: Path = PROC) -> float:
    """Return the seconds that the usable cores were busy or stolen since boot, summed over cores; NaN if the system
    does not count them."""
    try:
        lines = (proc / "stat").read_text().splitlines()
    except OSError:
        return math.nan
    ours = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    busy = total = 0
    for line in lines:
        name, *columns = line.split()
        if name in ours:
            ticks = [int(each) for each in columns[:COUNTED]]
            total += sum(ticks)
            busy += sum(ticks) - sum(ticks[column] for column in IDLE)
    return busy / os.sysconf("SC_CLK_TCK") if total else math.nan


def _own(process: psutil.Process) -> float:
    """CPU seconds of the process alone, without its children; 0 if it has ended."""
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return times.user + times.system
