"""A simulated device that computes asynchronously, as a GPU does: a thread that sleeps."""

import threading
import time
from dataclasses import dataclass
from queue import Queue

from bench.measure.loader.device_step import Underway
from bench.measure.loader.loop import Step


class Device:
    """One that works alone, in order."""

    def __init__(self, step_s: float) -> None:
        self.step_s = step_s
        self._queue: Queue[Given | None] = Queue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while (given := self._queue.get()) is not None:
            given.began = time.perf_counter()
            time.sleep(self.step_s)
            given.ended = time.perf_counter()
            given.over.set()

    def step(self, _batch: object) -> "Given":
        given = Given()
        self._queue.put(given)
        return given

    def stop(self) -> None:
        self._queue.put(None)
        self._thread.join()


class Given(Underway):
    def __init__(self) -> None:
        self.began = self.ended = 0.0
        self.over = threading.Event()

    def times(self) -> tuple[float, float]:
        self.over.wait()
        return self.began, self.ended


@dataclass(frozen=True)
class DeviceStep:
    """Makes a step of a device."""

    seconds: float

    def __call__(self) -> Step:
        return Device(self.seconds).step
