"""Ctrl-C and SIGTERM: once, the work in hand is given back, then the process ends; Ctrl-C twice, it ends at once.

Signal handlers belong to the whole process, and so does the state here. The first signal raises KeyboardInterrupt
wherever the main thread is, except in a block of `defer_interrupts`: there it waits for the block's end. Library code
may swallow that exception, so long-running loops `check` besides. The second Ctrl-C is for a process that is stuck,
in a database's lock for instance, where no handler runs: a thread hears of it from the C level.
"""

import _thread
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

INTERRUPTED = 130
"""Exit code of what was interrupted: 128 + SIGINT, as shells have it."""

AT_ONCE = b"\nposebench: ended at once; the same command goes on (train: with --resume).\n"
SHOW_CURSOR = b"\x1b[?25h"
"""Progress bars and tables hide a terminal's cursor while they move."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _State:
    """What this process has been asked, and what it is doing."""

    pid = 0
    asked = False
    held = 0
    due = False
    heard = False
    own = 0
    """Signals of a deadline that the listener is yet to hear of: nobody has sent them."""
    leaving: list[Callable[[], None]] = []  # noqa: RUF012 (one process, one list)


@contextmanager
def handled() -> Iterator[None]:
    """Handle SIGINT and SIGTERM in the block; outside of the main thread, and where one is ignored, leave it alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _State.pid, _State.asked, _State.due, _State.heard = os.getpid(), False, False, False
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    ours = [number for number, handler in before.items() if handler != signal.SIG_IGN]
    hear, tell = socket.socketpair()
    tell.setblocking(False)
    for number in ours:
        signal.signal(number, _on_signal)
    descriptor = signal.set_wakeup_fd(tell.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_listen, args=(hear,), daemon=True, name="second Ctrl-C").start()
    hook = sys.unraisablehook

    def unraisable(found: Any) -> None:
        # Raised in a destructor or a weak reference's callback, it is swallowed, and would only be printed.
        if not (_State.asked and issubclass(found.exc_type, KeyboardInterrupt)):
            hook(found)

    sys.unraisablehook = unraisable
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number in ours:
            signal.signal(number, before[number])
        signal.set_wakeup_fd(descriptor)
        tell.close()


def asked() -> bool:
    """Whether this process has been asked to stop."""
    return _State.asked


def check() -> None:
    """Raise KeyboardInterrupt if this process has been asked to stop."""
    if _State.asked:
        raise KeyboardInterrupt


@contextmanager
def defer_interrupts() -> Iterator[None]:
    """Let the block run to its end before an interruption takes effect. For the main thread."""
    _State.held += 1
    try:
        yield
    finally:
        _State.held -= 1
    if _State.due and not _State.held:
        _State.due = False
        raise KeyboardInterrupt


class Deadline:
    """Interrupts its block, as one Ctrl-C does, at a moment; who catches that goes on as if nobody had asked."""

    def __init__(self, moment: float | None) -> None:
        """In seconds since the epoch; None: never."""
        self.moment, self.passed = moment, False
        self._timer: threading.Timer | None = None
        self._lock, self._open = threading.Lock(), False

    def __enter__(self) -> "Deadline":
        self._open = True
        if self.moment is not None:
            self._timer = threading.Timer(max(0.0, self.moment - time.time()), self._ring)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(self, *_error: object) -> None:
        with self._lock:  # it rings within the block, or never
            self._open = False
        if self._timer is not None:
            self._timer.cancel()

    def _ring(self) -> None:
        with self._lock:
            if not self._open:
                return
            self.passed = True
            if signal.getsignal(signal.SIGTERM) is _on_signal and sys.platform != "win32":
                _State.own += 1
                os.kill(os.getpid(), signal.SIGTERM)  # wakes what waits
            else:
                _thread.interrupt_main()

    def caught(self) -> bool:
        """Whether an interruption that was caught is its own: then nobody has asked to stop."""
        if self.passed:
            _State.asked = _State.due = False
        return self.passed


@contextmanager
def on_leaving(action: Callable[[], None]) -> Iterator[None]:
    """Do something quick if the process ends at once within the block."""
    _State.leaving.append(action)
    try:
        yield
    finally:
        _State.leaving.remove(action)


def _on_signal(_number: int, _frame: Any) -> None:
    if os.getpid() != _State.pid:
        raise KeyboardInterrupt  # a data loader's process, forked from this one
    if _State.asked:
        return
    _State.asked = True
    if not _State.held:
        raise KeyboardInterrupt
    _State.due = True


def _listen(hear: socket.socket) -> None:
    """End the process on a SIGINT that is not the first signal; SIGTERM may come as often as it likes."""
    with hear:
        while heard := hear.recv(1):
            if heard[0] == signal.SIGINT and _State.heard:
                for action in reversed(_State.leaving):
                    action()
                os.write(2, (SHOW_CURSOR if os.isatty(2) else b"") + AT_ONCE)
                os._exit(INTERRUPTED)
            if heard[0] == signal.SIGTERM and _State.own:
                _State.own -= 1
            else:
                _State.heard |= heard[0] in _SIGNALS


def _deaf_to_signals_of_others() -> None:
    """A forked child gets a terminal's Ctrl-C too, and would pass it on to this process's thread as a second one."""
    if _State.pid:
        signal.set_wakeup_fd(-1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_deaf_to_signals_of_others)
