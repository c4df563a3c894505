"""What of a GPU's memory is this process's."""

import math
import os
import time
from types import SimpleNamespace

import pytest
import torch

from bench.measure.gpu import INTERVAL_S, GpuSampler, Sample, own_bytes, summarized


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


def test_what_came_before_is_not_in_the_utilisation():
    # a sample looks back a second: the one at 11.5 still saw the time before 11
    samples = [Sample(10.0, 0.0, 7.0, 1.0), Sample(11.5, 40.0, 5.0, 3.0), Sample(12.0, 90.0, 6.0, 0.0)]
    assert summarized(samples, 11.0)["gpu_utilization_percent"] == 90.0
    assert summarized(samples)["gpu_utilization_percent"] == pytest.approx(130 / 3)
    assert math.isnan(summarized(samples, 11.5)["gpu_utilization_percent"])
    found = summarized(samples, 11.5)
    assert (found["gpu_memory_bytes"], found["gpu_others_bytes"]) == (7.0, 3.0)
    assert summarized([], 0.0) == {}


class Nvml:
    """NVML of one GPU, as far as it is asked here."""

    class NVMLError(Exception):
        pass

    class NVMLError_NotSupported(NVMLError):  # noqa: N801, N818
        pass

    class NVMLError_InvalidArgument(NVMLError):  # noqa: N801, N818
        pass

    used, own, busy = 100, 30, 40

    def nvmlDeviceGetMemoryInfo(self, _handle):  # noqa: N802
        if self.used is None:
            raise self.NVMLError
        return SimpleNamespace(used=self.used)

    def nvmlDeviceGetComputeRunningProcesses(self, _handle):  # noqa: N802
        return [holds(os.getpid(), self.own), holds(os.getpid() + 1, 7)]

    def nvmlDeviceGetUtilizationRates(self, _handle):  # noqa: N802
        if self.busy is None:
            raise self.NVMLError_InvalidArgument
        return SimpleNamespace(gpu=self.busy)


def test_a_sample_is_of_now_and_memory_that_is_not_this_process_s_is_others():
    sampler, nvml = GpuSampler("cpu"), Nvml()
    sampler._nvml = nvml
    sampler.sample_now()
    assert sampler.latest() == {"gpu_utilization_percent": 40.0, "gpu_memory_bytes": 30.0}
    nvml.own, nvml.busy = 120, None
    sampler.sample_now()
    assert sampler.latest() == {"gpu_memory_bytes": 120.0}, "an instance has no utilisation"
    found = sampler.summary()
    assert math.isnan(found["gpu_utilization_percent"])
    assert (found["gpu_memory_bytes"], found["gpu_others_bytes"]) == (120.0, 70.0)
    assert sampler._samples[1].others_bytes == 0.0, "the list is a little older"
    nvml.used = None
    for _ in range(2):
        sampler.sample_now()
    assert (len(sampler._samples), sampler._nvml) == (2, None), "what fails once is asked no more"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_says_what_this_process_holds():
    pytest.importorskip("pynvml", reason="the extra gpu is not installed")
    held = torch.ones(1 << 28, device="cuda")
    with GpuSampler("cuda") as gpu:
        time.sleep(3 * INTERVAL_S)
    assert gpu.summary()["gpu_memory_bytes"] >= held.nbytes
