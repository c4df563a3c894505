"""A program `posebench` for shell scripts that tests run: the command is forked, as by `tests.support.commands`.

The program is a small process: it has the test's process start the command with its own arguments, folder, environment
and streams, passes on the signals that it gets, and ends as the command does. Killed, it takes the command with it.
"""

import json
import os
import select
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.commands import COMMANDS, ForkedProcess

LENGTH = 1 << 18
"""Bytes of a request, at most."""
LOOK_S = 0.02
"""Seconds between two looks at a command."""
PROGRAM = """#!{python} -IS
import json, os, signal, socket, sys

asked = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
asked.connect({address!r})
early = []
handle = lambda number, _frame: early.append(number) if pid is None else os.kill(pid, number)
pid = None
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(number) is not signal.SIG_IGN:
        signal.signal(number, handle)
request = {{"arguments": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)}}
socket.send_fds(asked, [json.dumps(request).encode()], [0, 1, 2])
pid = int(asked.recv(100))
for number in early:
    os.kill(pid, number)
code = int(asked.recv(100))
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


@contextmanager
def forked_program() -> Iterator[Path]:
    """A folder for a script's PATH with the program in it; at the end all that it has started are killed."""
    folder = Path(tempfile.mkdtemp(prefix="posebench-"))  # a socket's address has 100 letters at most
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    started: list[ForkedProcess] = []
    try:
        listener.bind(str(folder / "socket"))
        listener.listen(16)
        program = folder / "posebench"
        program.write_text(PROGRAM.format(python=sys.executable, address=str(folder / "socket")))
        program.chmod(0o755)
        threading.Thread(target=_serve, args=(listener, started), daemon=True).start()
        yield folder
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # ends `accept`
        listener.close()
        for process in started:
            process.kill()
            process.wait()
        shutil.rmtree(folder)


def _serve(listener: socket.socket, started: list[ForkedProcess]) -> None:
    """Start a command for each that connects."""
    while True:
        try:
            asking, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_serve_one, args=(asking, started), daemon=True).start()


def _serve_one(asking: socket.socket, started: list[ForkedProcess]) -> None:
    """Start a command, and say how it ends."""
    with asking:
        data, descriptors, _, _ = socket.recv_fds(asking, LENGTH, 3)
        asked = json.loads(data)
        stdin, stdout, stderr = descriptors
        process = COMMANDS.start(
            asked["arguments"],
            folder=Path(asked["folder"]),
            environment=asked["environment"],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
        )
        started.append(process)
        for descriptor in descriptors:
            os.close(descriptor)
        asking.send(str(process.pid).encode())
        while process.poll() is None:
            readable, _, _ = select.select([asking], [], [], LOOK_S)
            if readable:  # nothing more is asked: the program has been killed
                process.kill()
        with suppress(OSError):
            asking.send(str(process.wait()).encode())
