"""Runs one block of a loader study: fresh processes, alive side by side, measured in turns and recorded."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from bench.engines import interruption
from bench.kinds.loaders.phases import LARGEST
from bench.kinds.loaders.plan import Block, Contestant
from bench.kinds.loaders.spec import LoaderSpec
from bench.measure.limits import limits
from bench.measure.loader.measurement import Arm
from bench.measure.loader.measuring_process import Fault, MeasuringProcess, Slice, Started
from bench.measure.loader.outcome import MeasurementStatus
from bench.measure.loader.prediction import RESERVE, Need, shortfall
from bench.records.measurements import LISTS, MeasurementTracker

AT_ONCE = "cuda"
"""Device whose processes start all at once, except in a panel's first block: starting takes seconds there. On a CPU,
processes that start and compute at once wait for each other's threads: three take five seconds, one after the other
one."""
ARM_SHARE = 0.5
"""Length of a slice of loading alone or computing alone, relative to a training slice: these need less precision."""
QUANTILES = 101
"""Number of quantiles of the waits that are recorded."""
MakeProcess = Callable[[Contestant, float], MeasuringProcess]
"""Makes the process of a contestant (a configuration of the block); arguments: the contestant, and its share of the
memory."""


@dataclass
class _ProcessEntry:
    """One process and its record so far."""

    contestant: Contestant
    process: MeasuringProcess
    row: dict[str, Any]
    run_id: str
    slices: list[dict[str, Any]] = field(default_factory=list)
    waits_ms: list[float] = field(default_factory=list)
    fault: Fault | None = None


class BlockRun:
    """Measures one block of a panel."""

    def __init__(
        self,
        spec: LoaderSpec,
        block: Block,
        tracker: MeasurementTracker,
        parent: str,
        *,
        make: MakeProcess,
        on_slice: Callable[[dict[str, Any]], None],
        on_process: Callable[[dict[str, Any]], None],
        page_cache: str,
    ) -> None:
        """
        Args:
            spec: The study.
            block: The configurations to measure.
            tracker: Where processes and slices are recorded.
            parent: Id of the study's run in MLflow.
            make: Makes a contestant's process.
            on_slice: Called with each slice's row once it is recorded.
            on_process: Called with each process's row once it is recorded.
            page_cache: State of the page cache for the data set's files.
        """
        self.spec, self.block, self.tracker, self.parent = spec, block, tracker, parent
        self.make, self.on_slice, self.on_process, self.page_cache = make, on_slice, on_process, page_cache
        self.began = time.monotonic()
        self.slice_number = 0
        self.order = np.random.default_rng((spec.seed, block.panel.number, block.number))

    def skip(self, contestant: Contestant, need: Need, why: str) -> None:
        """Record a contestant as skipped, for the reason ``why``."""
        row = self._row(contestant, need) | {"status": str(MeasurementStatus.SKIPPED), "error": why}
        with interruption.defer_interrupts():
            self._end(self.tracker.begin_measurement(self.parent, row), row)

    def run(self, contestants: Sequence[tuple[Contestant, Need]]) -> float:
        """Measure the contestants side by side; return the maximum GPU memory in bytes that one of them took."""
        total_bytes = sum(need.memory_bytes for _, need in contestants)
        entries = [
            self._begin(each, need, need.memory_bytes / total_bytes if total_bytes else 1.0)
            for each, need in contestants
        ]
        try:
            self._start(entries)
            self._take_slices(entries)
        finally:
            with interruption.defer_interrupts():
                for entry in entries:
                    entry.process.close()
        for entry in entries:
            self._record(entry)
        return max(float(entry.row.get("gpu_memory_bytes") or 0.0) for entry in entries)

    def _begin(self, contestant: Contestant, need: Need, share: float) -> _ProcessEntry:
        row = self._row(contestant, need)
        process = self.make(contestant, share)
        return _ProcessEntry(contestant, process, row, self.tracker.begin_measurement(self.parent, row))

    def _row(self, contestant: Contestant, need: Need) -> dict[str, Any]:
        block = self.block
        identity = {"id": block.id_of(contestant), "phase": block.panel.phase, "panel": block.panel.number}
        unmeasured = {"effective_pin_memory": False, "memory_kind": "", "device": self.spec.device}
        return {
            **identity,
            "block": block.number,
            **contestant.row(),
            **unmeasured,
            "page_cache": self.page_cache,
            "status": str(MeasurementStatus.COMPLETE),
            "error": "",
            **{name: [] for name in LISTS},
            "need_memory_bytes": need.memory_bytes,
            "need_shm_bytes": need.shm_bytes,
        }

    def _start(self, entries: Sequence[_ProcessEntry]) -> None:
        """Start all processes; the time of the first batch is recorded only if they start one after the other."""
        alone = self.spec.device != AT_ONCE or self.block.number == 0
        if not alone:
            for entry in entries:
                self._begin_start(entry)
        for entry in entries:
            interruption.check()
            if alone:
                self._begin_start(entry)
            try:
                self._note_start(entry, entry.process.started(), alone=alone)
            except Fault as fault:
                entry.fault = fault

    def _begin_start(self, entry: _ProcessEntry) -> None:
        with interruption.defer_interrupts():  # a process that is not known yet would not be ended
            entry.process.start()

    def _note_start(self, entry: _ProcessEntry, started: Started, *, alone: bool) -> None:
        entry.row |= {"effective_pin_memory": started.effective_pin_memory, "hashes": list(started.hashes)}
        entry.row |= started.compared
        if alone:
            entry.row |= {name: getattr(started, name) for name in ("start_s", "first_batch_s", "epoch_gap_s")}
        with interruption.defer_interrupts():
            self.tracker.store_start(entry.run_id, entry.row)

    def _take_slices(self, entries: Sequence[_ProcessEntry]) -> None:
        block, seconds = self.block, self.spec.slice_s
        for _ in range(self.spec.turns if block.panel.phase != LARGEST else 0):
            self._back_and_forth(entries, Arm.END_TO_END, seconds)
        for arm, contestants in ((Arm.LOADER, block.arms), (Arm.COMPUTE, block.computes)):
            keys = {each.key for each in contestants}
            own = [entry for entry in entries if entry.contestant.key in keys]
            for _ in range(self.spec.turns):
                self._back_and_forth(own, arm, ARM_SHARE * seconds)

    def _back_and_forth(self, entries: Sequence[_ProcessEntry], arm: Arm, seconds: float) -> None:
        """Measure a slice of each contestant in random order, then in reverse order (A B C, C B A), so that a steady
        drift affects all alike."""
        order = [entries[at] for at in self.order.permutation(len(entries))]
        for entry in [*order, *reversed(order)]:
            interruption.check()
            if entry.fault is not None:
                continue
            try:
                self._record_slice(entry, entry.process.slice(arm, seconds))
            except Fault as fault:
                entry.fault = fault

    def _record_slice(self, entry: _ProcessEntry, measured: Slice) -> None:
        row = asdict(measured) | {"arm": str(measured.arm), "place": self.slice_number}
        waits = row.pop("waits_ms")
        if measured.arm == Arm.END_TO_END:
            entry.waits_ms += waits
        self.slice_number += 1
        entry.slices.append(row)
        with interruption.defer_interrupts():
            self.tracker.store_slices(entry.run_id, entry.slices)
            self.on_slice(
                {name: entry.row[name] for name in ("phase", "panel", "block")} | entry.contestant.row() | row
            )

    def _record(self, entry: _ProcessEntry) -> None:
        entry.row |= entry.process.resources()
        if entry.fault is not None:
            entry.row |= {"status": str(entry.fault.status), "error": entry.fault.error}
        if entry.waits_ms:
            quantiles = np.quantile(entry.waits_ms, np.linspace(0, 1, QUANTILES))
            entry.row["wait_quantiles_ms"] = [round(float(each), 3) for each in quantiles]
        with interruption.defer_interrupts():
            self._end(entry.run_id, entry.row | _speeds(entry.slices))

    def _end(self, run_id: str, row: dict[str, Any]) -> None:
        row = row | {"block_s": time.monotonic() - self.began}
        self.tracker.end_measurement(run_id, row)
        self.on_process(row | {"run_id": run_id})


def fits(needs: Sequence[Need]) -> bool:
    """Return whether the needs together fit into the free memory."""
    together = Need(sum(each.shm_bytes for each in needs), sum(each.memory_bytes for each in needs))
    return not shortfall(together, limits())


def memory_limit_bytes(share: float) -> int:
    """Return the maximum memory in bytes of a process, above which it is ended; ``share``: its share of the block's
    memory."""
    return int(share * RESERVE * limits().memory_free_bytes)


def _speeds(slices: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return a process's speeds over all its training slices, for MLflow's pages."""
    own = [each for each in slices if each["arm"] == Arm.END_TO_END]
    seconds = sum(each["seconds"] for each in own)
    if not seconds:
        return {}
    return {
        "images_per_s": sum(each["images"] for each in own) / seconds,
        "data_wait_share": sum(each["wait_s"] for each in own) / seconds,
        "cores_used": sum(each["cpu_s"] for each in own) / seconds,
    }
