"""Sampling what a process tree takes while it runs: memory over all its processes, and /dev/shm."""

import threading
import time
from types import TracebackType

from bench.measure.limits import shm_used_bytes
from bench.measure.process_tree import resident_bytes, tree_memory

PERIOD_S = 0.1
"""Between two looks at /dev/shm; one takes some microseconds."""
MEMORY_PERIOD_S = 0.5
MEMORY_SHARE = 0.01
"""Of one core's time that reading memory may take: a look at 300 MB takes 15 ms, and comes the more rarely."""
GROWN = 1.1
"""Resident memory (cheap to read) that has grown so many times since the last look is worth another one at once."""


class ResourceSampler:
    """Samples a process tree between ``with`` and its end, from another process: the measured loop shares no lock.

    It may be entered more than once, where the tree rests in between: peaks are those of all times together.
    """

    def __init__(self, pid: int, *, limit_bytes: int | None = None) -> None:
        """``pid``: the root of the tree. Near ``limit_bytes`` memory is looked at as often as the clock allows."""
        self.pid = pid
        self.limit_bytes = limit_bytes
        self.peak_bytes = 0
        self.memory_kind = ""
        self.shm_tree_peak_bytes = 0
        self.shm_peak_bytes = 0
        """By how much /dev/shm was fuller than before, at most; what others put there meanwhile is in it."""
        self.busy_s = 0.0
        """CPU seconds that the sampling itself took."""
        self.memory_samples = 0
        self._shm_before = shm_used_bytes()
        self._shm_held = 0
        """By how much it was so when the tree was left to rest."""
        self._next_memory = self._next_growth = time.perf_counter()
        self._resident = 0
        """At the last look."""
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "ResourceSampler":
        self._shm_before = shm_used_bytes() - self._shm_held  # others may have come and gone meanwhile
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, daemon=True, name="resource-sampler")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._shm_held = max(0, shm_used_bytes() - self._shm_before)

    def _run(self) -> None:
        while not self._stop.wait(PERIOD_S):
            self.look()

    def look(self) -> None:
        """Take one sample: of /dev/shm in any case, of memory where it is due or has grown."""
        now, began = time.perf_counter(), time.thread_time()
        self.shm_peak_bytes = max(self.shm_peak_bytes, shm_used_bytes() - self._shm_before)
        if now >= self._next_memory or (now >= self._next_growth and self._has_grown()):
            memory = tree_memory(self.pid)
            self.peak_bytes = max(self.peak_bytes, memory.bytes)
            self.shm_tree_peak_bytes = max(self.shm_tree_peak_bytes, memory.shm_bytes)
            self.memory_kind = memory.kind or self.memory_kind
            self.memory_samples += 1
            self._resident = resident_bytes(self.pid)
            cost = time.thread_time() - began
            self._next_memory = now + max(MEMORY_PERIOD_S, cost / MEMORY_SHARE)
            self._next_growth = now + MEMORY_PERIOD_S
        self.busy_s += time.thread_time() - began

    def _has_grown(self) -> bool:
        """Whether a look would show a new peak, or that the limit is passed: resident memory is never less than PSS."""
        resident = resident_bytes(self.pid)
        near = self.limit_bytes is not None and resident > self.limit_bytes
        return near or resident > GROWN * self._resident
