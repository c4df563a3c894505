"""Memory and CPU time of a process with its children, on real processes."""

import multiprocessing
import os
import time
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch

from bench.measure import resources
from bench.measure.process_tree import TreeMemory, kill_tree, tree, tree_cpu_seconds, tree_memory
from bench.measure.resources import ResourceSampler

SIZE = 100_000_000


def _touch(shared, ready, leave):
    shared.sum()
    ready.set()
    leave.wait()


def _burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def _with_grandchild(ready):
    multiprocessing.get_context("fork").Process(target=time.sleep, args=(3600,)).start()
    ready.set()
    time.sleep(3600)


def test_pages_shared_with_children_count_once():
    """Three forked children read an array of 200 MB: resident in each, there once, beside pages of their own."""
    context = multiprocessing.get_context("fork")
    array = np.ones(2 * SIZE, dtype=np.uint8)
    before = tree_memory(os.getpid())
    leave, readies = context.Event(), [context.Event() for _ in range(3)]
    children = [context.Process(target=_touch, args=(array, ready, leave)) for ready in readies]
    for child in children:
        child.start()
    assert all(ready.wait(30) for ready in readies)
    found = tree_memory(os.getpid())
    leave.set()
    for child in children:
        child.join()
    assert found.kind == "pss"
    assert found.processes == before.processes + 3
    assert found.bytes - before.bytes < 0.6 * len(array)


def test_pages_shared_with_others_count_as_its_own():
    """A forked child reads an array of 200 MB that its parent has made: alone, it would hold all of it."""
    context = multiprocessing.get_context("fork")
    array = np.ones(2 * SIZE, dtype=np.uint8)
    ready, leave = context.Event(), context.Event()
    child = context.Process(target=_touch, args=(array, ready, leave))
    child.start()
    assert ready.wait(300)
    found = tree_memory(child.pid)
    leave.set()
    child.join()
    assert found.bytes > 0.95 * len(array)


def test_shared_memory_is_told_apart(shared_memory_alone):
    shared = torch.ones(SIZE, dtype=torch.uint8).share_memory_()
    assert tree_memory(os.getpid()).shm_bytes >= 0.99 * len(shared)


def test_a_kernel_without_pss_gives_uss_and_says_so(tmp_path):
    found = tree_memory(os.getpid(), proc=tmp_path)
    assert found.kind == "uss"
    assert found.bytes > 0


@pytest.mark.parametrize("error", [psutil.AccessDenied(), AttributeError("memory_full_info")])
def test_where_that_is_denied_resident_pages_are_counted_and_said_to_be(tmp_path, monkeypatch, error):
    def refuse(_process):
        raise error

    monkeypatch.setattr(psutil.Process, "memory_full_info", refuse)
    found = tree_memory(os.getpid(), proc=tmp_path)
    assert (found.kind, found.shm_bytes) == ("rss", 0)
    assert found.processes >= 1
    assert found.bytes > 0


def test_a_process_that_has_gone_takes_nothing():
    child = multiprocessing.get_context("fork").Process(target=int)
    child.start()
    child.join()
    assert tree(child.pid) == []
    assert tree_memory(child.pid).bytes == 0
    assert tree_cpu_seconds(child.pid) == 0


def test_cpu_time_of_a_child_counts_while_it_lives_and_afterwards():
    before = tree_cpu_seconds(os.getpid())
    child = multiprocessing.get_context("fork").Process(target=_burn, args=(0.3,))
    child.start()
    child.join()
    assert tree_cpu_seconds(os.getpid()) - before >= 0.25


def test_a_tree_is_killed_to_its_leaves():
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    child = context.Process(target=_with_grandchild, args=(ready,))
    child.start()
    assert ready.wait(30)
    members = tree(child.pid)
    assert len(members) == 2
    kill_tree(child.pid)
    child.join()
    for member in members:
        member.wait(60)


def test_a_sampler_sees_the_peak_and_costs_little(shared_memory_alone):
    deadline = time.monotonic() + 60
    with ResourceSampler(os.getpid()) as sampler:
        held = torch.ones(SIZE, dtype=torch.uint8).share_memory_()
        while not (sampler.memory_samples and sampler.shm_peak_bytes > 0.7 * SIZE) and time.monotonic() < deadline:
            time.sleep(0.05)
        del held
        time.sleep(0.3)
    assert sampler.memory_samples >= 1
    assert sampler.peak_bytes > SIZE
    assert 0.7 * SIZE < sampler.shm_peak_bytes < 1.9 * SIZE
    assert sampler.memory_kind == "pss"


