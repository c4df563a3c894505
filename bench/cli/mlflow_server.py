"""Child process of `posebench ui` that serves MLflow and the study pages, and never outlives its parent.

It ends when its standard input closes: on every system that pipe closes when the parent dies, even by SIGKILL.
"""

import importlib
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil

from bench.storage.masking import mask_errors

GRACE_S = 5.0
"""Seconds that the server has to end by itself before it is killed."""


def end_with_parent(stop: Callable[[], None]) -> None:
    """Watch standard input in a thread: when it closes, call ``stop`` and exit after at most `GRACE_S` seconds."""
    threading.Thread(target=_wait_for_parent, args=(stop,), daemon=True).start()


def _wait_for_parent(stop: Callable[[], None]) -> None:
    while os.read(0, 1):  # blocks until the pipe closes, without locking sys.stdin
        pass
    deadline = time.monotonic() + GRACE_S
    children = psutil.Process().children(recursive=True)  # MLflow may have started some
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.terminate()
    stop()
    for child in psutil.wait_procs(children, timeout=GRACE_S)[1]:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    time.sleep(max(deadline - time.monotonic(), 0.0))
    os._exit(0)


def serve(port: int) -> None:
    """Serve on this port until standard input closes, with the stores that the environment names."""
    servers: list[Any] = []

    def stop() -> None:
        if not servers:
            os._exit(0)
        servers[0].should_exit = True

    end_with_parent(stop)
    # Imported last: it takes seconds, during which the parent may end.
    servers.append(importlib.import_module("bench.cli.pages.serving").make_server(port))
    servers[0].run()


def main() -> None:
    """Serve on the port given as the first argument."""
    mask_errors()
    here = os.getcwd()  # noqa: PTH109 (sys.path holds text)
    sys.path.append(here)  # last: studies may name classes of the working folder, but none may hide a library
    serve(int(sys.argv[1]))


if __name__ == "__main__":
    main()
