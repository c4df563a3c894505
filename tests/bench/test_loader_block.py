"""A block of a loader study: who starts when, in which order slices are taken, and what is recorded of them."""

import numpy as np
import pytest

from bench.kinds.loaders import block as blocks
from bench.kinds.loaders.block import BlockRun, fits, memory_limit_bytes
from bench.kinds.loaders.measuring import _contestant_text, _spread
from bench.kinds.loaders.phases import GRID, LARGEST
from bench.kinds.loaders.plan import Block, Contestant, Panel
from bench.measure.limits import Limits
from bench.measure.loader.configuration import configuration
from bench.measure.loader.measurement import Arm, Fault, Slice, Started
from bench.measure.loader.outcome import MeasurementStatus
from bench.measure.loader.prediction import Need
from tests.bench.test_loader_settings import spec

NONE, ONE, TWO = (Contestant(configuration(batch_size=4, num_workers=workers)) for workers in (0, 1, 2))
STARTED = Started(
    first_batch_s=0.5,
    epoch_gap_s=0.25,
    start_s=2.0,
    effective_pin_memory=True,
    hashes=(7, 8),
    compared={"compared": 9.0},
)


class Machine:
    """Processes that answer at once, and the ledger of what was asked of them and recorded."""

    def __init__(self, *, fails=None, gpu=None):
        self.fails, self.gpu = fails or {}, gpu or {}
        self.asked, self.shares, self.ended, self.begun, self.slices = [], {}, [], [], []
        self.rows, self.stored = {}, {}

    def make(self, contestant, share):
        self.shares[contestant] = share
        return Process(self, contestant)

    def begin_measurement(self, parent, row):
        self.begun.append((parent, row))
        return f"run-{row['num_workers']}"

    def store_start(self, run_id, row):
        self.rows[run_id] = dict(row)

    def store_slices(self, run_id, slices):
        self.stored[run_id] = len(slices)

    def end_measurement(self, run_id, row):
        self.ended.append((run_id, row))


class Process:
    def __init__(self, machine, contestant):
        self.machine, self.workers, self.taken = machine, contestant.configuration.num_workers, 0

    def start(self):
        self.machine.asked.append(("start", self.workers))

    def started(self):
        self.machine.asked.append(("started", self.workers))
        if self.machine.fails.get(self.workers) == 0:
            raise Fault(MeasurementStatus.FAILED, "no start")
        return STARTED

    def slice(self, arm, seconds):
        self.machine.asked.append((arm, self.workers, seconds))
        self.taken += 1
        if self.machine.fails.get(self.workers) == self.taken:
            raise Fault(MeasurementStatus.TIMED_OUT, "hung")
        waits = (1.0, 3.0) if self.taken == 1 else (2.0, 2.00049)
        if arm != Arm.END_TO_END:
            waits = (900.0,)
        return Slice(
            arm=arm, batches=2, images=8, seconds=4.0 * self.taken, wait_s=1.0, host_s=0.5, compute_s=3.0, cpu_s=2.0,
            others_share=0.0, waits_ms=waits,
        )  # fmt: skip

    def resources(self):
        return {"peak_memory_bytes": 5.0, "memory_kind": "pss"} | (
            {"gpu_memory_bytes": self.machine.gpu[self.workers]} if self.workers in self.machine.gpu else {}
        )

    def close(self):
        self.machine.asked.append(("close", self.workers))


def run(machine, *, phase=GRID, number=0, among=(NONE, TWO), arms=(), computes=(), needs=(1, 3), **settings):
    study = spec(slice_s=3.0, **settings)
    own = Block(Panel(phase, 5, among), number, among, arms, computes)
    running = BlockRun(
        study, own, machine, "study", make=machine.make, on_slice=machine.slices.append,
        on_process=lambda row: None, page_cache="warm",
    )  # fmt: skip
    return running, running.run([(each, Need(0, need)) for each, need in zip(among, needs, strict=True)])


def slices_of(machine, arm):
    return [each[1:] for each in machine.asked if each[0] == arm]


def test_slices_are_taken_back_and_forth_and_arms_for_half_as_long():
    machine = Machine()
    run(machine, turns=2, arms=(NONE, TWO), computes=(NONE,))
    trained, loaded = (slices_of(machine, arm) for arm in (Arm.END_TO_END, Arm.LOADER))
    assert slices_of(machine, Arm.COMPUTE) == [(0, 1.5)] * 4
    for taken, seconds in ((trained, 3.0), (loaded, 1.5)):
        assert {each[1] for each in taken} == {seconds}
        order = [each[0] for each in taken]
        assert [sorted(order[at : at + 2]) for at in range(0, 8, 2)] == [[0, 2]] * 4
        assert order[:4] == order[3::-1]
        assert order[4:] == order[:3:-1]
    asked = [each[0] for each in machine.asked if each[0] in [*Arm]]
    assert asked == [Arm.END_TO_END] * 8 + [Arm.LOADER] * 8 + [Arm.COMPUTE] * 4
    assert machine.asked[-2:] == [("close", 0), ("close", 2)]


def test_the_order_is_drawn_by_seed_panel_and_block():
    def order(**changes):
        machine = Machine()
        run(machine, among=(NONE, ONE, TWO), needs=(1, 1, 1), turns=20, **changes)
        return slices_of(machine, Arm.END_TO_END)

    assert order() == order()
    assert order() != order(number=1)
    assert order() != order(seed=1)


