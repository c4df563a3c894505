"""Locks by path: one process at a time, nothing left behind, whatever ends a process and whoever waits."""

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from bench.storage import locks
from bench.storage.locks import path_lock
from posemodel.errors import SettingsError

fcntl = pytest.importorskip("fcntl", reason="lock files are removed by the system's own rules elsewhere")

CONTEXT = multiprocessing.get_context("fork")
PROCESSES, ROUNDS = 8, 150
HOLDER = """
import sys, time
from pathlib import Path
from bench.storage.locks import path_lock
with path_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """A folder for temporary files of the test's own, for processes that it starts, too."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(locks, "_swept", set())
    return folder


def count_up(path, rounds, together):
    together.wait()
    for _ in range(rounds):
        with path_lock(path):
            file = path / "count"
            file.write_text(str(int(file.read_text()) + 1))


def start(path, rounds, processes):
    (path / "count").write_text("0")
    together = CONTEXT.Barrier(processes)
    started = [CONTEXT.Process(target=count_up, args=(path, rounds, together)) for _ in range(processes)]
    for process in started:
        process.start()
    return started


@pytest.fixture
def holder():
    """A process that holds the lock of a path until it is killed."""
    started = []

    def hold(path):
        process = subprocess.Popen([sys.executable, "-c", HOLDER, path], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_many_processes_take_turns_and_leave_no_file(hermetic, temporary):
    """Each removes the file that others wait for: one that took an unlinked file for the lock would lose a count."""
    for process in (started := start(hermetic, ROUNDS, PROCESSES)):
        process.join()
    assert [process.exitcode for process in started] == [0] * PROCESSES
    assert (hermetic / "count").read_text() == str(ROUNDS * PROCESSES)
    assert list(temporary.iterdir()) == []


def test_a_killed_process_s_lock_is_free_and_its_file_goes(hermetic, temporary, holder):
    killed = holder(hermetic)
    assert len(list(temporary.iterdir())) == 1
    killed.kill()
    killed.wait()
    assert len(list(temporary.iterdir())) == 1
    with path_lock(hermetic):
        assert len(list(temporary.iterdir())) == 1
    assert list(temporary.iterdir()) == []


def test_leftovers_go_and_held_files_stay(hermetic, temporary, holder):
    """Of killed processes and of earlier versions; looked for once in a process."""
    kept = [temporary / "posebench-of-mine.lock", temporary / "other-0123456789abcdef.lock"]
    left = [temporary / f"posebench-{number:016x}.lock" for number in range(300)]
    for file in (*kept, *left):
        file.touch()
    locks._swept.clear()
    holder(hermetic / "elsewhere")  # it has removed them, too
    (held,) = {*temporary.iterdir()} - {*kept}
    for file in left:
        file.touch()
    with path_lock(hermetic):
        pass
    assert {*temporary.iterdir()} == {*kept, held}


def test_a_file_that_was_removed_under_its_holder_is_not_taken_from_the_next_one(hermetic, temporary):
    """A cleaner of old temporary files, for instance, comes by while a study is in the block."""
    with path_lock(hermetic):
        (file,) = temporary.iterdir()
        file.unlink()
        file.touch()  # somebody else's by now
    assert list(temporary.iterdir()) == [file]


def test_an_error_in_the_block_frees_the_lock(hermetic, temporary):
    with pytest.raises(KeyError), path_lock(hermetic):
        raise KeyError
    with path_lock(hermetic):
        pass
    assert list(temporary.iterdir()) == []


def test_children_that_live_on_do_not_keep_the_lock(hermetic, temporary):
    """A forked process has the file open too, and may be a data loader's that ends later."""
    go_on = CONTEXT.Event()
    with path_lock(hermetic):
        child = CONTEXT.Process(target=go_on.wait)
        child.start()
    try:
        with path_lock(hermetic):
            assert len(list(temporary.iterdir())) == 1
    finally:
        go_on.set()
        child.join()
    assert list(temporary.iterdir()) == []


def test_who_waits_can_be_interrupted(hermetic, temporary, holder):
    holder(hermetic)
    program = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n{HOLDER}"
    waiting = subprocess.Popen(
        [sys.executable, "-c", program, hermetic], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    (file,) = temporary.iterdir()
    while file not in map(Path, (each.path for each in psutil.Process(waiting.pid).open_files())):
        assert waiting.poll() is None
    waiting.send_signal(signal.SIGINT)
    _, error = waiting.communicate(timeout=60)
    assert "KeyboardInterrupt" in error


def test_a_link_in_the_place_of_the_file_is_not_followed(hermetic, temporary, tmp_path):
    with path_lock(hermetic):
        (file,) = temporary.iterdir()
    file.symlink_to(tmp_path / "target")
    with pytest.raises(SettingsError, match=rf"{file}: this lock cannot be used"), path_lock(hermetic):
        pass
    assert not (tmp_path / "target").exists()


def test_without_a_folder_for_temporary_files_the_remedy_is_told(hermetic, monkeypatch):
    def none():
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    with (
        pytest.raises(SettingsError, match=r"TMPDIR: no folder for temporary files .* Set TMPDIR"),
        path_lock(hermetic),
    ):
        pass


def test_another_user_may_lock_it_too(hermetic, temporary):
    before = os.umask(0o077)
    try:
        with path_lock(hermetic):
            (file,) = temporary.iterdir()
            assert file.stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(before)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be another user")
def test_another_user_s_file_is_locked_and_left_to_its_owner(hermetic, temporary):
    """In a folder for temporary files of all users: there each can remove only their own."""
    temporary.chmod(0o1777)
    for folder in (temporary, *temporary.parents):
        if folder.stat().st_mode & 0o001 == 0:
            folder.chmod(folder.stat().st_mode | 0o011)
    with path_lock(hermetic):
        (file,) = temporary.iterdir()
    file.touch()  # as a killed process leaves it

    def as_another():
        os.setgid(54321)
        os.setuid(54321)
        with path_lock(hermetic):
            assert file.exists()

    child = CONTEXT.Process(target=as_another)
    child.start()
    child.join()
    assert child.exitcode == 0
    assert list(temporary.iterdir()) == [file]
    with path_lock(hermetic):
        pass
    assert list(temporary.iterdir()) == []
