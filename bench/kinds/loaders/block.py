"""One block of a loader study: fresh processes, alive side by side, each measured in its turn; all recorded at once."""

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
from bench.measure.loader.living import Fault, Living, Slice, Started
from bench.measure.loader.measurement import Arm
from bench.measure.loader.outcome import MeasurementStatus
from bench.measure.loader.prediction import RESERVE, Need, shortfall
from bench.records.measurements import LISTS, MeasurementTracker

AT_ONCE = "cuda"
"""Device of which processes are started at once, but in a panel's first block: they take seconds there. On a CPU those
that start and compute together wait for each other's threads: three take five seconds, one after the other one."""
ARM_SHARE = 0.5
"""Of a slice's length that loading alone and computing alone have: they need not be known as well."""
QUANTILES = 101
MakeLiving = Callable[[Contestant, float], Living]
"""Of a contestant, and its share of the memory."""


@dataclass
class _Life:
    """A process and its record so far."""

    contestant: Contestant
    living: Living
    row: dict[str, Any]
    run_id: str
    slices: list[dict[str, Any]] = field(default_factory=list)
    waits_ms: list[float] = field(default_factory=list)
    fault: Fault | None = None


class BlockRun:
    """Measures one block."""

    def __init__(
        self,
        spec: LoaderSpec,
        block: Block,
        tracker: MeasurementTracker,
        parent: str,
        *,
        make: MakeLiving,
        on_slice: Callable[[dict[str, Any]], None],
        on_life: Callable[[dict[str, Any]], None],
        page_cache: str,
    ) -> None:
        """``on_slice`` and ``on_life`` get each row once it is recorded."""
        self.spec, self.block, self.tracker, self.parent = spec, block, tracker, parent
        self.make, self.on_slice, self.on_life, self.page_cache = make, on_slice, on_life, page_cache
        self.began = time.monotonic()
        self.place = 0
        self.order = np.random.default_rng((spec.seed, block.panel.number, block.number))

    def skip(self, contestant: Contestant, need: Need, why: str) -> None:
        """Record one that is not tried."""
        row = self._row(contestant, need) | {"status": str(MeasurementStatus.SKIPPED), "error": why}
        with interruption.defer_interrupts():
            self._end(self.tracker.begin_measurement(self.parent, row), row)

    def run(self, contestants: Sequence[tuple[Contestant, Need]]) -> float:
        """Measure so many side by side; returns the bytes that one of them took of a GPU's memory, at most."""
        whole = sum(need.memory_bytes for _, need in contestants)
        lives = [self._begin(each, need, need.memory_bytes / whole if whole else 1.0) for each, need in contestants]
        try:
            self._start(lives)
            self._take_slices(lives)
        finally:
            with interruption.defer_interrupts():
                for life in lives:
                    life.living.close()
        for life in lives:
            self._record(life)
        return max(float(life.row.get("gpu_memory_bytes") or 0.0) for life in lives)

    def _begin(self, contestant: Contestant, need: Need, share: float) -> _Life:
        row = self._row(contestant, need)
        living = self.make(contestant, share)
        return _Life(contestant, living, row, self.tracker.begin_measurement(self.parent, row))

    def _row(self, contestant: Contestant, need: Need) -> dict[str, Any]:
        block = self.block
        place = {"id": block.id_of(contestant), "phase": block.panel.phase, "panel": block.panel.number}
        found = {"effective_pin_memory": False, "memory_kind": "", "device": self.spec.device}
        return {
            **place,
            "block": block.number,
            **contestant.row(),
            **found,
            "page_cache": self.page_cache,
            "status": str(MeasurementStatus.COMPLETE),
            "error": "",
            **{name: [] for name in LISTS},
            "need_memory_bytes": need.memory_bytes,
            "need_shm_bytes": need.shm_bytes,
        }

    def _start(self, lives: Sequence[_Life]) -> None:
        """Start all processes: only where that is one after the other, the time of the first batch is told."""
        alone = self.spec.device != AT_ONCE or self.block.number == 0
        if not alone:
            for life in lives:
                self._begin_start(life)
        for life in lives:
            interruption.check()
            if alone:
                self._begin_start(life)
            try:
                self._note_start(life, life.living.started(), alone=alone)
            except Fault as fault:
                life.fault = fault

    def _begin_start(self, life: _Life) -> None:
        with interruption.defer_interrupts():  # a process that nobody knew would stay
            life.living.start()

    def _note_start(self, life: _Life, found: Started, *, alone: bool) -> None:
        life.row |= {"effective_pin_memory": found.effective_pin_memory, "hashes": list(found.hashes)}
        life.row |= found.compared
        if alone:
            life.row |= {name: getattr(found, name) for name in ("start_s", "first_batch_s", "epoch_gap_s")}
        with interruption.defer_interrupts():
            self.tracker.note_start(life.run_id, life.row)

    def _take_slices(self, lives: Sequence[_Life]) -> None:
        block, seconds = self.block, self.spec.slice_s
        for _ in range(self.spec.turns if block.panel.phase != LARGEST else 0):
            self._back_and_forth(lives, Arm.END_TO_END, seconds)
        for arm, those in ((Arm.LOADER, block.arms), (Arm.COMPUTE, block.computes)):
            keys = {each.key for each in those}
            own = [life for life in lives if life.contestant.key in keys]
            for _ in range(self.spec.turns):
                self._back_and_forth(own, arm, ARM_SHARE * seconds)

    def _back_and_forth(self, lives: Sequence[_Life], arm: Arm, seconds: float) -> None:
        """A B C, C B A: what grows evenly meanwhile burdens all alike."""
        order = [lives[at] for at in self.order.permutation(len(lives))]
        for life in [*order, *reversed(order)]:
            interruption.check()
            if life.fault is not None:
                continue
            try:
                self._keep(life, life.living.slice(arm, seconds))
            except Fault as fault:
                life.fault = fault

    def _keep(self, life: _Life, found: Slice) -> None:
        row = asdict(found) | {"arm": str(found.arm), "place": self.place}
        waits = row.pop("waits_ms")
        if found.arm == Arm.END_TO_END:
            life.waits_ms += waits
        self.place += 1
        life.slices.append(row)
        with interruption.defer_interrupts():
            self.tracker.keep_slices(life.run_id, life.slices)
            self.on_slice({name: life.row[name] for name in ("phase", "panel", "block")} | life.contestant.row() | row)

    def _record(self, life: _Life) -> None:
        life.row |= life.living.resources()
        if life.fault is not None:
            life.row |= {"status": str(life.fault.status), "error": life.fault.error}
        if life.waits_ms:
            found = np.quantile(life.waits_ms, np.linspace(0, 1, QUANTILES))
            life.row["wait_quantiles_ms"] = [round(float(each), 3) for each in found]
        with interruption.defer_interrupts():
            self._end(life.run_id, life.row | _speeds(life.slices))

    def _end(self, run_id: str, row: dict[str, Any]) -> None:
        row = row | {"block_s": time.monotonic() - self.began}
        self.tracker.end_measurement(run_id, row)
        self.on_life(row | {"run_id": run_id})


def fits(needs: Sequence[Need]) -> bool:
    """Whether memory carries all of them at once."""
    together = Need(sum(each.shm_bytes for each in needs), sum(each.memory_bytes for each in needs))
    return not shortfall(together, limits())


def memory_limit_bytes(share: float) -> int:
    """What a process may hold before it is ended; ``share``: of what all that are alive may."""
    return int(share * RESERVE * limits().memory_free_bytes)


def _speeds(slices: Sequence[dict[str, Any]]) -> dict[str, float]:
    """What MLflow's pages show of a process: its figures over all slices of training."""
    own = [each for each in slices if each["arm"] == Arm.END_TO_END]
    seconds = sum(each["seconds"] for each in own)
    if not seconds:
        return {}
    return {
        "images_per_s": sum(each["images"] for each in own) / seconds,
        "data_wait_share": sum(each["wait_s"] for each in own) / seconds,
        "cores_used": sum(each["cpu_s"] for each in own) / seconds,
    }
