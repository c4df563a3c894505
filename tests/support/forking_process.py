"""The process that `tests.support.commands` forks commands from: single-threaded, with posebench's libraries loaded.

Its standard input is a listening socket: all processes of a run of tests ask one such process, since to load the
libraries takes seconds. A request is a JSON document, with the command's stdin, stdout and stderr attached; the answer
is the process id and, to a later request, the exit status of that process.

Processes that a command spawns would import their libraries again, which takes seconds. For the modules named in the
environment variable `FORKED_STARTS_VARIABLE`, they are forked instead from a copy of the command made before it began;
environment, working directory, streams, signals and exits are those of a spawned process. Tests that call such a module
themselves get the same with `forked_starts`.
"""

import atexit
import fcntl
import gc
import importlib
import json
import multiprocessing
import os
import pkgutil
import select
import signal
import socket
import sys
import termios
import threading
import traceback
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import connection, forkserver
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

MOMENT_VARIABLE = "KILLED_MOMENT"
if __name__ == "__mp_main__" and MOMENT_VARIABLE in os.environ:
    from tests.support.killed_moment import Moment

    Moment.from_json(os.environ[MOMENT_VARIABLE]).arm(in_worker=True)  # spawned workers run this file too

LENGTH = 1 << 20
"""Bytes of a request, at most."""
ALONE_S = 2
"""Seconds without anybody, after which it ends."""
DRAWN_VARIABLE = "FIGURES_DRAWN"
"""Set in a command's environment, its figures are rendered; else each file is an image of one pixel."""
DROPPING_VARIABLE = "SLICES_DROPPED"
"""Set in a command's environment, studies of loaders drop slices that other programs disturbed; else none."""
FORKED_STARTS_VARIABLE = "FORKED_STARTS"
"""Modules, with commas between them, whose spawned processes are forked."""
MEASURING = "bench.measure.loader.isolated"
"""The module that starts the processes in which loaders are measured."""
LATE = (
    "alembic.config",
    "mlflow.store.db.trace_analytics_backfill_75868b020152",
    "mlflow.store.tracking.sqlalchemy_workspace_store",
    "multiprocessing.popen_fork",
    "multiprocessing.popen_spawn_posix",
    "multiprocessing.sharedctypes",
    "pandas.core.methods.to_dict",
    "pandas.io.formats.csvs",
    "sqlalchemy.dialects.sqlite",
    "tests.support.unsynced",
    "tests.support.valley",
    "torch._dynamo",
)
"""Imported by commands on their way; one that a release of its library has moved is imported by the commands again."""

WITH_RAY = tuple(
    f"bench.engines.cluster.{name}"
    for name in ("connection", "crew", "listening", "nodes", "place", "places", "trials")
)
"""Import Ray, which most commands do without."""

WORKERS = ("bench.engines.processes", "bench.kinds.optimizers.kind", "bench.records.writer", "pytest", *LATE)
"""Imported by workers of studies, and by tests' own processes."""


def load() -> dict[str, str]:
    """Import what commands import; returns the variables that this has set, which the commands need too."""
    before = dict(os.environ)
    os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"  # pyarrow's allocator would start a thread
    import PIL.Image
    import sqlalchemy.orm

    import bench

    modules = [module.name for module in pkgutil.walk_packages(bench.__path__, "bench.")]
    modules = [name for name in modules if not name.endswith("__main__") and name not in WITH_RAY]
    for name in [*modules, *LATE]:
        with suppress(ImportError):
            importlib.import_module(name)
    from bench.storage import database_check
    from tests.support.migrations import remember_migrations

    remember_migrations(read_now=True)
    for tables in database_check._TABLES_OF.values():
        database_check._versions(tables.migrations)
    sqlalchemy.orm.configure_mappers()
    PIL.Image.init()
    for each in getattr(weakref.finalize, "_registry", {}):
        each.atexit = False  # PyTorch's libraries would be taken apart one by one at the end of each command
    return {name: value for name, value in os.environ.items() if before.get(name) != value}


