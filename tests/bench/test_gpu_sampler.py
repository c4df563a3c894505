"""What of a GPU's memory is this process's."""

import time
from types import SimpleNamespace

import pytest
import torch

from bench.measure.gpu import INTERVAL_S, GpuSampler, own_bytes


def holds(pid, memory):
    return SimpleNamespace(pid=pid, usedGpuMemory=memory)


def test_only_the_own_process_counts():
    assert own_bytes([holds(1, 100), holds(2, 30), holds(2, 4)], 2) == 34


@pytest.mark.parametrize("processes", [[], [holds(1, 100)], [holds(2, None)]])
def test_what_nvml_does_not_say_is_unknown(processes):
    assert own_bytes(processes, 2) is None


def test_without_a_gpu_nothing_is_sampled():
    with GpuSampler("cpu") as gpu:
        pass
    assert gpu.summary() == gpu.latest() == {}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_says_what_this_process_holds():
    pytest.importorskip("pynvml", reason="the extra gpu is not installed")
    held = torch.ones(1 << 28, device="cuda")
    with GpuSampler("cuda") as gpu:
        time.sleep(3 * INTERVAL_S)
    assert gpu.summary()["gpu_memory_bytes"] >= held.nbytes
