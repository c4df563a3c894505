"""How much of the cores that this process may use others have taken meanwhile, or was stolen from the machine."""

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

IDLE = (3, 4)
"""Columns of /proc/stat that nobody used: idle, and waiting for a disk."""
COUNTED = 8
"""Columns in which each moment stands once: user, nice, system, idle, iowait, irq, softirq and steal; a guest's time is
in user and nice already (proc(5))."""


@dataclass(frozen=True)
class CpuMark:
    """A moment: seconds of CPU used so far."""

    at: float
    """By ``time.perf_counter``."""
    tree: float
    """By this process and all that it has started."""
    measuring: float
    """By the process that measures."""
    machine: float
    """By anybody, on the cores that this process may use, with what was stolen from these; NaN where not known."""


class CpuClock:
    """Marks moments of this process, for what it and others use between two of them."""

    def __init__(self, measuring: Iterable[int] = (), proc: Path = PROC, cgroups: Path = CGROUPS) -> None:
        """``measuring``: processes whose use is neither this one's nor others'. Under a CPU quota below the cores that
        may be used, others' share is not known: who takes a core then takes nothing from us."""
        self._proc = proc
        self.cores = usable_cores()
        self._told = limits(proc, cgroups).cores >= self.cores
        self._measuring = [psutil.Process(pid) for pid in measuring if psutil.pid_exists(pid)]

    def mark(self) -> CpuMark:
        """The moment now."""
        machine = machine_cpu_seconds(self._proc) if self._told else math.nan
        return CpuMark(time.perf_counter(), tree_cpu_seconds(os.getpid()), sum(map(_own, self._measuring)), machine)

    def others_share(self, begin: CpuMark, end: CpuMark) -> float:
        """Share of the cores' time between two moments that others took: 0 to about 1; NaN where not known."""
        window = self.cores * (end.at - begin.at)
        others = (end.machine - begin.machine) - (end.tree - begin.tree) - (end.measuring - begin.measuring)
        return math.nan if window <= 0 or math.isnan(others) else max(0.0, others / window)


def machine_cpu_seconds(proc: Path = PROC) -> float:
    """Seconds that the cores which this process may use were busy or stolen since the machine's start, summed; NaN
    where the system does not count them."""
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
    """Seconds of a process itself, as far as it is there."""
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return times.user + times.system
