from dataclasses import asdict

import pytest
import torch

from posemodel.training import throughput
from posemodel.training.throughput import ThroughputMeter, Totals

CPU = torch.device("cpu")


class Clock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake = Clock()
    monkeypatch.setattr(throughput, "time", fake)
    return fake


def take_steps(meter: ThroughputMeter, clock: Clock, steps: int, *, wait: float = 1.0, work: float = 2.0) -> None:
    def batches():
        for number in range(steps):
            clock.now += wait
            yield number

    for _ in meter.waiting(batches()):
        clock.now += work
        with meter.optimizer_step():
            clock.now += 0.5
        meter.count(8)


def test_a_window_by_hand(clock: Clock) -> None:
    meter = ThroughputMeter(CPU)
    meter.start()
    take_steps(meter, clock, 4)
    window = meter.close_window()
    assert window == pytest.approx({"images_per_s": 32 / 14, "data_wait_share": 4 / 14, "optimizer_step_ms": 500})


def test_gradients_within_an_optimizer_s_step_are_not_its_time(clock: Clock) -> None:
    meter = ThroughputMeter(CPU)
    meter.start()
    with meter.optimizer_step():
        clock.now += 0.5
        for seconds in (3.0, 4.0):
            with meter.not_optimizer():
                clock.now += seconds
            clock.now += 0.25
    meter.count(2 * 8)
    window = meter.close_window()
    assert window == pytest.approx({"images_per_s": 16 / 8, "data_wait_share": 0, "optimizer_step_ms": 1000})


def test_the_first_window_warms_up_and_is_not_steady(clock: Clock) -> None:
    meter = ThroughputMeter(CPU)
    meter.start()
    take_steps(meter, clock, 1, work=100)
    meter.close_window()
    take_steps(meter, clock, 4)
    meter.close_window()
    assert meter.totals.steady_steps == 4
    assert meter.totals.steady_seconds == pytest.approx(14)
    assert meter.totals.train_seconds == pytest.approx(101.5 + 14)
    assert meter.totals.metrics() == pytest.approx(
        {"images_per_s": 32 / 14, "data_wait_share": 4 / 14, "optimizer_step_ms": 500}
    )


def test_time_between_pause_and_start_is_left_out(clock: Clock) -> None:
    meter = ThroughputMeter(CPU)
    meter.start()
    take_steps(meter, clock, 1)
    meter.pause()
    clock.now += 1000
    assert meter.close_window() == {}
    assert meter.pause() == {}
    meter.start()
    take_steps(meter, clock, 2)
    meter.pause()
    assert meter.totals.train_seconds == pytest.approx(3 * 3.5)
    assert meter.totals.steady_steps == 2


def test_the_pace_of_a_device_is_not_guessed_before_it_is_known(clock: Clock) -> None:
    meter = ThroughputMeter(torch.device("meta"))
    meter.start()
    meter.count(4)
    clock.now += 0.125
    assert meter.spent() == 0.125


def test_a_window_without_steps_is_none(clock: Clock) -> None:
    meter = ThroughputMeter(CPU)
    for _ in range(2):
        meter.start()
        clock.now += 5
        assert meter.close_window() == {}
        take_steps(meter, clock, 1)
        assert meter.close_window()["images_per_s"] == pytest.approx(8 / 8.5), "its time is the next one's"
        assert meter.pause() == {}
        meter.count(8)
        assert meter.close_window() == {}, "nothing is measured"
    assert meter.totals.train_seconds == pytest.approx(2 * 8.5)


def test_a_pause_in_the_middle_of_an_epoch_is_no_waiting_for_data(clock: Clock) -> None:
    """Evaluation happens while the loop holds a batch: the clock of waiting starts again after it."""
    meter = ThroughputMeter(CPU)
    meter.start()

    def batches():
        for number in range(3):
            clock.now += 1
            yield number

    for number in meter.waiting(batches()):
        clock.now += 2
        meter.count(4)
        if number == 1:
            meter.pause()
            clock.now += 500
            meter.start()
    window = meter.pause()
    assert window["data_wait_share"] == pytest.approx(1 / 3)
    assert meter.totals.train_seconds == pytest.approx(9)


def test_totals_continue_from_a_checkpoint(clock: Clock) -> None:
    meter = ThroughputMeter(CPU)
    meter.start()
    take_steps(meter, clock, 1)
    meter.close_window()
    take_steps(meter, clock, 2)
    meter.pause()
    again = ThroughputMeter(CPU, Totals(**asdict(meter.totals)))
    again.start()
    take_steps(again, clock, 1)
    again.pause()
    assert again.totals.train_seconds == pytest.approx(4 * 3.5)
    assert again.totals.steady_steps == 2, "the first window after a restart warms up too"


def test_no_step_gives_no_division_by_zero() -> None:
    assert Totals().metrics() == {"images_per_s": 0, "data_wait_share": 0, "optimizer_step_ms": 0}


def test_the_time_spent_is_known_within_a_window_and_between_two(clock: Clock) -> None:
    meter = ThroughputMeter(CPU)
    clock.now += 7
    assert meter.spent() == 0
    meter.start()
    clock.now += 3
    assert meter.spent() == 3
    take_steps(meter, clock, 1)
    meter.close_window()
    clock.now += 2
    assert meter.spent() == pytest.approx(3 + 3.5 + 2)
    meter.count(8)
    meter.pause()
    clock.now += 9
    assert meter.spent() == pytest.approx(3 + 3.5 + 2)


def test_steps_that_a_device_has_yet_to_do_count_as_long_as_those_before(clock: Clock) -> None:
    """On a device that works by itself, in the pace of the last steady window; on none before there is one."""
    meter = ThroughputMeter(torch.device("meta"))
    meter.start()
    take_steps(meter, clock, 2)
    meter.close_window()
    meter.count(8)
    assert meter.spent() == pytest.approx(7)
    take_steps(meter, clock, 3)
    meter.close_window()
    for _ in range(4):
        meter.count(8)
    pace = 3 * 3.5 / 4
    assert meter.spent() == pytest.approx(7 + 10.5 + 4 * pace)
    clock.now += 100
    assert meter.spent() == pytest.approx(7 + 10.5 + 100)


def test_more_than_all_time_is_not_waited_for() -> None:
    """Waiting is measured apart from the window: rounding may make it the longer."""
    totals = Totals(
        steady_seconds=2, steady_images=6, steady_wait_seconds=2.1, steady_optimizer_seconds=1, steady_steps=4
    )
    assert totals.metrics() == {"images_per_s": 3, "data_wait_share": 1, "optimizer_step_ms": 250}
