"""Handle Ctrl-C and SIGTERM: the first gives running trials back and ends the process, a second Ctrl-C kills it.

Signal handlers belong to the whole process, and so does the state here. The first signal raises KeyboardInterrupt
in the main thread; in a block of `defer_interrupts`, at the block's end, or where the block waits for a server that is
away (`bench.storage.pauses`). Library code may swallow that exception, so long-running loops also call `check`. The
second Ctrl-C is for a process that is stuck, for instance waiting for a database lock, where no Python handler runs: a
thread receives it through the signal wakeup file descriptor.
"""

import _thread
import os
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bench.storage import pauses

INTERRUPTED = 130
"""Exit code of an interrupted process: 128 + SIGINT, as in shells."""

STOPPED_AT_ONCE = b"\nposebench: ended at once; run the same command to continue (train: add --resume).\n"
SHOW_CURSOR = b"\x1b[?25h"
"""Terminal sequence that shows the cursor again; progress displays hide it while they run."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _State:
    """Interruption state of this process."""

    pid = 0
    stop_requested = False
    deferring = 0
    """Number of `defer_interrupts` blocks that are open."""
    interrupt_pending = False
    """True if an interruption waits for the end of such a block."""
    signal_seen = False
    """True once the listener thread has received a signal other than this process's own."""
    own_signals: Counter[int] = Counter()  # noqa: RUF012 (one process, one counter)
    """Signals of `interrupt_main_thread` that the listener thread has not received yet, by number."""
    graces = 0
    """Number of `Grace` blocks that are open."""
    overdue = False
    """True if the next signal comes from such a block, whose time is over."""
    exit_actions: list[Callable[[], None]] = []  # noqa: RUF012 (one process, one list)


