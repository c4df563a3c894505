"""A process on each node of a cluster that forks those which train: libraries are loaded once for all of them.

Started by the first place on a node (`bench.engines.cluster.place`), it belongs to none of Ray's processes: when a
place or the whole node's Ray ends, its training process notices at once and can still save its trial. One that does not
end by itself then is killed after some time.
"""

import importlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path

from filelock import FileLock

SERVING = "bench.engines.cluster.serving"
"""Module that is loaded before the first fork, and that a forked process runs."""
SOCKET = "nursery.sock"
POLL_S = 0.5
IDLE_S = 60.0
"""Seconds without a connection after which it ends, if no place has ever asked it for a process."""
START_S = 60.0
"""Longest time until a new one listens, in seconds."""
HOLD, FORK, LOOK = b"H", b"F", b"L"
"""First byte of a connection: the other side needs this process for as long as it is open; a process is wanted, and two
bytes with the seconds of its grace follow; it is only asked whether this one lives."""
LOCK, PRINTED = "start.lock", "nursery.txt"
"""Files beside the socket: held while somebody begins to hold this process, or it ends; what the processes of a node
print."""
OLD_S = 3600.0
"""Age of a folder, in seconds, from which on it is looked at whether its nursery still lives."""
LONGEST_PATH = 100
"""Longest path of a socket in bytes; systems take some more."""
LAST_BYTES = 1500
"""Largest part of what has been printed that is shown."""


def folder_of(session: str) -> Path:
    """Return the folder of this user's nursery for one study process on this node; only this user can enter it."""
    folder = Path(tempfile.gettempdir()) / f"posebench-{os.getuid()}-{session}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def hold(session: str) -> socket.socket:
    """Return a connection that keeps this node's nursery alive; it is started if there is none."""
    while True:
        folder = folder_of(session)
        with suppress(FileNotFoundError), FileLock(folder / LOCK):  # one that ends has taken its folder away
            with suppress(OSError):
                return _connect(folder, HOLD)
            _start(folder)
            return _connect(folder, HOLD)


def _start(folder: Path) -> None:
    sweep()
    (folder / SOCKET).unlink(missing_ok=True)
    with (folder / PRINTED).open("a") as said:
        command = [sys.executable, "-m", __name__, str(folder)]
        # It forks once more and ends: Ray kills the children of its own processes.
        subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said, check=True, timeout=START_S
        )


def sweep() -> None:
    """Remove what nurseries have left that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"posebench-{os.getuid()}-*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime < OLD_S:
                continue
            try:
                _connect(folder, LOOK).close()
            except OSError:
                shutil.rmtree(folder, ignore_errors=True)


def printed(session: str) -> int:
    """Return the number of bytes that the processes of this node have printed."""
    file = folder_of(session) / PRINTED
    return file.stat().st_size if file.exists() else 0


def printed_since(session: str, position: int) -> str:
    """Return the last lines that they have printed since they had printed so many bytes."""
    with suppress(OSError), (folder_of(session) / PRINTED).open("rb") as file:
        file.seek(max(position, file.seek(0, os.SEEK_END) - LAST_BYTES))
        return file.read().decode(errors="replace").strip()
    return ""


def new_process(session: str, *, fresh: bool, folder: Path, grace_s: float) -> Connection:
    """Return the connection to a new training process, with this process's environment.

    Args:
        session: Id of the study's process.
        fresh: Start Python anew instead of forking, as CUDA wants it.
        folder: Its working folder.
        grace_s: Seconds that it has to end after the connection is closed, before it is killed.
    """
    connection = Connection(_connect(folder_of(session), FORK + int(grace_s).to_bytes(2)).detach())
    # What was sent comes before the folder of the study's own process, which is here too if this is its machine.
    connection.send((dict(os.environ), [str(folder), *sys.path], str(folder), fresh))
    return connection


def main(folder: Path) -> None:
    """Listen in a folder, in a process of a session of its own."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _socket_path(folder) as path:
        listener.bind(path)
    listener.listen(1024)
    if os.fork():
        os._exit(0)
    os.setsid()
    # What it forks uses CUDA; a library that looks for GPUs while it is imported must not do so here.
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    importlib.import_module(SERVING).load_libraries()
    nursery, gone = _Nursery(listener), folder.with_name(f"{folder.name}-ended")
    while folder.exists():
        nursery.run()
        with FileLock(folder / LOCK):  # nobody begins to hold it meanwhile
            if not nursery.is_called():
                folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


