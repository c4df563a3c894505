"""Steps of a device that works on while its host loads, timed by the device's clock."""

import time

import numpy as np
import pytest
import torch

from bench.measure.loader.device_step import on_device
from bench.measure.loader.loop import run_loop
from bench.measure.loader.transfers import measure_transfers
from tests.support.device import Device


class Loading:
    """Batches that take the host's own time."""

    def __init__(self, batches: int, load_s: float) -> None:
        self.batches, self.load_s = batches, load_s

    def __iter__(self):
        for number in range(self.batches):
            time.sleep(self.load_s)
            yield number


def measured(load_s: float, step_s: float, *, batches: int = 31, epochs: int = 1, on_batch=lambda _: None):
    device = Device(step_s)
    try:
        return run_loop(Loading(batches, load_s), device.step, epochs=epochs, on_batch=on_batch)
    finally:
        device.stop()


def figures(timeline) -> dict[str, float]:
    """Of all batches but the first."""
    waits, computes = timeline.waits[1:], timeline.computes[1:]
    seconds = waits.sum() + computes.sum()
    return {
        "images_per_s": len(waits) / seconds,
        "au": computes.sum() / seconds,
        "data_wait_share": waits.sum() / seconds,
        "wait_p50_ms": 1000 * float(np.median(waits)),
    }


def best_of_five(load_s: float, step_s: float, *, enough: float) -> dict[str, float]:
    """The fastest of five loops; of fewer, once one makes ``enough`` images/s, which only a quiet machine does.

    Sleeps are never short: a busy machine makes a loop slower, and luck no loop faster than it can be.
    """
    fastest: dict[str, float] = {"images_per_s": 0.0}
    for _ in range(5):
        found = figures(measured(load_s, step_s, batches=21))
        fastest = max(fastest, found, key=lambda each: each["images_per_s"])
        if fastest["images_per_s"] >= enough:
            break
    return fastest


def test_loading_hides_behind_a_device_that_works_longer():
    found = best_of_five(0.04, 0.05, enough=18)
    assert found["images_per_s"] > 14  # hidden 20 at most, in turn 11 at most
    assert found["au"] > 0.75
    assert found["data_wait_share"] == pytest.approx(1 - found["au"])


def test_a_device_that_works_shorter_waits_for_what_is_missing():
    found = best_of_five(0.04, 0.01, enough=23)
    assert found["images_per_s"] > 20  # in turn 20 at most, and sleeps are never short
    assert found["data_wait_share"] == pytest.approx(3 / 4, abs=0.15)
    assert found["wait_p50_ms"] == pytest.approx(30, abs=15)


def test_every_batch_is_there_once_in_order_and_each_epoch_ends_with_the_device_awaited():
    heard: list[int] = []
    timeline = measured(0.001, 0.01, batches=4, epochs=3, on_batch=heard.append)
    assert timeline.epoch.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert heard == list(range(1, 13))
    for earlier, later in (
        (timeline.asked, timeline.delivered),
        (timeline.delivered, timeline.done),
        (timeline.done[:-1], timeline.asked[1:]),
    ):
        assert (earlier <= later).all()
    assert (timeline.computes >= 0.01).all()


def test_a_step_on_the_cpu_is_itself():
    def step(_batch):
        return None

    assert on_device(step, "cpu") is step


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_cuda_step_is_timed_without_waiting_for_it():
    matrix = torch.ones(4096, 4096, device="cuda")
    step = on_device(lambda _: [matrix @ matrix for _ in range(20)], "cuda")
    step(None).times()
    began = time.perf_counter()
    first, second = step(None), step(None)
    issued = time.perf_counter() - began
    (a, b), (c, d) = first.times(), second.times()
    assert began <= a + 1e-3
    assert a < b <= c + 1e-4 < d <= time.perf_counter() + 1e-3
    assert issued < d - a


def test_copies_to_a_gpu_are_measured_where_there_is_one():
    found = measure_transfers(lambda _: None, 1 << 20)
    if not torch.cuda.is_available():
        assert found is None
        return
    assert found.pinned_gb_per_s > 0
    assert found.pageable_gb_per_s > 0
    assert 0 <= found.hidden_share <= 1
