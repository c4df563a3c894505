"""Pauses of a process that waits for something outside it; a request to stop the process ends them."""

import threading
import time
from collections.abc import Callable

STEP_S = 0.2
"""Seconds of a pause between two questions whether to stop."""


class _State:
    """How this process learns that it was requested to stop; `bench.engines.interruption` sets it."""

    check: Callable[[], None] = staticmethod(lambda: None)


def end_with(check: Callable[[], None]) -> Callable[[], None]:
    """Have pauses of the main thread call a function, which raises KeyboardInterrupt to end them; return the last
    one."""
    before, _State.check = _State.check, staticmethod(check)
    return before


def pause(seconds: float) -> None:
    """Sleep; KeyboardInterrupt if this process was requested to stop, also where interruptions are deferred."""
    ends = time.monotonic() + seconds
    while True:
        if threading.current_thread() is threading.main_thread():
            _State.check()
        left = ends - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, STEP_S))
