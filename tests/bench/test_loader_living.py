"""Configurations that live side by side: how they start, what slices measure, and that nobody is left behind."""

import math
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from bench.measure.loader import fork_server
from bench.measure.loader.comparison import look_at_samples
from bench.measure.loader.configuration import configuration
from bench.measure.loader.isolated import run_isolated
from bench.measure.loader.measurement import Arm
from bench.measure.loader.measuring_process import Fault, MeasuringProcess
from bench.measure.loader.outcome import MeasurementStatus
from bench.measure.loader.workload import DatasetWorkload, OpenLoader
from tests.support import own_datasets as own
from tests.support.device import DeviceStep
from tests.support.long_tests import long
from tests.support.simulated_loader import SleepingData, SleepingStep, sleeping
from tests.support.troubled_data import Random, Troubled

SIZE = 4
SAMPLE_S = 0.002
COSTS = np.full(400, SAMPLE_S)
STALL_S = 2.0


@contextmanager
def begun(workload, *, stall_s=60.0, memory_limit_bytes=None, **settings):
    """A process of this configuration that takes orders."""
    chosen = configuration(**{"batch_size": SIZE} | settings)
    with MeasuringProcess(workload, chosen, stall_s=stall_s, memory_limit_bytes=memory_limit_bytes) as living:
        living.start()
        living.started()
        yield living


def speed(measured):
    return measured.images / measured.seconds