@pytest.mark.parametrize(
    ("pss", "shared", "private", "others"),
    [
        (1000, 200, 400, 1200),  # of 1600 kB that it shares, 400 are counted for it
        (2100, 100, 400, 0),
        (500, 200, 400, 1600),
    ],
)
@pytest.mark.parametrize("since", [0, 700, -300], ids=["steady", "allocated since", "freed since"])
def test_what_the_kernel_says_of_a_process_alone(tmp_path, pss, shared, private, others, since):
    """2000 kB are resident, 400 of them its own: what others are counted for, it would hold too if it ran alone.

    The second file is read later: what the process has allocated ``since``, in kB, counts at the next look.
    """
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(3600,))
    child.start()
    folder = tmp_path / str(child.pid)
    folder.mkdir()
    (folder / "smaps_rollup").write_text(
        f"5600-7ffd ---p 00000000 00:00 0 [rollup]\nRss: 2009 kB\nPss: {pss} kB\nPss_Shmem: {shared} kB\n"
        f"Private_Clean: 100 kB\nPrivate_Dirty: {private - 100} kB\n"
    )
    anonymous = f"RssAnon: {500 + since} kB"
    (folder / "status").write_text(f"Name: x\nThreads: 1\n{anonymous}\nRssFile: 1500 kB\nRssShmem: 9 kB\n")
    found = tree_memory(child.pid, proc=tmp_path)
    child.kill()
    child.join()
    others = max(0, others + min(0, since))
    assert found == TreeMemory(1024 * (pss + others), 1024 * shared, 1, "pss")


def test_the_growth_of_shared_memory_is_that_of_the_measured_blocks(monkeypatch):
    """Before the first block 100 bytes are in use, and other programs take 500 between the blocks."""
    used = [100]
    monkeypatch.setattr(resources, "shm_used_bytes", lambda: used[0])
    sampler = ResourceSampler(os.getpid())
    with sampler:
        for used[0], peak in ((150, 50), (120, 50), (140, 50)):
            sampler.sample_now()
            assert sampler.shm_peak_bytes == peak
    used[0] += 500
    with sampler:
        for used[0], peak in ((645, 50), (655, 55)):
            sampler.sample_now()
            assert sampler.shm_peak_bytes == peak
        used[0] = 590
    with sampler:
        used[0] = 640
        sampler.sample_now()
    assert sampler.shm_peak_bytes == 55, "what was below its begin counts as no growth"


def test_memory_is_sampled_when_it_is_due_or_has_grown(monkeypatch):
    """A sample takes 20 ms: the next is due after 2 s, and after 0.5 s where memory has grown by more than a tenth."""
    now, busy, resident = [100.0], [7.0], [1000]
    clock = SimpleNamespace(perf_counter=lambda: now[0], thread_time=lambda: busy[0])
    monkeypatch.setattr(resources, "time", clock)
    monkeypatch.setattr(resources, "resident_bytes", lambda _pid: resident[0])

    def measured(_pid):
        busy[0] += 0.02
        return TreeMemory(resident[0] - 100, 30, 1, "pss")

    monkeypatch.setattr(resources, "tree_memory", measured)
    sampler = ResourceSampler(os.getpid(), limit_bytes=1500)

    def taken(at, bytes_now):
        before, now[0], resident[0] = sampler.memory_samples, 100.0 + at, bytes_now
        sampler.sample_now()
        return sampler.memory_samples - before

    assert taken(0.0, 1000) == 1
    assert taken(0.4, 1400) == 0, "soon after another it is not even looked at"
    assert taken(0.5, 1100) == 0, "grown by a tenth"
    assert taken(0.5, 1101) == 1
    assert taken(1.1, 1200) == 0
    assert taken(2.5, 1200) == 1, "due"
    assert taken(3.0, 1320) == 0
    assert (sampler.peak_bytes, sampler.shm_tree_peak_bytes, sampler.memory_kind) == (1100, 30, "pss")
    assert taken(3.0, 1600) == 1
    assert taken(3.5, 1500) == 0
    assert taken(3.5, 1501) == 1, "above the limit it is looked at, however it has grown"
    assert sampler.peak_bytes == 1500
    assert sampler.busy_s == pytest.approx(5 * 0.02)
