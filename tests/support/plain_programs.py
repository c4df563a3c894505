"""`python` and `posebench` for shell scripts of tests, forked from one process that has their libraries loaded.

`Programs.folder`, to be put first in PATH, contains both. Each run is a process of its own, with the working directory,
environment and streams of its caller; only the imports, which take seconds, are shared. `python` forks for text from
standard input, for `-c` and for the scripts in `examples/`; any other script, such as one that spawns processes, is run
by the real interpreter. tests/proofs/test_programs.py tests that all of this also works without shared imports.
"""

import atexit
import builtins
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import stat
import sys
import tempfile
import threading
import traceback
import types
import warnings
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from tests.support.commands import COMMANDS
from tests.support.forking_process import DRAWN_VARIABLE

REPOSITORY = Path(__file__).resolve().parents[2]
LENGTH = 1 << 20
"""Bytes of a request, at most."""
PROGRAMS = ("python", "posebench")
CALLER = """#!{python} -IS
import json, os, socket, sys
name, *arguments = [os.path.basename(sys.argv[0]), *sys.argv[1:]]
forked = name == "posebench" or not arguments or arguments[0] in ("-", "-c", "-W") or "/examples/" in arguments[0]
if not forked:
    os.execv({python!r}, [{python!r}, *arguments])
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.connect({address!r})
    request = {{"name": name, "arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}}
    socket.send_fds(server, [json.dumps(request).encode()], [0, 1, 2])
    answer = server.recv(16)
sys.exit(int(answer) if answer else name + " has ended without an exit code")
"""


class Programs(AbstractContextManager["Programs"]):
    """The programs, and the process that they are forked from, until the block ends."""

    def __enter__(self) -> "Programs":
        self._temporary = tempfile.TemporaryDirectory(prefix="programs-")
        self.folder = Path(self._temporary.name)
        address = self.folder / "socket"
        for name in PROGRAMS:
            program = self.folder / name
            program.write_text(CALLER.format(python=sys.executable, address=str(address)))
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("POSEBENCH_", "MLFLOW_", "PYTHON"))}
        stdin, self._held = os.pipe()
        reading, stdout = os.pipe()
        self._process = COMMANDS.start(
            (address,),
            folder=REPOSITORY,
            environment=kept | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY), DRAWN_VARIABLE: "1"},
            stdin=stdin,
            stdout=stdout,
            stderr=sys.__stderr__.fileno(),
            program="tests.support.plain_programs:main",
        )
        os.close(stdin)
        os.close(stdout)
        with os.fdopen(reading) as answers:
            assert answers.readline() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._held)  # the end of its standard input ends it
        self._process.wait()
        self._temporary.cleanup()


def main() -> None:
    """Serve at the socket that is the first argument, until standard input ends."""
    address = sys.argv[1]
    here = (str(REPOSITORY), str(Path(__file__).parent))  # the second is that of the process which it is forked from
    sys.path[:] = [str(REPOSITORY), *(each for each in sys.path if each not in here)]
    import cv2  # noqa: F401
    import PIL.Image
    import torch._dynamo  # noqa: F401 (the first optimizer imports it)

    import bench.cli.actions.train
    import bench.cli.app
    import bench.cli.train  # noqa: F401

    PIL.Image.init()
    own = {name: value for name, value in os.environ.items() if name not in (DRAWN_VARIABLE, "PYTHONPATH")}
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(address)
    listener.listen()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    gc.collect()
    gc.freeze()  # pages that no collection touches stay shared
    while listener in select.select([listener, sys.stdin], [], [])[0]:
        caller, _ = listener.accept()
        if os.fork():
            caller.close()
            continue
        listener.close()
        data, descriptors, _, _ = socket.recv_fds(caller, LENGTH, 3)
        _become(json.loads(data), descriptors, own)
        code = _run(json.loads(data))
        caller.send(str(code).encode())
        os._exit(code)


def _become(request: dict, descriptors: list[int], own: dict[str, str]) -> None:
    """Streams, folder, environment and signals of the caller."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for ours, descriptor in enumerate(descriptors):
        os.dup2(descriptor, ours)
        os.close(descriptor)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update({**own, **request["environment"]})
    importlib.invalidate_caches()


def _run(request: dict) -> int:
    """Run the program as its interpreter would, to its end; its exit code."""
    try:
        _start(request["name"], request["arguments"])
        code: object = 0
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # a pipe that nobody reads any more
            stream.flush()
    return code if isinstance(code, int) else 0


def _start(name: str, arguments: list[str]) -> None:
    if name == "posebench":
        from bench.cli.app import main as posebench

        sys.argv = [name, *arguments]
        posebench()
        return
    while arguments[:1] == ["-W"]:
        action, _, category, module = arguments[1].split(":")
        warnings.filterwarnings(action, category=getattr(builtins, category), module=rf"\A{module}\Z")
        arguments = arguments[2:]
    if arguments and arguments[0] not in ("-", "-c"):
        sys.argv, sys.path[0] = arguments, str(Path(arguments[0]).parent)
        runpy.run_path(arguments[0], run_name="__main__")
        return
    source, name = (arguments[1], "<string>") if arguments[:1] == ["-c"] else (sys.stdin.read(), "<stdin>")
    sys.argv, sys.path[0] = arguments[:1] or [""], ""
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    exec(compile(source, name, "exec"), module.__dict__)
