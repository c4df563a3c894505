"""The server ends with `posebench ui`, however that ends. A stand-in for it, with a process of its own, shows it."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.support.commands import ROOT
from tests.support.long_tests import long

STAND_IN = """
import os, subprocess, sys, threading, time
from bench.cli import mlflow_server
mlflow_server.GRACE_S = 1.0
told = threading.Event()
mlflow_server.end_with_parent(told.set)
helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with open("pids.part", "w") as file:
    file.write(f"{os.getpid()} {helper.pid}")
os.rename("pids.part", "pids")
%s
"""
SERVE = "import sys; from bench.cli.ui import _serve; sys.exit(_serve([sys.executable, 'stand_in.py']))"
SLEEP, WAIT_TO_BE_TOLD = "time.sleep(600)", "told.wait()"
WAIT_S = 300


@pytest.fixture
def serve(tmp_path):
    """Starts `posebench ui`'s part that serves, over the stand-in; gives it and the processes that it started."""
    started = []

    def start(end=SLEEP):
        (tmp_path / "stand_in.py").write_text(STAND_IN % end)
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell ignores it
        try:
            here = os.environ | {"PYTHONPATH": str(ROOT)}
            ours = subprocess.Popen(
                [sys.executable, "-c", SERVE], cwd=tmp_path, env=here, stderr=subprocess.PIPE, text=True
            )
        finally:
            signal.signal(signal.SIGINT, before)
        started.append(ours)
        deadline = time.monotonic() + WAIT_S
        while not (tmp_path / "pids").exists():
            assert ours.poll() is None, ours.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        theirs = [psutil.Process(int(pid)) for pid in (tmp_path / "pids").read_text().split()]
        started.extend(theirs)
        return ours, theirs

    yield start
    for process in started:
        if process.is_running() if isinstance(process, psutil.Process) else process.poll() is None:
            process.kill()


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("sign", "end"),
    [
        (signal.SIGTERM, WAIT_TO_BE_TOLD),
        (signal.SIGKILL, SLEEP),
        long(signal.SIGTERM, SLEEP),
        long(signal.SIGINT, SLEEP),
        long(signal.SIGINT, WAIT_TO_BE_TOLD),
        long(signal.SIGKILL, WAIT_TO_BE_TOLD),
    ],
    ids=lambda each: each.name if isinstance(each, signal.Signals) else {SLEEP: "deaf"}.get(each, "obeys"),
)
def test_the_server_ends_with_the_command(serve, sign, end):
    """Whether it does what it is told or not, and with what it has started."""
    ours, theirs = serve(end)
    ours.send_signal(sign)
    code = ours.wait(WAIT_S)
    _, alive = psutil.wait_procs(theirs, timeout=WAIT_S)
    assert alive == []
    assert code == (-signal.SIGKILL if sign == signal.SIGKILL else 0)
    assert ours.stderr.read() == ""


def test_the_command_ends_with_the_server_and_says_how(serve, tmp_path):
    ours, theirs = serve("while not os.path.exists('go'): time.sleep(0.02)\nhelper.kill(); sys.exit(7)")
    (tmp_path / "go").touch()
    assert ours.wait(WAIT_S) == 7
    assert psutil.wait_procs(theirs, timeout=WAIT_S)[1] == []
