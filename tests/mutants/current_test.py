"""Tell coverage which test is running, by an environment variable that also reaches forked and started processes.

A process that is started takes the variable from its environment (`context` in the measuring's configuration). This
module does the rest, from Python's audit events: the tests' process sets the variable for each test, and a process that
commands are forked from (`tests.support.forking_process`) gives each its own environment. Imports nothing that is slow:
while tests are measured, every Python process loads it at its start.
"""

import contextlib
import os
import sys
from typing import Any

CURRENT_TEST = "MUTANTS_TEST"
"""The variable: the key of the test that runs, or of the fixture that is set up."""
SEPARATOR = "|"
"""Stands in coverage's contexts between that of the process's start and a later one, which then counts."""


def follow() -> None:
    """Begin, in this process and those forked from it; there is no end."""
    sys.addaudithook(_heard)


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    """Python's audit hook: called before the event happens."""
    if event not in ("os.putenv", "os.fork", "os.forkpty") or "coverage" not in sys.modules:
        return
    from coverage import Coverage, CoverageException

    measuring = Coverage.current()
    if measuring is None:
        return
    if event != "os.putenv":
        measuring.config.context = os.environ.get(CURRENT_TEST)  # the forked process's, where coverage begins anew
    elif arguments[0] == CURRENT_TEST.encode():
        with contextlib.suppress(CoverageException):  # not started yet
            measuring.switch_context(arguments[1].decode())
