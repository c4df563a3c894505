"""Run `posebench` commands as separate processes, forked from one that has the libraries loaded to save seconds each.

All processes of a run of tests fork their commands from the same one.

A command is a real process, with its own working directory, environment, streams, signals and exit; only the imports,
seconds of each, are shared. The start itself (that a command imports what it needs, and how long that takes) is tested
with the installed program, once for each command.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from filelock import FileLock

PROGRAM = Path(__file__).with_name("forking_process.py")
ROOT = Path(__file__).resolve().parents[2]
POLL_S = 0.01
POSEBENCH = "bench.cli.app:main"


class ForkedProcess:
    """A running command, with what tests use of `subprocess.Popen`."""

    def __init__(self, commands: "Commands", pid: int) -> None:
        """Of a command that has just been started."""
        self._commands, self.pid = commands, pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, once there is one; of a process that a signal has ended, minus the signal's number."""
        if self.returncode is None:
            self.returncode = self._commands.ask({"poll": self.pid})["code"]
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code; TimeoutExpired where there is none after so many seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        if self.poll() is None and hasattr(os, "pidfd_open"):
            self._sleep(timeout)
        while self.poll() is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("posebench", timeout or 0.0)
            time.sleep(POLL_S)
        assert self.returncode is not None
        return self.returncode

    def _sleep(self, timeout: float | None) -> None:
        """Wait until it has ended, or for so many seconds, without asking again and again."""
        ended = os.pidfd_open(self.pid)
        try:
            line = select.poll()
            line.register(ended, select.POLLIN)
            line.poll(None if timeout is None else 1000 * timeout)
        finally:
            os.close(ended)

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


class Commands:
    """The process that commands are forked from; started at the first one."""

    def __init__(self, prefix: Iterable[str] = (), environment: Mapping[str, str] | None = None) -> None:
        """Nothing is started yet.

        ``prefix``: words of a command that runs another one, as another user for instance. ``environment``: that in
        which libraries are loaded; None: this process's, without settings of ours.
        """
        self._prefix, self._environment = list(prefix), environment
        self._process: subprocess.Popen[bytes] | None = None
        """Held, so that Python does not warn of one that still runs; it ends by itself."""
        self._path: Path | None = None
        """Of the socket, if this object has started the process."""
        self._socket: socket.socket | None = None
        self._one_at_a_time = threading.Lock()

    def start(
        self,
        arguments: Iterable[Any],
        *,
        folder: Path,
        environment: Mapping[str, str],
        stdin: IO[Any] | int,
        stdout: IO[Any] | int,
        stderr: IO[Any] | int,
        new_session: bool = True,
        program: str = POSEBENCH,
        hurried: bool = True,
    ) -> ForkedProcess:
        """Start `posebench ARGUMENTS` in a folder, or another ``program``: `module:function`.

        ``hurried``: with what saves commands time that is not their own (`forking_process.hurry`).
        """
        descriptors = [each if isinstance(each, int) else each.fileno() for each in (stdin, stdout, stderr)]
        request = {
            "arguments": [str(each) for each in arguments],
            "folder": str(folder),
            "environment": dict(environment),
            "new_session": new_session,
            "program": program,
            "hurried": hurried,
        }
        return ForkedProcess(self, self.ask(request, descriptors)["pid"])

    def run(
        self,
        arguments: Iterable[Any],
        *,
        folder: Path,
        environment: Mapping[str, str],
        timeout: float,
        program: str = POSEBENCH,
    ) -> "subprocess.CompletedProcess[str]":
        """Run `posebench ARGUMENTS`, or another ``program``, in a folder to its end.

        What it prints goes through files, so that none blocks.
        """
        with (
            tempfile.TemporaryFile("w+", encoding="utf-8") as out,
            tempfile.TemporaryFile("w+", encoding="utf-8") as err,
            Path(os.devnull).open() as nothing,
        ):
            process = self.start(
                arguments,
                folder=folder,
                environment=environment,
                stdin=nothing,
                stdout=out,
                stderr=err,
                program=program,
            )
            try:
                code = process.wait(timeout)
            finally:
                process.kill()
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess([program, *map(str, arguments)], code, out.read(), err.read())

    def ask(self, request: Mapping[str, Any], descriptors: Iterable[int] = ()) -> dict[str, Any]:
        """Send a request and return its answer; from any thread."""
        with self._one_at_a_time:
            return self._ask(request, descriptors)

    def _ask(self, request: Mapping[str, Any], descriptors: Iterable[int]) -> dict[str, Any]:
        if self._socket is None:
            # Named for the run of tests, or for this object, whose commands are another user's.
            name = os.environ.get("PYTEST_XDIST_TESTRUNUID") if self._environment is None else None
            path = Path(tempfile.gettempdir(), f"posebench-commands-{(name or uuid.uuid4().hex)[:16]}")
            with FileLock(f"{path}.lock"):
                self._socket = self._connected(path) or self._started(path)
        socket.send_fds(self._socket, [json.dumps(request).encode()], list(descriptors))
        answer = self._socket.recv(1 << 16)
        assert answer, "the process that commands are forked from has ended"
        found: dict[str, Any] = json.loads(answer)
        return found

    @staticmethod
    def _connected(path: Path) -> socket.socket | None:
        """The line to the process at a path, if there is one."""
        ours = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            ours.connect(str(path))
        except OSError:
            ours.close()
            return None
        return ours

    def _started(self, path: Path) -> socket.socket:
        """The line to a new process at a path."""
        environment = self._environment
        if environment is None:  # as places have it: see `tests.support.place`
            environment = {k: v for k, v in os.environ.items() if not k.startswith(("POSEBENCH_", "MLFLOW_"))}
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(str(path))
            listener.listen()
            self._process = subprocess.Popen(
                [*self._prefix, sys.executable, str(PROGRAM)],
                stdin=listener.fileno(),
                env={**environment, "OMP_NUM_THREADS": "1"},
                cwd=ROOT,
            )
            self._path = path
            connected = self._connected(path)
        assert connected is not None
        return connected

    def close(self) -> None:
        """Leave the process that commands are forked from, which ends when all have left."""
        if self._socket is not None:
            self._socket.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            Path(f"{self._path}.lock").unlink(missing_ok=True)


COMMANDS = Commands()
"""Of this process; `tests/conftest.py` closes it when the tests end."""