@contextmanager
def handle_signals() -> Iterator[None]:
    """Handle SIGINT and SIGTERM in the block; does nothing outside the main thread or for an ignored signal."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _State.pid, _State.stop_requested, _State.interrupt_pending, _State.signal_seen = os.getpid(), False, False, False
    _State.own_signals.clear()
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    handled_signals = [number for number, handler in before.items() if handler != signal.SIG_IGN]
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    for number in handled_signals:
        signal.signal(number, _on_signal)
    descriptor = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_listen, args=(receiver,), daemon=True, name="second Ctrl-C").start()
    hook = sys.unraisablehook

    def unraisable(error: Any) -> None:
        # KeyboardInterrupt in a destructor or a weak reference's callback is swallowed and would only be printed.
        if not (_State.stop_requested and issubclass(error.exc_type, KeyboardInterrupt)):
            hook(error)

    sys.unraisablehook = unraisable
    before_pauses = pauses.end_with(_check_in_pause)
    try:
        yield
    finally:
        pauses.end_with(before_pauses)
        sys.unraisablehook = hook
        for number in handled_signals:
            signal.signal(number, before[number])
        signal.set_wakeup_fd(descriptor)
        sender.close()
        if _State.stop_requested and hasattr(signal, "SIGCHLD"):
            # The process is about to exit, which ends the loader processes that `Grace` has kept alive: PyTorch's
            # handler would report that as an error.
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def stop_requested() -> bool:
    """Return True if this process was requested to stop."""
    return _State.stop_requested


def check() -> None:
    """Raise KeyboardInterrupt if this process was requested to stop."""
    if _State.stop_requested:
        if not _State.deferring:
            _State.interrupt_pending = False  # it is raised here: a block that deferred it was ended by an error
        raise KeyboardInterrupt


def _check_in_pause() -> None:
    if not _State.graces:  # a training that saves its state is ended by its `Grace`
        check()


@contextmanager
def defer_interrupts() -> Iterator[None]:
    """Delay an interruption until the end of the block. Only for the main thread."""
    _State.deferring += 1
    try:
        yield
    except KeyboardInterrupt:
        _State.interrupt_pending &= _State.deferring > 1  # raised by `check` in the block
        raise
    finally:
        _State.deferring -= 1
    if _State.interrupt_pending and not _State.deferring:
        _State.interrupt_pending = False
        raise KeyboardInterrupt


class Deadline:
    """Context manager that interrupts its block at a given time, as one Ctrl-C would.

    Code that catches the KeyboardInterrupt can call `absorb_interrupt` and go on normally.
    """

    def __init__(self, moment: float | None) -> None:
        """``moment``: time of the interruption, in seconds since the epoch; None: never."""
        self.moment, self.passed = moment, False
        self._timer: threading.Timer | None = None
        self._lock, self._open = threading.Lock(), False

    def __enter__(self) -> "Deadline":
        self._open = True
        if self.moment is not None:
            self._timer = threading.Timer(max(0.0, self.moment - time.time()), self._interrupt)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(self, *_error: object) -> None:
        with self._lock:  # no interruption after the block
            self._open = False
        if self._timer is not None:
            self._timer.cancel()

    def _interrupt(self) -> None:
        with self._lock:
            if not self._open:
                return
            self.passed = True
            interrupt_main_thread()

    def absorb_interrupt(self) -> bool:
        """Return True if a caught KeyboardInterrupt came from this deadline, and clear the stop request then."""
        if self.passed:
            _State.stop_requested = _State.interrupt_pending = False
        return self.passed


class Grace:
    """Context manager in which an interruption only sets `stop_requested`, so that a training can save its state.

    An interruption that the block has not followed after some seconds is raised in it. Only for the main thread.
    """

    POLL_S = 0.2

    def __init__(self, seconds: float) -> None:
        """``seconds``: time that the block has from the interruption to its end."""
        self.seconds, self.overdue = seconds, False
        self._lock, self._done = threading.Lock(), threading.Event()

    def __enter__(self) -> "Grace":
        _State.graces += 1
        threading.Thread(target=self._watch, daemon=True, name="grace").start()
        return self

    def __exit__(self, *_error: object) -> None:
        _State.graces -= 1  # from here on the watching thread's signal raises nothing
        self._done.set()
        with self._lock:
            _State.overdue = False

    def _watch(self) -> None:
        asked: float | None = None
        while not self._done.wait(self.POLL_S):
            if asked is None and _State.stop_requested:
                asked = time.monotonic()
            if asked is None or time.monotonic() - asked < self.seconds:
                continue
            with self._lock:
                if not self._done.is_set():
                    self.overdue = _State.overdue = True
                    interrupt_main_thread()
            return


def interrupt_main_thread() -> None:
    """Interrupt the main thread as a SIGTERM from outside would; with a Ctrl-C it does not make two of them."""
    number = next((each for each in (signal.SIGTERM, signal.SIGINT) if signal.getsignal(each) is _on_signal), None)
    if number is not None:
        _State.own_signals[number] += 1
    if number == signal.SIGTERM and sys.platform != "win32":
        # Unlike interrupt_main, a real signal also ends the main thread's blocking system calls.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    else:
        _thread.interrupt_main(number or signal.SIGINT)


@contextmanager
def on_immediate_exit(action: Callable[[], None]) -> Iterator[None]:
    """Call a quick action if a second Ctrl-C ends the process within the block."""
    _State.exit_actions.append(action)
    try:
        yield
    finally:
        _State.exit_actions.remove(action)


def _on_signal(number: int, _frame: Any) -> None:
    if os.getpid() != _State.pid:  # in a data loader's process, forked from this one
        if _State.graces and number == signal.SIGINT:
            return  # a training that saves its state needs its data until then, and ends this process after that
        raise KeyboardInterrupt
    if _State.stop_requested:
        if _State.graces and _State.overdue:
            _State.overdue = False
            raise KeyboardInterrupt
        return
    _State.stop_requested = True
    if _State.graces:
        return
    if not _State.deferring:
        raise KeyboardInterrupt
    _State.interrupt_pending = True


def _listen(receiver: socket.socket) -> None:
    """End the process on a SIGINT that is not its first signal; further SIGTERMs and its own signals do nothing."""
    with receiver:
        while received := receiver.recv(1):
            if _State.own_signals[received[0]] > 0:
                _State.own_signals[received[0]] -= 1
                continue
            if received[0] == signal.SIGINT and _State.signal_seen:
                for action in reversed(_State.exit_actions):
                    action()
                os.write(2, (SHOW_CURSOR if os.isatty(2) else b"") + STOPPED_AT_ONCE)
                os._exit(INTERRUPTED)
            _State.signal_seen |= received[0] in _SIGNALS


def _stop_forwarding_signals() -> None:
    """Detach a forked child: it also gets the terminal's Ctrl-C, which the parent would count as a second one."""
    if _State.pid:
        signal.set_wakeup_fd(-1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_stop_forwarding_signals)
