"""What may be used of a machine: by folders as Linux shows them, in both versions of control groups."""

import os

import psutil
import pytest

from bench.measure.limits import limits, oom_kills, shm_used_bytes


@pytest.fixture
def machine(tmp_path):
    """Write files as Linux shows them; call for (proc, cgroups)."""

    def make(cgroup, **files):
        (tmp_path / "proc" / "self").mkdir(parents=True)
        (tmp_path / "proc" / "self" / "cgroup").write_text(cgroup)
        for name, text in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return {"proc": tmp_path / "proc", "cgroups": tmp_path / "cgroup"}

    return make


def test_version_2_the_tightest_group_above_counts(machine):
    where = machine(
        "0::/outer/inner\n",
        **{
            "outer/inner/memory.max": "max",
            "outer/inner/cpu.max": "max 100000",
            "outer/inner/memory.events": "oom_kill 1\n",
            "outer/memory.max": "1000000",
            "outer/memory.current": "700000",
            "outer/memory.stat": "anon 1\ninactive_file 150000\nactive_file 50000\n",
            "outer/cpu.max": "150000 100000",
            "outer/memory.events": "low 0\noom 4\noom_kill 3\n",
        },
    )
    found = limits(**where)
    assert found.cores == pytest.approx(min(1.5, len(os.sched_getaffinity(0))))
    assert (found.memory_bytes, found.memory_free_bytes) == (1_000_000, 500_000)
    assert oom_kills(**where) == 3


def test_version_1_has_a_folder_for_each_controller(machine):
    where = machine(
        "4:memory:/job\n2:cpu,cpuacct:/job\n1:name=systemd:/\n",
        **{
            "memory/job/memory.limit_in_bytes": "2000000",
            "memory/job/memory.usage_in_bytes": "2500000",
            "memory/job/memory.stat": "inactive_file 9\ntotal_inactive_file 100000\ntotal_active_file 150000\n",
            "memory/memory.limit_in_bytes": "9223372036854771712",
            "memory/memory.usage_in_bytes": "1",
            "cpu,cpuacct/job/cpu.cfs_quota_us": "50000",
            "cpu,cpuacct/job/cpu.cfs_period_us": "100000",
            "memory/job/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
        },
    )
    found = limits(**where)
    assert found.cores == 0.5
    assert (found.memory_bytes, found.memory_free_bytes) == (2_000_000, 0)
    assert oom_kills(**where) == 1


def test_no_quota_is_no_limit(machine):
    where = machine("1:cpu:/\n", **{"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"})
    found = limits(**where)
    assert found.cores == len(os.sched_getaffinity(0))
    assert found.memory_bytes == psutil.virtual_memory().total
    assert oom_kills(**where) is None


def test_a_system_that_shows_nothing(tmp_path):
    found = limits(proc=tmp_path, cgroups=tmp_path, shared_memory=tmp_path / "none")
    assert found.memory_free_bytes > 0
    assert (found.shm_bytes, found.shm_free_bytes) == (None, None)
    assert shm_used_bytes(tmp_path / "none") == 0


def test_this_machine_has_what_it_uses():
    found = limits()
    assert 0 < found.memory_free_bytes <= found.memory_bytes <= psutil.virtual_memory().total
    assert found.shm_bytes is not None
    assert shm_used_bytes() <= found.shm_bytes