def test_a_row_has_its_place_its_start_and_what_its_slices_sum_up_to():
    machine = Machine(gpu={0: 7.0, 2: 9.0})
    _, gpu_bytes = run(machine, arms=(TWO,), computes=(TWO,), number=3)
    assert gpu_bytes == 9.0
    assert machine.shares == {NONE: 0.25, TWO: 0.75}
    (_, first), (run_id, row) = machine.ended
    assert run_id == "run-2"
    place = {"phase": GRID, "panel": 5, "block": 3, "own_loader": "", "num_workers": 2, "page_cache": "warm"}
    place |= {"status": "complete", "error": "", "need_memory_bytes": 3, "need_shm_bytes": 0, "device": "cpu"}
    start = {"start_s": 2.0, "first_batch_s": 0.5, "epoch_gap_s": 0.25, "hashes": [7, 8], "compared": 9.0}
    took = {"peak_memory_bytes": 5.0, "memory_kind": "pss", "effective_pin_memory": True}
    took |= {"images_per_s": 16 / 12.0, "data_wait_share": 2 / 12.0, "cores_used": 4 / 12.0}
    assert {name: row[name] for name in {**place, **start, **took}} == {**place, **start, **took}
    assert row["block_s"] >= 0
    quantiles = row["wait_quantiles_ms"]
    assert (len(quantiles), quantiles[0], quantiles[50], quantiles[100]) == (101, 1.0, 2.0, 3.0), "of training alone"
    assert np.allclose(first["wait_quantiles_ms"], quantiles)
    assert [each["place"] for each in machine.slices] == list(range(8))
    assert {each["phase"] for each in machine.slices} == {GRID}
    assert "waits_ms" not in machine.slices[0]
    assert (machine.slices[-1]["arm"], machine.slices[-1]["num_workers"]) == ("compute", 2)
    assert machine.stored == {"run-0": 2, "run-2": 6}
    assert machine.rows["run-2"]["hashes"] == [7, 8], "kept before anything is measured"
    assert [parent for parent, _ in machine.begun] == ["study", "study"]


def test_a_fault_ends_its_configuration_alone():
    machine = Machine(fails={2: 1})
    run(machine, turns=2)
    assert [workers for workers, _ in slices_of(machine, Arm.END_TO_END)].count(2) == 1
    assert [workers for workers, _ in slices_of(machine, Arm.END_TO_END)].count(0) == 4
    ended = dict(machine.ended)
    assert (ended["run-2"]["status"], ended["run-2"]["error"]) == ("timed_out", "hung")
    assert "images_per_s" not in ended["run-2"]
    assert ended["run-2"]["wait_quantiles_ms"] == []
    assert ended["run-0"]["status"] == "complete"
    machine = Machine(fails={0: 0})
    run(machine)
    assert slices_of(machine, Arm.END_TO_END) == [(2, 3.0)] * 2
    assert machine.ended[0][1]["error"] == "no start"


def test_on_a_gpu_all_start_at_once_but_in_the_first_block():
    def begin(**changes):
        machine = Machine()
        run(machine, **changes)
        return machine.asked[:4], machine.rows["run-0"]

    in_turn = [("start", 0), ("started", 0), ("start", 2), ("started", 2)]
    at_once = [("start", 0), ("start", 2), ("started", 0), ("started", 2)]
    asked, row = begin(device="cuda", number=1)
    assert asked == at_once
    assert "first_batch_s" not in row, "they were in each other's way"
    for changes in ({"device": "cuda"}, {"number": 1}):
        asked, row = begin(**changes)
        assert asked == in_turn
        assert row["first_batch_s"] == 0.5


def test_the_search_for_the_largest_batch_trains_in_no_slice():
    machine = Machine()
    run(machine, phase=LARGEST, among=(NONE,), needs=(0,), computes=(NONE,))
    assert slices_of(machine, Arm.END_TO_END) == []
    assert slices_of(machine, Arm.COMPUTE) == [(0, 1.5)] * 2
    assert machine.shares == {NONE: 1.0}, "nobody knows what it needs"


def test_what_is_skipped_has_a_row_with_the_reason():
    machine = Machine()
    running, _ = run(machine)
    running.skip(ONE, Need(4, 5), "would need more")
    run_id, row = machine.ended[-1]
    assert (run_id, row["status"], row["error"]) == ("run-1", "skipped", "would need more")
    assert (row["need_memory_bytes"], row["need_shm_bytes"]) == (5, 4)


def test_needs_are_added_up_and_memory_is_shared_out(monkeypatch):
    monkeypatch.setattr(blocks, "limits", lambda: Limits(2.0, 1000, 100, 50, 50))
    assert fits([Need(20, 45), Need(25, 45)])
    assert not fits([Need(20, 45), Need(26, 45)])
    assert not fits([Need(20, 45), Need(20, 46)])
    assert memory_limit_bytes(0.5) == 45


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, "0 workers"),
        ({"num_workers": 1, "pin_memory": True}, "1 worker pinned"),
        (
            {
                "num_workers": 2,
                "prefetch_factor": 4,
                "persistent_workers": True,
                "start_method": "fork",
                "cv2_threads": 2,
            },
            "2 workers prefetch_factor 4 persistent_workers True start_method fork cv2_threads 2",
        ),
    ],
)
def test_a_configuration_is_named_by_what_it_changes(settings, text):
    assert _contestant_text(Contestant(configuration(**settings))) == text
    assert _contestant_text(Contestant(configuration(**settings), "own:make")) == "own:make"


@pytest.mark.parametrize(("files", "taken"), [(3, 3), (7, 4), (9, 3), (0, 0)])
def test_files_are_looked_at_evenly_spread(files, taken):
    found = _spread(list(range(files)), 3)
    assert found == list(range(0, files, max(1, files // 3)))
    assert len(found) == taken
