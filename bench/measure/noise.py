"""How quiet the machine is: a fixed piece of work on the CPU, repeated; what its times spread by is nobody's merit."""

import hashlib
import time
from dataclasses import dataclass

import numpy as np

KERNEL_BYTES = 1 << 20
KERNEL_ROUNDS = 8
"""Of hashing KERNEL_BYTES: some 10 ms on a core of today, long enough to be interrupted as a batch is."""
SECONDS = 1.0
NOISY = 0.1
"""A spread above this: differences of a tenth may be the machine's. A quiet one has 0.01 to 0.03."""
MIN_REPEATS = 20


@dataclass(frozen=True)
class Noise:
    """What the repeats of the fixed work took."""

    median_ms: float
    spread: float
    """From the 10th to the 90th percentile, relative to the median: single outliers do not count, bad minutes do."""
    repeats: int

    @property
    def noisy(self) -> bool:
        """Whether small differences are out of reach here."""
        return self.spread > NOISY


def measure_noise(seconds: float = SECONDS) -> Noise:
    """Repeat the fixed work for about so many seconds (at least MIN_REPEATS times), in this process and one thread."""
    data = bytes(KERNEL_BYTES)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < MIN_REPEATS or time.perf_counter() < end:
        began = time.perf_counter()
        for _ in range(KERNEL_ROUNDS):
            hashlib.blake2b(data).digest()
        times.append(time.perf_counter() - began)
    return noise_of(times)


def noise_of(times: list[float]) -> Noise:
    """The spread of repeats' times in seconds."""
    low, middle, high = np.percentile(times, [10, 50, 90])
    return Noise(median_ms=1000 * float(middle), spread=float((high - low) / middle), repeats=len(times))
