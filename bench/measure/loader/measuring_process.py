"""Measuring processes of several configurations, alive side by side and measured in turns.

Slices of one are measured while the others rest.
"""

import os
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from bench.measure.loader.configuration import LoaderConfiguration
from bench.measure.loader.isolated import STALL_S, Isolated
from bench.measure.loader.measurement import Arm, Fault, Slice, Started
from bench.measure.loader.measuring_child import Plan, serve_slices
from bench.measure.loader.outcome import MeasurementStatus
from bench.measure.loader.workload import Workload

__all__ = ["Fault", "MeasuringProcess", "Slice", "Started"]


class MeasuringProcess:
    """One configuration's measuring process, as its parent sees it: started once, measured whenever it is its turn.

    Any error in it is raised as Fault, and raised again by every later call; the process and all its descendants have
    then been ended. They are also ended if the caller is interrupted while it waits, or dies.

    Example:
        with MeasuringProcess(workload, configuration) as process:
            process.start()
            process.started()
            process.slice(Arm.END_TO_END, 1.0)
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
        """Start nothing yet.

        Args:
            workload: Data set and step; pickled.
            configuration: Loader settings.
            hashed_batches: Number of first batches that are hashed.
            reference: Hashes of the samples that one process made (`comparison`); the workers make them again first.
                Empty: nothing is compared.
            compare_s: Approximate maximum seconds of that comparison.
            stall_s: Seconds without a batch after which it counts as hanging (``timed_out``).
            memory_limit_bytes: Maximum memory of the process and its workers together; above it the status is
                ``out_of_memory``.
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
        """Id of the process; only once it is started."""
        assert self._process is not None, "not started"
        return self._process.pid

    def start(self) -> None:
        """Begin to start the process, without waiting: several may start at the same time."""
        plan = Plan(self._hashed_batches, self._reference, self._compare_s, os.getpid(), time.monotonic())
        self._process = Isolated(
            serve_slices, self._workload, self.configuration, plan, memory_limit_bytes=self._limit_bytes
        )
        self._process.sampler.__enter__()

    def started(self) -> Started:
        """Wait until the process accepts orders; return its start-up times."""
        if self._started is None:
            try:
                self._started = self._answer()
            finally:
                if self._process is not None:
                    self._process.sampler.__exit__(None, None, None)
        return self._started

    def slice(self, arm: Arm, seconds: float) -> Slice:
        """Let the process continue, measure whole rounds of its workers for at least ``seconds``, and suspend it again.

        After a slice of another arm the loader's queues are first refilled as this arm keeps them.
        """
        if self._process is not None and self._fault is None:
            self._process.send((arm, seconds))
            with self._process.sampler:
                answer: tuple[Slice, Mapping[str, float]] = self._answer()
        else:
            answer = self._answer()
        self._gpu = answer[1]
        return answer[0]

    def resources(self) -> Mapping[str, float | str]:
        """Return the peaks so far, in bytes.

        ``peak_memory_bytes`` with its ``memory_kind`` (`TreeMemory.kind`), ``shm_peak_bytes`` (growth of /dev/shm in
        its turns), ``shm_tree_peak_bytes`` (the part of it that its processes have mapped), and with a GPU that NVML
        knows, the values of `gpu.summarized`.
        """
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
        """End the process and all its descendants, even if they hang."""
        if self._process is not None:
            self._process.sampler.__exit__(None, None, None)
            self._process.close()

    def __enter__(self) -> "MeasuringProcess":
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
            except BaseException:  # interrupted: nobody would wait for the answer
                self.close()
                raise
            if status == MeasurementStatus.COMPLETE:
                return value
            self.close()
            self._fault = Fault(status, error)
        raise self._fault
