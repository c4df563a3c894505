"""Configurations that live side by side, each in a process of its own, and take turns: slices of one are measured while
the others rest.
"""

import os
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from bench.measure.loader.configuration import LoaderConfiguration
from bench.measure.loader.isolated import STALL_S, Isolated
from bench.measure.loader.life import Plan, live
from bench.measure.loader.measurement import Arm, Fault, Slice, Started
from bench.measure.loader.outcome import MeasurementStatus
from bench.measure.loader.workload import Workload

__all__ = ["Fault", "Living", "Slice", "Started"]


class Living:
    """One configuration's process, as its parent sees it: started once, measured whenever it is its turn.

    Whatever goes wrong in it is raised as Fault, again at each later question; the process, and all that it started,
    has then been ended. That is also done where the caller is interrupted while it waits, and where it dies.
    """

    def __init__(
        self,
        workload: Workload,
        configuration: LoaderConfiguration,
        *,
        hashed_batches: int = 0,
        reference: Sequence[int] = (),
        compare_s: float = 0.0,
        stall_s: float = STALL_S,
        memory_limit_bytes: int | None = None,
    ) -> None:
        """Starts nothing yet.

        Args:
            workload: What is loaded and done; pickled.
            configuration: How it is loaded.
            hashed_batches: So many of the first batches are hashed.
            reference: Hashes of what one process makes of the samples (`comparison`), which workers then make once
                more, before all else; none where nothing is compared.
            compare_s: For about so many seconds at most.
            stall_s: Without a batch for so long, it hangs (``timed_out``).
            memory_limit_bytes: What it and its workers may hold together (``out_of_memory``).
        """
        self.configuration = configuration
        self._workload, self._stall_s, self._limit_bytes = workload, stall_s, memory_limit_bytes
        self._hashed_batches, self._reference, self._compare_s = hashed_batches, tuple(reference), compare_s
        self._process: Isolated | None = None
        self._started: Started | None = None
        self._fault: Fault | None = None
        self._gpu: Mapping[str, float] = {}

    @property
    def pid(self) -> int:
        """Of the process; to be asked once it is started."""
        assert self._process is not None, "not started"
        return self._process.pid

    def start(self) -> None:
        """Begin to start it, without waiting: several may do so at the same time."""
        plan = Plan(self._hashed_batches, self._reference, self._compare_s, os.getpid(), time.monotonic())
        self._process = Isolated(live, self._workload, self.configuration, plan, memory_limit_bytes=self._limit_bytes)
        self._process.sampler.__enter__()

    def started(self) -> Started:
        """Wait until it takes orders; how it started."""
        if self._started is None:
            try:
                self._started = self._answer()
            finally:
                if self._process is not None:
                    self._process.sampler.__exit__(None, None, None)
        return self._started

    def slice(self, arm: Arm, seconds: float) -> Slice:
        """Let it go on, measure whole rounds of its workers for ``seconds`` at least, let it rest.

        The first slice of an arm after one of another first lets the loader's queues become what this arm makes them.
        """
        if self._process is not None and self._fault is None:
            self._process.send((arm, seconds))
            with self._process.sampler:
                found: tuple[Slice, Mapping[str, float]] = self._answer()
        else:
            found = self._answer()
        self._gpu = found[1]
        return found[0]

    def resources(self) -> Mapping[str, float | str]:
        """Peaks so far: ``peak_memory_bytes`` with its ``memory_kind`` (`TreeMemory.kind`), ``shm_peak_bytes`` (by how
        much /dev/shm became fuller in its turns) and ``shm_tree_peak_bytes`` (of that, what its processes have mapped);
        with a GPU that NVML knows also those of `gpu.summarized`."""
        if self._process is None:
            return {}
        sampler = self._process.sampler
        return {
            "peak_memory_bytes": float(sampler.peak_bytes),
            "memory_kind": sampler.memory_kind,
            "shm_peak_bytes": float(sampler.shm_peak_bytes),
            "shm_tree_peak_bytes": float(sampler.shm_tree_peak_bytes),
            **self._gpu,
        }

    def close(self) -> None:
        """End it and all that it started, whatever state they are in."""
        if self._process is not None:
            self._process.sampler.__exit__(None, None, None)
            self._process.close()

    def __enter__(self) -> "Living":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _answer(self) -> Any:
        if self._fault is None:
            assert self._process is not None, "not started"
            try:
                status, value, error = self._process.answer(self._stall_s)
            except BaseException:  # an interruption: what it would answer, nobody would wait for
                self.close()
                raise
            if status == MeasurementStatus.COMPLETE:
                return value
            self.close()
            self._fault = Fault(status, error)
        raise self._fault