def gone(pids, seconds=30):
    """Whether these processes end within so many seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        alive = []
        for pid in pids:
            with suppress(psutil.NoSuchProcess):
                if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                    alive.append(pid)
        if not alive:
            return True
        time.sleep(0.05)
    return False


def family(living):
    return [each.pid for each in [psutil.Process(living.pid), *psutil.Process(living.pid).children(recursive=True)]]


# --- starting ---------------------------------------------------------------------------------------------------------


def test_a_start_tells_of_the_first_batch_of_the_border_and_of_what_was_delivered():
    with MeasuringProcess(
        sleeping(COSTS, 0.0), configuration(batch_size=SIZE, num_workers=2), hashed_batches=5
    ) as living:
        living.start()
        found = living.started()
    assert len(set(found.hashes)) == 5
    assert SIZE * SAMPLE_S < found.first_batch_s < found.start_s
    assert SIZE * SAMPLE_S < found.epoch_gap_s < found.start_s
    assert found.effective_pin_memory is False
    assert found.compared == {}


@pytest.mark.long
def test_the_border_between_epochs_costs_less_where_workers_persist():
    """Spawned ones take their time."""
    gaps = []
    for persistent in (False, True):
        chosen = configuration(num_workers=1, start_method="spawn", persistent_workers=persistent, batch_size=SIZE)
        with MeasuringProcess(DatasetWorkload(Random()), chosen) as living:
            living.start()
            gaps.append(living.started().epoch_gap_s)
    assert gaps[1] < gaps[0]


def test_what_workers_make_is_compared_with_what_one_process_makes():
    workload = DatasetWorkload(own.PerWorker)
    reference = look_at_samples(workload, batch_size=SIZE, seconds=30.0, stall_s=60.0).value.hashes
    for workers, expected in ((0, None), (2, 32.0)):
        chosen = configuration(batch_size=SIZE, num_workers=workers)
        with MeasuringProcess(workload, chosen, reference=reference, compare_s=30.0) as living:
            living.start()
            assert living.started().compared.get("different_samples") == expected


# --- slices -----------------------------------------------------------------------------------------------------------


def test_several_take_turns_there_and_back_and_each_arm_is_what_it_says():
    step_s = 0.01
    workload = sleeping(COSTS, step_s)
    with ExitStack() as stack:
        all_three = [
            stack.enter_context(MeasuringProcess(workload, configuration(batch_size=SIZE, num_workers=workers)))
            for workers in (0, 1, 2)
        ]
        for living in all_three:
            living.start()
        for living in all_three:
            living.started()
        for living in [*all_three, *reversed(all_three)]:
            found = {arm: living.slice(arm, 0.2) for arm in Arm}
            for arm, each in found.items():
                assert each.arm == arm
                assert each.seconds >= 0.2
                assert each.images == SIZE * each.batches
                assert each.batches % living.configuration.round_length == 0 or arm == Arm.COMPUTE
                assert len(each.waits_ms) == each.batches
                assert sum(each.waits_ms) == pytest.approx(1000 * each.wait_s)
                assert each.wait_s + each.compute_s == pytest.approx(each.seconds)
                assert 0 <= each.cpu_s < 0.9 * each.seconds, "all of it sleeps"
            assert found[Arm.LOADER].host_s < 0.3 * found[Arm.LOADER].seconds
            assert found[Arm.COMPUTE].wait_s < 0.3 * found[Arm.COMPUTE].seconds
            for arm in (Arm.COMPUTE, Arm.END_TO_END):  # sleeps are never short
                assert step_s * found[arm].batches <= found[arm].host_s <= found[arm].compute_s
            if living.configuration.num_workers == 0:
                for arm in (Arm.LOADER, Arm.END_TO_END):
                    assert found[arm].wait_s >= SIZE * SAMPLE_S * found[arm].batches


@pytest.mark.parametrize(("sample_s", "step_s"), [(0.002, 0.001), long(0.0005, 0.008)])
def test_pauses_change_nothing_of_what_is_measured(sample_s, step_s):
    """Bound by loading or by computing: slices of 0.3 s between pauses are as fast as one that nothing interrupts.

    Sleeps are never short, and a busy machine makes a slice slower: the fastest of each kind is the truest. Only a
    sample's sleep goes on while its worker rests.
    """
    possible = SIZE / max(SIZE * sample_s / 2, step_s)
    with begun(sleeping(np.full(400, sample_s), step_s), num_workers=2) as living:
        undisturbed = speed(living.slice(Arm.END_TO_END, 1.0))
        pieces = []
        while len(pieces) < 4 or (max(pieces) < 0.9 * undisturbed and len(pieces) < 20):
            time.sleep(0.2)
            pieces.append(speed(living.slice(Arm.END_TO_END, 0.3)))
    assert 0.9 * undisturbed <= max(pieces) <= 1.05 * possible


def test_workers_rest_between_slices_and_where_nothing_is_loaded():
    with begun(sleeping(np.full(400, 0.0), 0.0), num_workers=2) as living:
        living.slice(Arm.LOADER, 0.2)
        workers = [psutil.Process(pid) for pid in family(living)[1:]]
        assert len(workers) == 2
        before = [each.cpu_times() for each in workers]
        assert {each.status() for each in workers} == {psutil.STATUS_STOPPED}
        living.slice(Arm.COMPUTE, 0.2)
        assert [each.cpu_times() for each in workers] == before


@pytest.mark.long
def test_an_arm_does_not_live_on_the_queues_of_the_one_before():
    """Twenty batches of 20 ms fill the queue while a step sleeps: the loader alone would seem twice as fast."""
    with begun(sleeping(np.full(400, 0.005), 0.05), num_workers=1, prefetch_factor=20) as living:
        living.slice(Arm.END_TO_END, 1.5)
        assert speed(living.slice(Arm.LOADER, 0.4)) < 1.15 * SIZE / 0.02


@pytest.mark.long
def test_a_step_slower_than_a_slice_is_measured_for_a_whole_round():
    with begun(sleeping(COSTS, 0.2), num_workers=2) as living:
        found = living.slice(Arm.END_TO_END, 0.05)
    assert found.batches == 2
    assert found.seconds >= 0.4


def test_a_device_that_works_alone_hides_the_loading():
    """Loading 40 ms and computing 50 ms: 20 batches a second at most, in turn 11."""
    workload = DatasetWorkload(SleepingData(np.full(400, 0.04)), DeviceStep(0.05))
    with begun(workload, batch_size=1) as living:
        found = max((living.slice(Arm.END_TO_END, 0.5) for _ in range(4)), key=speed)
    assert speed(found) > 14
    assert found.compute_s > 0.75 * found.seconds
    assert found.host_s < 0.2 * found.seconds
    assert found.wait_s + found.compute_s == pytest.approx(found.seconds)


class ShortEpochs:
    """A loader of one's own: five batches, and before the first of an epoch it takes its time."""

    device = "cpu"

    def __init__(self, batches=5, border_s=0.2):
        self.batches, self.border_s = batches, border_s

    def __iter__(self):
        time.sleep(self.border_s)
        for number in range(self.batches):
            time.sleep(0.01)
            yield [number]

    def open_loader(self, _configuration, _batches):
        return OpenLoader(self, lambda _epoch: None)

    def make_step(self):
        return SleepingStep(0.005)()


