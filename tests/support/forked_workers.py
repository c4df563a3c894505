"""Fork pytest-xdist's workers from the process of `tests.support.forking_process`: each would load the libraries again.

pytest-xdist starts this file instead of Python, with its streams and Python's arguments. It has a process forked that
has these streams and does what Python would do, and lasts as long as that process.
"""

import os
import shlex
import sys
import types
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

RUN_VARIABLE = "PYTEST_XDIST_TESTRUNUID"
"""Set by pytest-xdist in its workers: the id of the run of tests."""


def fork_workers(config: "pytest.Config") -> None:
    """Have the workers of this run of tests forked, where pytest-xdist would start them here.

    Not where coverage measures, which wants to see each process begin.
    """
    starts = config.getoption("tx", None)
    if not starts or {*starts} != {"popen"} or "COVERAGE_PROCESS_START" in os.environ or not hasattr(os, "fork"):
        return
    config.option.testrunuid = os.environ[RUN_VARIABLE] = config.option.testrunuid or uuid.uuid4().hex
    python = shlex.join([sys.executable, str(Path(__file__).resolve())])
    config.option.tx = [f"popen//python={python}"] * len(starts)

    from tests.support.compiled_tests import compile_meanwhile  # not where pytest-xdist starts this file

    compile_meanwhile(config)


def begin() -> None:
    """In the forked process: do what Python would with the arguments `-c CODE`.

    Processes that tests start with multiprocessing's forkserver, or with `forked_starts`, are copies of this one: a
    server of its own would import everything again.
    """
    from tests.support.forking_process import start_forkserver

    start_forkserver()
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    exec(sys.argv[-1], vars(main))


def main() -> int:
    """In the process that pytest-xdist has started; returns the exit code of the forked one."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from tests.support.commands import COMMANDS

    worker = COMMANDS.start(
        sys.argv[1:],
        folder=Path.cwd(),
        environment=os.environ,
        stdin=0,
        stdout=1,
        stderr=2,
        new_session=False,
        program="tests.support.forked_workers:begin",
        hurried=False,
    )
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(nothing, descriptor)  # the other ends see that they are closed when the worker closes them
    return worker.wait()


if __name__ == "__main__":
    sys.exit(main())
