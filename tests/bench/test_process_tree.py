"""Memory and CPU time of a process with its children, on real processes."""

import multiprocessing
import os
import time

import numpy as np
import torch

from bench.measure.process_tree import kill_tree, tree, tree_cpu_seconds, tree_memory
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
    """Three forked children read an array of 400 MB: resident in each, there once, beside pages of their own."""
    context = multiprocessing.get_context("fork")
    array = np.ones(4 * SIZE, dtype=np.uint8)
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
    """A forked child reads an array of 400 MB that its parent has made: alone, it would hold all of it."""
    context = multiprocessing.get_context("fork")
    array = np.ones(4 * SIZE, dtype=np.uint8)
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
