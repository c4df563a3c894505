"""Run a study in a separate process: wait for a state, read its ledger, and end the process when the test ends."""

import contextlib
import os
import pty
import signal
import time

from bench.ledger.reader import RUNNING, read_studies
from tests.support.commands import COMMANDS

DEADLINE_S = 600
POLL_S = 0.05
"""Seconds between two looks; more where a look takes long, as one at a ledger on a busy machine."""


def output(place):
    return (place.folder / "output.txt").read_text()


@contextlib.contextmanager
def ended(process):
    """Whatever a test finds, nothing that it started lives on."""
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(state, process, place):
    """Wait until ``state()`` is true; the process must live until then."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        began = time.thread_time()
        if state():
            return
        assert process.poll() is None, output(place)
        assert time.monotonic() < deadline, output(place)
        time.sleep(max(POLL_S, 4 * (time.thread_time() - began)))


def holding(place, workers):
    """Whether so many workers are in the middle of a trial: RUNNING is a trial before it has an owner and a run."""
    if place.run_states().get("RUNNING", 0) != workers + 1:  # asked first: it takes a hundredth of the other look
        return False
    held = entries(place, RUNNING)
    return len(held) == workers and all(entry.pid for entry in held)


def entries(place, *states):
    """The ledger's trials in one of these states."""
    file = place.folder / "optuna.db"
    if not file.exists() or not file.stat().st_size:
        return []
    studies = read_studies(f"sqlite:///{file}")
    return [entry for study in studies.values() for entry in study.entries if entry.state in states]


class OnTerminal:
    """The command on a terminal of its own, 80 x 30; what it shows is kept in output.txt."""

    def __init__(self, place, *arguments):
        self.kept = place.folder / "output.txt"
        self.terminal, own = pty.openpty()
        self.process = COMMANDS.start(
            arguments,
            folder=place.folder,
            environment=place.environment | {"TERM": "xterm", "COLUMNS": "80", "LINES": "30"},
            stdin=own,
            stdout=own,
            stderr=own,
        )
        os.close(own)
        os.set_blocking(self.terminal, False)

    @property
    def pid(self):
        return self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self.terminal)

    def type(self, keys):
        os.write(self.terminal, keys)

    def poll(self):
        """Read along, else the process would wait for its terminal; the exit code, once there is one."""
        code = self.process.poll()
        with contextlib.suppress(OSError), self.kept.open("ab") as kept:  # nothing more now, or ever
            while data := os.read(self.terminal, 65536):
                kept.write(data)
        return code

    def wait(self):
        deadline = time.monotonic() + DEADLINE_S
        while self.poll() is None:
            assert time.monotonic() < deadline, self.kept.read_text()
            time.sleep(0.02)
        return self.process.returncode
