"""Real servers that a test kills and starts again: a PostgreSQL of `postgres_server`, and `mlflow server`."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import psutil
import requests

from tests.support.commands import COMMANDS, ForkedProcess
from tests.support.postgres import USER, _program

WAIT_S = 300


def free_port() -> int:
    """A port at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(true, what: str) -> None:
    """Wait for a state."""
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {WAIT_S} s"
        time.sleep(0.05)


class Postgres:
    """A running PostgreSQL, found by its port."""

    def __init__(self, address: str) -> None:
        """``address``: `host:port`, as `postgres_server` yields it."""
        self.address, self.port = address, address.rpartition(":")[2]
        self._server = self._postmaster()
        self._command, self._user = self._server.cmdline(), self._server.username()

    def url(self, database: str) -> str:
        """For SQLAlchemy."""
        return f"postgresql+psycopg://{USER}@{self.address}/{database}"

    def kill(self) -> None:
        """End it as a machine that fails does; its connections are lost."""
        processes = [self._server, *self._server.children(recursive=True)]
        self._server.send_signal(signal.SIGKILL)
        until(lambda: not any(map(_lives, processes)), "the end of PostgreSQL")

    def start(self) -> None:
        """Start it again; it recovers first."""
        # Both name the ended process, whose id is in use for as long as nobody has waited for it.
        for lock in (self._folder / "postmaster.pid", self._folder.parent / f".s.PGSQL.{self.port}.lock"):
            lock.unlink(missing_ok=True)
        options = " ".join(self._command[self._command.index("-D") + 2 :])
        as_user = ["runuser", "-u", self._user, "--"] if os.geteuid() == 0 else []
        start = [
            _program("pg_ctl"),
            "-D",
            str(self._folder),
            "-w",
            "-l",
            str(self._folder.parent / "log"),
            "-o",
            options,
            "start",
        ]
        subprocess.run([*as_user, *start], check=True, capture_output=True, cwd="/")
        self._server = self._postmaster()

    def rows(self, database: str, sql: str) -> list[tuple]:
        """What a query finds."""
        import psycopg

        with psycopg.connect(f"postgresql://{USER}@{self.address}/{database}") as connection:
            return connection.execute(sql).fetchall()

    @property
    def _folder(self) -> Path:
        return Path(self._command[self._command.index("-D") + 1])

    def _postmaster(self) -> psutil.Process:
        for process in psutil.process_iter(["cmdline"]):
            with suppress(psutil.Error):
                command = process.info["cmdline"] or []
                if command and Path(command[0]).name == "postgres" and "-p" in command and self.port in command:
                    return process
        raise AssertionError(f"no PostgreSQL listens at {self.port}")


def _lives(process: psutil.Process) -> bool:
    """Whether it runs; one that has ended keeps its id until its parent has asked for its exit code."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class MlflowServer:
    """`mlflow server --serve-artifacts` with one worker, on a free port of its own that it keeps."""

    def __init__(self, backend: str, folder: Path) -> None:
        """``backend``: database of its records; ``folder``: that of its artifacts and its log."""
        self.port, self.folder, self.backend = free_port(), folder, backend
        self._process: subprocess.Popen | ForkedProcess | None = None

    @property
    def address(self) -> str:
        """For MLFLOW_TRACKING_URI."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        environment |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
        environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # eight processes that no study needs
        with (self.folder / "mlflow-server.log").open("a") as log:
            self._process = self._started(environment, log)
        until(self._answers, "the tracking server's first answer")

    def _started(self, environment: dict[str, str], log: IO[str]) -> "subprocess.Popen | ForkedProcess":
        command = [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)),
            *("--backend-store-uri", self.backend, "--serve-artifacts", "--workers", "1"),
            *("--artifacts-destination", str(self.folder / "artifacts")),
        ]
        return subprocess.Popen(
            command, cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )

    @property
    def runs(self) -> bool:
        """Whether it was started, and not killed since."""
        return self._process is not None

    def kill(self) -> None:
        """End it and its workers as a machine that fails does."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(WAIT_S)
            self._process = None

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "mlflow-server.log").read_text()[-3000:]
        try:
            return requests.get(f"{self.address}/health", timeout=5).status_code == requests.codes.ok
        except requests.RequestException:
            return False


class ForkedMlflowServer(MlflowServer):
    """The same, forked from a process that has its libraries loaded: see `tests.support.mlflow_process`."""

    def _started(self, environment: dict[str, str], log: IO[str]) -> ForkedProcess:
        with Path(os.devnull).open() as nothing:
            return COMMANDS.start(
                (self.backend, self.folder / "artifacts", self.port),
                folder=self.folder,
                environment=environment,
                stdin=nothing,
                stdout=log,
                stderr=log,
                program="tests.support.mlflow_process:main",
            )


@contextmanager
def mlflow_server(backend: str, folder: Path, *, forked: bool = False) -> Iterator[MlflowServer]:
    """A tracking server that ends with the block: as installed, or ``forked``, which starts in no time."""
    server = (ForkedMlflowServer if forked else MlflowServer)(backend, folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