@pytest.mark.parametrize(("border_s", "batches"), [(0.2, 5), long(0.05, 1)])
def test_borders_of_a_loader_that_decides_itself_are_not_in_a_slice(border_s, batches):
    """But where each batch is an epoch."""
    with MeasuringProcess(ShortEpochs(batches, border_s), configuration(batch_size=1), hashed_batches=8) as living:
        living.start()
        started = living.started()
        assert started.epoch_gap_s >= border_s
        assert len(started.hashes) == batches
        found = living.slice(Arm.LOADER, 0.3)
    assert found.seconds >= 0.3
    assert (max(found.waits_ms) < 1000 * border_s) is (batches > 1)


# --- whose CPU time it is ---------------------------------------------------------------------------------------------


def burn(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


class Burning:
    """A step that keeps a core busy for so long."""

    def __init__(self, seconds):
        self.seconds = seconds

    def __call__(self):
        return lambda _batch: burn(self.seconds)


def test_ones_own_cpu_time_is_not_others_and_a_strangers_is():
    """A stranger on each core that may be used takes about half of them."""
    with begun(DatasetWorkload(Troubled(), Burning(0.02)), num_workers=1) as living:
        quiet = living.slice(Arm.END_TO_END, 1.0)
        cores = len(os.sched_getaffinity(0))
        strangers = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(cores)]
        try:
            time.sleep(0.3)
            busy = living.slice(Arm.END_TO_END, 1.0)
        finally:
            for each in strangers:
                each.kill()
                each.wait()
    if math.isnan(quiet.others_share):
        pytest.skip("this system does not tell")
    assert quiet.cpu_s > 0.3 * quiet.seconds
    assert busy.others_share > 0.25


# --- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trouble", "status", "words"),
    [
        ("raise", MeasurementStatus.FAILED, "ValueError: sample 24 is broken"),
        ("hang", MeasurementStatus.TIMED_OUT, "no batch for 2 s (stall_s)"),
        ("SIGKILL", MeasurementStatus.OUT_OF_MEMORY, "a worker was killed (SIGKILL)"),
        long("SIGBUS", MeasurementStatus.BUS_ERROR, "/dev/shm is full"),
        long("memory", MeasurementStatus.OUT_OF_MEMORY, "MemoryError: no more of it"),
    ],
)
def test_trouble_in_a_worker_is_a_fault_that_is_told_again(trouble, status, words):
    chosen = configuration(batch_size=SIZE, num_workers=2)
    stall_s = STALL_S if trouble == "hang" else 60.0
    with MeasuringProcess(DatasetWorkload(Troubled(trouble)), chosen, stall_s=stall_s) as living:
        living.start()
        for _ in range(2):
            with pytest.raises(Fault) as caught:
                living.started()
                living.slice(Arm.LOADER, 5.0)
            assert caught.value.status == status
            assert words in caught.value.error
        assert gone([living.pid])


def test_a_worker_that_is_killed_while_it_rests_is_a_fault_of_the_next_slice():
    with begun(sleeping(COSTS, 0.0), num_workers=2) as living:
        living.slice(Arm.LOADER, 0.1)
        everybody = family(living)
        os.kill(everybody[1], signal.SIGKILL)
        with pytest.raises(Fault) as caught:
            living.slice(Arm.LOADER, 1.0)
        assert caught.value.status == MeasurementStatus.OUT_OF_MEMORY
        assert gone(everybody)


@pytest.mark.long
def test_resting_is_no_hang():
    with begun(sleeping(COSTS, 0.0), num_workers=2, stall_s=3.0) as living:
        living.slice(Arm.LOADER, 0.1)
        time.sleep(4.0)
        assert living.slice(Arm.COMPUTE, 4.0).batches
        assert living.slice(Arm.LOADER, 0.1).batches


