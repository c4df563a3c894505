"""What others take of the cores that we use: on made-up files of a kernel, and on this machine."""

import math
import os
import time

import pytest

from bench.measure.other_programs import CpuClock, CpuMark, machine_cpu_seconds

TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
linux = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity")


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """A machine of three cores, of which the first two may be used; what it has counted is written by ``stat``."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "cgroup").mkdir()

    def stat(*cores):
        lines = ["cpu  9 9 9 9 9 9 9 9 9 9"]
        lines += [f"cpu{number} " + " ".join(str(TICKS * each) for each in core) for number, core in enumerate(cores)]
        (tmp_path / "proc" / "stat").write_text("\n".join([*lines, "intr 12345 0", ""]))
        return tmp_path

    return stat


IDLE_CORE = (0, 0, 0, 70, 0, 0, 0, 0, 0, 0)


@linux
def test_busy_and_stolen_time_of_the_usable_cores_counts_and_idling_does_not(kernel):
    """User, nice, system, irq, softirq and steal: 1 + 2 + 4 + 32 + 64 + 128; a guest's time is in user already."""
    folder = kernel((1, 2, 4, 8, 16, 32, 64, 128, 1, 2), IDLE_CORE, (500,) * 10)
    assert machine_cpu_seconds(folder / "proc") == 1 + 2 + 4 + 32 + 64 + 128


@linux
def test_a_machine_that_does_not_count_is_not_known(kernel, tmp_path):
    assert math.isnan(machine_cpu_seconds(tmp_path / "nowhere"))
    assert math.isnan(machine_cpu_seconds(kernel((0,) * 10, (0,) * 10) / "proc"))


@linux
def test_what_tree_and_measuring_process_take_is_not_others(kernel):
    folder = kernel(IDLE_CORE, IDLE_CORE)
    clock = CpuClock([], folder / "proc", folder / "cgroup")
    begin = CpuMark(at=100.0, tree=5.0, measuring=1.0, machine=50.0)
    assert clock.cores == 2
    assert clock.others_share(begin, CpuMark(110.0, 15.0, 2.0, 65.0)) == pytest.approx((15 - 10 - 1) / 20)
    assert clock.others_share(begin, CpuMark(110.0, 15.0, 2.0, 60.0)) == 0.0, "ticks are coarse: never negative"
    assert math.isnan(clock.others_share(begin, begin))
    assert math.isnan(clock.others_share(begin, CpuMark(110.0, 15.0, 2.0, math.nan)))


@linux
@pytest.mark.parametrize(("quota", "known"), [("max 100000", True), ("200000 100000", True), ("150000 100000", False)])
def test_under_a_quota_below_the_cores_nobody_knows(kernel, quota, known):
    folder = kernel(IDLE_CORE, IDLE_CORE)
    (folder / "proc" / "self" / "cgroup").write_text("0::/ours\n")
    (folder / "cgroup" / "ours").mkdir()
    (folder / "cgroup" / "ours" / "cpu.max").write_text(quota)
    mark = CpuClock([], folder / "proc", folder / "cgroup").mark()
    assert math.isnan(mark.machine) is not known


def test_ones_own_time_is_marked():
    clock = CpuClock([os.getpid(), 1 << 30])
    begin = clock.mark()
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass
    end = clock.mark()
    assert end.tree - begin.tree >= 0.15
    assert end.measuring - begin.measuring >= 0.15
    assert end.at - begin.at >= 0.2