class _Child:
    """A process that was forked, with this process's copy of its connection: open until the process has ended."""

    def __init__(self, pid: int, client: socket.socket, grace_s: int) -> None:
        self.pid, self.client, self.grace_s = pid, client, grace_s
        self._closing = select.poll()
        self._closing.register(client, 0)  # tells alone that the other side is closed, and reads nothing
        self._closed_at: float | None = None

    def kill_if_late(self) -> None:
        """Kill it if its place has ended, and it has not, for longer than it may."""
        if self._closed_at is None and self._closing.poll(0):
            self._closed_at = time.monotonic()
        if self._closed_at is not None and time.monotonic() - self._closed_at > self.grace_s:
            os.kill(self.pid, signal.SIGKILL)  # it is this process's child until `waitpid` has told its end


class _Nursery:
    """The loop of the process."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self._holds: list[socket.socket] = []
        self._children: dict[int, _Child] = {}
        self._held = False
        self._used_at = time.monotonic()

    def run(self) -> None:
        """Serve until nobody holds it, and the processes that it has forked have ended."""
        while self._holds or self._children or (not self._held and time.monotonic() - self._used_at < IDLE_S):
            ready, _, _ = select.select([self.listener, *self._holds], [], [], POLL_S)
            for each in ready:
                if each is self.listener:
                    self._serve(self.listener.accept()[0])
                else:
                    each.close()  # nobody sends anything: the other side has ended
                    self._holds.remove(each)
            for child in self._children.values():
                child.kill_if_late()
            with suppress(ChildProcessError):
                while pid := os.waitpid(-1, os.WNOHANG)[0]:
                    self._children.pop(pid).client.close()

    def is_called(self) -> bool:
        """Return whether somebody waits for an answer."""
        return bool(select.select([self.listener], [], [], 0)[0])

    def _serve(self, client: socket.socket) -> None:
        self._used_at = time.monotonic()
        kind = client.recv(1)
        if kind == HOLD:
            self._held = True
            self._holds.append(client)
            return
        grace = client.recv(2, socket.MSG_WAITALL) if kind == FORK else b""
        if len(grace) < 2:  # it has ended since
            client.close()
        elif pid := os.fork():
            self._children[pid] = _Child(pid, client, int.from_bytes(grace))
        else:
            self.listener.close()
            for each in (*self._holds, *(child.client for child in self._children.values())):
                each.close()
            with Connection(client.detach()) as connection:
                _become(connection)


def _become(connection: Connection) -> None:
    """Run as a training process, and end with it."""
    code = 1
    try:
        environment, path, folder, fresh = connection.recv()
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        if fresh:
            os.set_inheritable(connection.fileno(), True)
            os.execv(sys.executable, [sys.executable, "-m", SERVING, str(connection.fileno()), *path])
        add_to_path(path)
        code = importlib.import_module(SERVING).serve(connection)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def add_to_path(path: Sequence[str]) -> None:
    """Make modules importable that the asking process can import, after what is importable already: none hides a
    library."""
    sys.path += [each for each in path if each and each not in sys.path]


@contextmanager
def _socket_path(folder: Path) -> Iterator[str]:
    """Yield a path of a folder's socket that is short enough for the system, where that is possible."""
    path = str(folder / SOCKET)
    if len(os.fsencode(path)) <= LONGEST_PATH or not Path("/proc/self/fd").is_dir():
        yield path
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)


def _connect(folder: Path, first: bytes) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _socket_path(folder) as path:
            client.connect(path)
        client.sendall(first)
    except BaseException:
        client.close()
        raise
    return client


if __name__ == "__main__":
    main(Path(sys.argv[1]))
