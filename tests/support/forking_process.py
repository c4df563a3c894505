"""The process that `tests.support.commands` forks commands from: it has posebench's libraries loaded, and one thread.

Serves requests on the socket that is its standard input, a JSON document each, with the command's stdin, stdout and
stderr attached; answers with the process id, and later, when asked, with how that process has ended.
"""

import atexit
import fcntl
import gc
import json
import os
import signal
import socket
import sys
import termios
import threading
import traceback
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

MOMENT_VARIABLE = "KILLED_MOMENT"
if __name__ == "__mp_main__" and MOMENT_VARIABLE in os.environ:
    from tests.support.killed_moment import Moment

    Moment.from_json(os.environ[MOMENT_VARIABLE]).arm(in_worker=True)  # spawned workers run this file too

LENGTH = 1 << 20
"""Bytes of a request, at most."""


def load() -> dict[str, str]:
    """Import what commands import; returns the variables that this has set, which the commands need too."""
    before = dict(os.environ)
    import PIL.Image
    import sqlalchemy.orm

    import tests.support.valley  # noqa: F401

    sqlalchemy.orm.configure_mappers()
    PIL.Image.init()
    return {name: value for name, value in os.environ.items() if before.get(name) != value}


def main() -> None:
    """Serve until the other end closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the tests
    server = socket.socket(fileno=os.dup(0))
    own = load()
    ended: dict[int, int] = {}
    gc.collect()
    gc.freeze()  # pages that no collection touches stay shared
    while True:
        data, descriptors, _, _ = socket.recv_fds(server, LENGTH, 3)
        if not data:
            return
        asked = json.loads(data)
        if "poll" in asked:
            server.send(json.dumps({"code": _code(asked["poll"], ended)}).encode())
            continue
        child = os.fork()
        if child == 0:
            server.close()
            run(asked, descriptors, own)
        for descriptor in descriptors:
            os.close(descriptor)
        server.send(json.dumps({"pid": child}).encode())


def _code(child: int, ended: dict[int, int]) -> int | None:
    """How a child ended, as `subprocess` has it; None while it runs."""
    if child not in ended:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            ended[child] = os.waitstatus_to_exitcode(status)
    return ended.get(child)


def run(asked: dict, descriptors: list[int], own: dict[str, str]) -> None:
    """Run the command in this process, which ends with it."""
    from bench.cli.app import main as posebench

    if asked["new_session"]:
        os.setsid()
    for ours, descriptor in enumerate(descriptors):
        os.dup2(descriptor, ours)
    for descriptor in {*descriptors} - {0, 1, 2}:
        os.close(descriptor)
    if os.isatty(0):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # its Ctrl-C is for this session
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update({**own, **asked["environment"]})
    sys.argv = ["posebench", *asked["arguments"]]
    if MOMENT_VARIABLE in os.environ:
        from tests.support.killed_moment import Moment

        Moment.from_json(os.environ[MOMENT_VARIABLE]).arm()
    try:
        posebench()
    except SystemExit as end:
        leave(end.code)
    except BaseException:
        traceback.print_exc()
        leave(1)


def leave(code: object) -> None:
    """End this process as the interpreter would, but for taking all its modules apart."""
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # a pipe that nobody reads any more
            stream.flush()
    os._exit(code if isinstance(code, int) else code is not None)


if __name__ == "__main__":
    main()