def main() -> None:
    """Serve until nobody has been there for a while."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the tests
    listener = socket.socket(fileno=os.dup(0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own = load()
    ended: dict[int, int] = {}
    gc.collect()
    gc.freeze()  # pages that no collection touches stay shared
    clients: list[socket.socket] = []
    while True:
        ready, _, _ = select.select([listener, *clients], [], [], None if clients else ALONE_S)
        if not ready:
            return
        for client in ready:
            if client is listener:
                clients.append(listener.accept()[0])
                continue
            data, descriptors, _, _ = socket.recv_fds(client, LENGTH, 3)
            if not data:
                client.close()
                clients.remove(client)
                continue
            asked = json.loads(data)
            if "poll" in asked:
                client.send(json.dumps({"code": _code(asked["poll"], ended)}).encode())
                continue
            child = os.fork()
            if child == 0:
                for each in (listener, *clients):
                    each.close()
                run(asked, descriptors, own)
            for descriptor in descriptors:
                os.close(descriptor)
            client.send(json.dumps({"pid": child}).encode())


def _code(child: int, ended: dict[int, int]) -> int | None:
    """How a child ended, as `subprocess` has it; None while it runs."""
    if child not in ended:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            ended[child] = os.waitstatus_to_exitcode(status)
    return ended.get(child)


def run(asked: dict, descriptors: list[int], own: dict[str, str]) -> None:
    """Run the command, or another program, in this process, which ends with it."""
    module, _, function = asked["program"].partition(":")
    program = getattr(importlib.import_module(module), function)
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
    if encoding := os.environ.get("PYTHONIOENCODING"):
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(encoding=encoding)  # type: ignore[union-attr]
    sys.argv = ["posebench", *asked["arguments"]]
    if MOMENT_VARIABLE in os.environ:
        from tests.support.killed_moment import Moment

        Moment.from_json(os.environ[MOMENT_VARIABLE]).arm()
    if asked["hurried"]:
        hurry()
    if modules := os.environ.get(FORKED_STARTS_VARIABLE):
        start_forkserver()
        for module in modules.split(","):
            importlib.import_module(module).multiprocessing = Forking()
    try:
        program()
        leave(0)
    except SystemExit as end:
        leave(end.code)
    except BaseException:
        traceback.print_exc()
        leave(1)


def hurry() -> None:
    """Leave out what takes time and is not the command's own: waiting for the disk, drawing, measuring again."""
    _write_without_waiting()
    if DRAWN_VARIABLE not in os.environ:
        _draw_nothing()
    if DROPPING_VARIABLE not in os.environ:
        _keep_disturbed_slices()


def _write_without_waiting() -> None:
    """Databases and files leave it to the system when what is written reaches the disk.

    A killed process loses nothing by it.
    """
    import sqlalchemy

    from tests.support.unsynced import write_without_waiting

    os.fsync = lambda _descriptor: None
    sqlalchemy.event.listen(sqlalchemy.Engine, "connect", write_without_waiting)


def _keep_disturbed_slices() -> None:
    """A study of loaders drops no slice because of other programs: other tests are these, and it would have no result.

    That it does otherwise is tested on slices made by hand.
    """
    from bench.kinds.loaders.analysis import ratios

    ratios.DISTURBING_SHARE = 1.0


def _draw_nothing() -> None:
    """Figures are empty, and not rendered: that takes most of the time of a study of a second."""
    from matplotlib.figure import Figure

    from bench.report import findings_write
    from tests.support.empty_pictures import empty_figure, save_empty

    Figure.savefig = save_empty  # type: ignore[method-assign,assignment]
    findings_write.figure_of = empty_figure


class Forking:
    """The module `multiprocessing`, but that who asks it for spawned processes gets forked ones of a forkserver."""

    def __getattr__(self, name: str) -> Any:
        return getattr(multiprocessing, name)

    def get_context(self, method: str | None = None) -> Any:
        """As the module's, but for `spawn`."""
        return multiprocessing.get_context("forkserver" if method == "spawn" else method)


@contextmanager
def forked_starts(module: Any) -> Iterator[None]:
    """Fork the processes that a module would spawn, from the server that measuring processes are forked from.

    Their environment and stderr are those that this process had when it first did this, or when a worker of the tests
    was forked.
    """
    from bench.measure.loader import fork_server

    with patch.object(fork_server, "PRELOADED", (*fork_server.PRELOADED, *WORKERS)):
        fork_server.context()
    before, module.multiprocessing = module.multiprocessing, Forking()
    try:
        yield
    finally:
        module.multiprocessing = before


def start_forkserver() -> None:
    """Give multiprocessing a forkserver that is a copy of this process: its own would import everything again."""
    listener = socket.socket(socket.AF_UNIX)
    address = connection.arbitrary_address("AF_UNIX")
    listener.bind(address)
    listener.listen()
    alive, held = os.pipe()
    server = os.fork()
    if server == 0:
        os.close(held)
        if MOMENT_VARIABLE in os.environ:
            from tests.support.killed_moment import Moment

            Moment.from_json(os.environ[MOMENT_VARIABLE]).arm(in_worker=True)
        try:
            forkserver.main(listener.detach(), alive, None)
        finally:
            os._exit(0)  # when nobody holds the other end of `alive` any more
    listener.close()
    os.close(alive)
    ours = forkserver._forkserver
    ours._forkserver_address, ours._forkserver_alive_fd, ours._forkserver_pid = address, held, server


def leave(code: object) -> None:
    """End this process as the interpreter would, but for taking all its modules apart."""
    forkserver._forkserver._stop()  # where there is one
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # a pipe that nobody reads any more
            stream.flush()
    os._exit(code if isinstance(code, int) else code is not None)


if __name__ == "__main__":
    main()
