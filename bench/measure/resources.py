"""Peak memory and /dev/shm use of a process tree, sampled while it runs."""

import threading
import time
from types import TracebackType

from bench.measure.limits import shm_used_bytes
from bench.measure.process_tree import resident_bytes, tree_memory

PERIOD_S = 0.1
"""Seconds between two samples of /dev/shm; one takes a few microseconds."""
MEMORY_PERIOD_S = 0.5
"""Minimum seconds between two samples of memory."""
MEMORY_SHARE = 0.01
"""Share of one core's time that sampling memory may take. A sample of a 300 MB tree takes 15 ms; larger trees are
sampled less often."""
GROWN = 1.1
"""If resident memory (cheap to read) has grown by this factor since the last sample, another one is taken at once."""


class ResourceSampler:
    """Samples a process tree inside a ``with`` block, from another process: the measured loop shares no lock with it.

    It may be entered again after the tree has rested; the peaks are those of all entries together.
    """

    def __init__(self, pid: int, *, limit_bytes: int | None = None) -> None:
        """
        Args:
            pid: Root of the process tree.
            limit_bytes: Resident memory in bytes above which memory is sampled every MEMORY_PERIOD_S.
        """
        self.pid = pid
        self.limit_bytes = limit_bytes
        self.peak_bytes = 0
        self.memory_kind = ""
        self.shm_tree_peak_bytes = 0
        self.shm_peak_bytes = 0
        """Largest growth of /dev/shm since before the first entry; includes what other programs put there during the
        measurement."""
        self.busy_s = 0.0
        """CPU seconds that the sampling itself took."""
        self.memory_samples = 0
        self._shm_before = shm_used_bytes()
        self._shm_grown = 0
        """Growth of /dev/shm in bytes when the sampler's block last ended."""
        self._next_memory = self._next_growth = time.perf_counter()
        self._resident = 0
        """Resident bytes at the last memory sample."""
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "ResourceSampler":
        self._shm_before = shm_used_bytes() - self._shm_grown  # other programs' use may have changed meanwhile
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
        self._shm_grown = max(0, shm_used_bytes() - self._shm_before)

    def _run(self) -> None:
        while not self._stop.wait(PERIOD_S):
            self.sample_now()

    def sample_now(self) -> None:
        """Take one sample: always of /dev/shm, of memory if it is due or has grown."""
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
        """Return whether a sample might show a new peak or a passed limit: resident memory is never less than PSS."""
        resident = resident_bytes(self.pid)
        near = self.limit_bytes is not None and resident > self.limit_bytes
        return near or resident > GROWN * self._resident
