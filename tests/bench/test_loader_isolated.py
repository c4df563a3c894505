"""A process that answers, dies, hangs or takes too much: the caller always gets an answer, and nothing stays behind."""

import multiprocessing
import os
import signal
import time
from contextlib import closing

import psutil
import pytest

from bench.measure.loader import isolated, outcome
from bench.measure.loader.isolated import run_isolated
from bench.measure.loader.outcome import MeasurementStatus, error_outcome, exit_outcome
from tests.support.troubled_data import answer, end_with, hold, killed_with_child, stall_with_child, talk


def test_the_answer_comes_back_with_what_it_took():
    found = run_isolated(answer, {"of": "life"})
    assert (found.status, found.value, found.error) == (MeasurementStatus.COMPLETE, {"of": "life"}, "")
    assert found.wall_s > 0


@pytest.mark.parametrize(
    ("how", "status", "words"),
    [
        (
            "SIGKILL",
            MeasurementStatus.OUT_OF_MEMORY,
            "was killed (SIGKILL), most likely by the system for lack of memory",
        ),
        ("SIGBUS", MeasurementStatus.BUS_ERROR, "/dev/shm is full"),
        ("3", MeasurementStatus.FAILED, "ended with exit code 3 and without a result"),
    ],
)
def test_a_process_that_ends_without_a_word_is_a_status(how, status, words):
    found = run_isolated(end_with, how)
    assert found.status == status
    assert words in found.error
    assert found.value is None


def test_a_hang_is_ended_with_all_that_was_started(tmp_path):
    note = tmp_path / "pids"
    found = run_isolated(stall_with_child, str(note), stall_s=3.0)
    assert found.status == MeasurementStatus.TIMED_OUT
    assert found.error == "no batch for 3 s (stall_s) after 7 batches: ended"
    assert not [pid for pid in map(int, note.read_text().split()) if _runs(pid)]


class NeverThere:
    """Something whose reading does not end."""

    def __reduce__(self):
        return time.sleep, (3600,)


def test_a_process_that_never_starts_is_given_up(monkeypatch):
    monkeypatch.setattr(isolated, "START_S", 0.2)
    found = run_isolated(answer, NeverThere(), stall_s=0.1)
    assert (found.status, found.error) == (MeasurementStatus.TIMED_OUT, "did not start within 0.2 s and was ended")


def test_a_killed_process_is_told_at_once_and_its_orphans_are_ended(tmp_path):
    """A forked child holds the pipes of the dead one open."""
    note = tmp_path / "pid"
    found = run_isolated(killed_with_child, str(note), stall_s=60.0)
    assert found.status == MeasurementStatus.OUT_OF_MEMORY
    assert found.wall_s < 55
    assert not _runs(int(note.read_text()))


def test_what_it_prints_is_not_on_stdout(capfd):
    assert run_isolated(talk).value == 7
    out, err = capfd.readouterr()
    assert out == ""
    assert "loading annotations" in err
    assert "and from C" in err


def test_who_takes_too_much_memory_is_ended_before_the_machine_runs_out():
    found = run_isolated(hold, 600_000_000, memory_limit_bytes=500_000_000)
    assert found.status == MeasurementStatus.OUT_OF_MEMORY
    assert "0.5 GB allowed" in found.error
    assert found.peak_bytes > 500_000_000


def _runs(pid: int) -> bool:
    for _ in range(600):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return False
        except psutil.NoSuchProcess:
            return False
        time.sleep(0.1)
    return True


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "), MeasurementStatus.OUT_OF_MEMORY),
        (
            RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's"),
            MeasurementStatus.BUS_ERROR,
        ),
        (
            RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)"),
            MeasurementStatus.BUS_ERROR,
        ),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"),
            MeasurementStatus.OUT_OF_MEMORY,
        ),
        (RuntimeError("CUDA out of memory. Tried to allocate"), MeasurementStatus.OUT_OF_MEMORY),
        (MemoryError(), MeasurementStatus.OUT_OF_MEMORY),
        (ValueError("out of range"), MeasurementStatus.FAILED),
    ],
)
def test_errors_are_told_apart(error, status):
    assert error_outcome(error)[0] == status


def test_a_workers_death_is_found_in_the_cause_too():
    outer = RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly")
    outer.__cause__ = RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")
    assert error_outcome(outer)[0] == MeasurementStatus.OUT_OF_MEMORY


def test_the_least_exit_code_of_a_failed_worker_is_told(monkeypatch):
    for codes, told in (({0, 1}, "1"), ({0, 2, 7}, "2"), ({0}, None), ({-15}, None)):
        monkeypatch.setattr(outcome, "_exit_codes_of_workers", lambda _error, codes=codes: codes)
        text = error_outcome(EOFError())[1]
        assert ("exit code" in text, f"(with exit code {told}:" in text) == (told is not None,) * 2, (codes, text)


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (ValueError("out of range"), False),
        (ConnectionResetError("by peer"), True),
        (EOFError(), True),
        (RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly"), True),
        (OSError("Caught OSError in DataLoader worker process 0.\nOriginal Traceback: no such file"), False),
    ],
)
def test_workers_are_asked_how_they_ended_only_where_one_may_have(monkeypatch, error, asked):
    """What a sample raised in a worker is an error of the sample, whoever has ended meanwhile."""
    monkeypatch.setattr(outcome, "_exit_codes_of_workers", lambda _error: {3})
    assert ("with exit code 3" in error_outcome(error)[1]) == asked


def test_of_a_workers_traceback_only_the_error_is_told():
    text = (
        'Caught ValueError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n  File "x"\n'
    )
    assert error_outcome(ValueError(f"{text}ValueError: sample 3 is broken\n"))[1] == "ValueError: sample 3 is broken"


def test_an_unusual_end_has_its_signal_named():
    assert exit_outcome(-11) == (MeasurementStatus.FAILED, "the measuring process was ended by SIGSEGV")


class DeadLoader:
    """As PyTorch's iterator: a worker goes while a batch is awaited, and the error does not say how."""

    def __init__(self, how, error):
        context = multiprocessing.get_context("spawn")
        self.how, self.error = how, error
        self._workers = [context.Process(target=time.sleep, args=(60,), daemon=True) for _ in range(2)]
        for worker in self._workers:
            worker.start()

    def __next__(self):
        os.kill(self._workers[1].pid, self.how)
        raise self.error("DataLoader worker (pid(s) 12) exited unexpectedly")

    def close(self):
        for worker in self._workers:
            worker.kill()
            worker.join()


@pytest.mark.parametrize("error", [RuntimeError, EOFError])
@pytest.mark.parametrize(
    ("how", "status"),
    [
        (signal.SIGBUS, MeasurementStatus.BUS_ERROR),
        (signal.SIGKILL, MeasurementStatus.OUT_OF_MEMORY),
        (signal.SIGTERM, MeasurementStatus.FAILED),
    ],
)
def test_a_worker_that_has_gone_is_asked_how(how, status, error):
    with closing(DeadLoader(how, error)) as loader:
        with pytest.raises(error) as caught:
            next(loader)
        assert error_outcome(caught.value)[0] == status