class Growing:
    """A step that takes 100 MB more each time, and keeps them."""

    def __call__(self):
        held = []

        def step(_batch):
            held.append(bytearray(b"x") * 100_000_000)
            time.sleep(0.1)

        return step


def test_who_takes_too_much_memory_in_a_slice_is_ended():
    limit = 1_500_000_000
    with begun(DatasetWorkload(Troubled(), Growing()), memory_limit_bytes=limit) as living:
        with pytest.raises(Fault) as caught:
            living.slice(Arm.END_TO_END, 60.0)
        assert caught.value.status == MeasurementStatus.OUT_OF_MEMORY
        assert "1.5 GB allowed" in caught.value.error
        assert living.resources()["peak_memory_bytes"] > limit
        assert living.resources()["memory_kind"] == "pss"


# --- nobody is left ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resting", [False, long(True)])
def test_nobody_is_left_when_the_parent_dies(tmp_path, resting):
    """Killed while a slice runs, or while all workers are stopped."""
    note = tmp_path / "pids"
    program = (
        "import time, pathlib\n"
        "from tests.bench.test_loader_living import *\n"
        "if __name__ == '__main__':\n"
        "    with begun(sleeping(COSTS, 0.0), num_workers=2) as living:\n"
        "        living.slice(Arm.LOADER, 0.1)\n"
        "        everybody = [p.pid for p in psutil.Process().children(recursive=True)]\n"
        f"        pathlib.Path({str(note)!r}).write_text(' '.join(map(str, everybody)))\n"
        f"        time.sleep(100) if {resting} else living.slice(Arm.LOADER, 100)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=Path(__file__).parents[2])
    try:
        until = time.monotonic() + 120
        while not (note.exists() and note.read_text()) and parent.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.3)
    finally:
        parent.kill()
        parent.wait()
    everybody = [int(pid) for pid in note.read_text().split()]
    assert len(everybody) >= 4  # the forkserver, the life, its workers
    assert gone(everybody)


def test_an_interruption_ends_what_was_waited_for():
    with begun(sleeping(COSTS, 0.0), num_workers=2) as living:
        living.slice(Arm.LOADER, 0.1)
        everybody = family(living)
        timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        timer.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                living.slice(Arm.LOADER, 60.0)
        finally:
            timer.join()
            signal.signal(signal.SIGINT, before)
        assert gone(everybody)
        living.close()


# --- where processes come from ----------------------------------------------------------------------------------------


def surroundings(progress):
    progress(1)
    import my_own_module

    return (
        os.environ.get("OF_NOW"),
        str(Path.cwd()),
        my_own_module.NUMBER,
        signal.getsignal(signal.SIGINT),
        os.getsid(0),
    )


@pytest.mark.parametrize("number", [1, 2])
def test_a_process_has_the_surroundings_of_now(number, tmp_path, monkeypatch):
    """Whatever they were when the server was started that it is forked from."""
    (tmp_path / "my_own_module.py").write_text(f"NUMBER = {number}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("OF_NOW", str(number))
    found = run_isolated(surroundings)
    assert found.error == ""
    assert found.value[:4] == (str(number), str(tmp_path), number, signal.SIG_IGN)
    assert found.value[4] != os.getsid(0)


def loaded(progress):
    progress(1)
    import torch

    return [name in sys.modules for name in ("torch._dynamo", "cv2")], torch.cuda.is_initialized(), os.getppid()


@pytest.mark.skipif(sys.platform != "linux", reason="no forkserver here")
def test_the_server_has_the_libraries_loaded_and_a_ctrl_c_does_not_end_it():
    first = run_isolated(loaded).value
    assert first[:2] == ([True, True], False)
    os.kill(first[2], signal.SIGINT)
    time.sleep(0.1)
    assert run_isolated(loaded).value == first


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_elsewhere_than_on_linux_no_process_is_forked(platform, monkeypatch):
    monkeypatch.setattr(sys, "platform", platform)
    assert fork_server.context().get_start_method() == "spawn"
