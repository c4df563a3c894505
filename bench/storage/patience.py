"""Wait for a server that is away: repeat a call to a database or a tracking server until it answers again.

A server that restarts, or a network that is down for some minutes, must not end a study whose trials run for hours.
"""

import errno
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy

from bench.storage.addresses import Store
from bench.storage.masking import masked
from bench.storage.patience_setting import PATIENCE_VARIABLE, patience_s
from bench.storage.pauses import pause
from bench.storage.printing import log
from posemodel.errors import PosemodelError

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 5.0
"""Pauses between two attempts, which double from the first to the longest."""
_AWAY_STATES = ("08", "57P01", "57P02", "57P03", "53300")
"""Beginnings of PostgreSQL's codes for a lost connection, a server that stops, starts or has no connection left."""
_MYSQL_AWAY = {1040, 1053, 2002, 2003, 2006, 2013}
"""MySQL's codes for the same: too many connections, shutting down, not reached, gone, lost."""
_AWAY_TEXT = re.compile(
    r"connection refused|connection reset|connection timed out|could not connect|couldn't connect|can't connect"
    r"|server closed the connection|connection is closed|connection already closed|terminating connection"
    r"|the database system is (starting up|shutting down|in recovery mode|not yet accepting connections)"
    r"|too many (clients|connections)|remaining connection slots|network is unreachable|no route to host"
    r"|failed to resolve host|name resolution|could not translate host name|connection timeout|timeout expired"
    r"|server has gone away|lost connection|consuming input failed|on socket .* no such file or directory",
    re.IGNORECASE,
)
"""Drivers' messages for the same: one that could not connect gives no code."""
_AWAY_ERRNO = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, getattr(errno, "EHOSTDOWN", errno.ENETDOWN))
_AWAY_STATUS = {408, 429, 500, 502, 503, 504}
"""HTTP statuses of a server, or of a proxy before it, that cannot answer now; MLflow's client repeats the same. A
tracking server whose own database is away answers 503 or 500."""
_STATUS_TEXT = re.compile(rf"too many ({'|'.join(map(str, _AWAY_STATUS))}) error responses", re.IGNORECASE)
_CLIENT_TEXT = re.compile(rf"{_STATUS_TEXT.pattern}|connection aborted|connection broken", re.IGNORECASE)
"""urllib3's messages after such a status, and when an answer is cut off, whose cause it gives in words alone."""

_CLIENTS = ("mlflow", "requests", "urllib3")
"""Packages of the clients of a tracking server."""

_waits: ContextVar[bool] = ContextVar("waits", default=True)
"""False in a block of `outages_ignored`."""

_Result = TypeVar("_Result")


class ServerAwayError(PosemodelError):
    """A server did not answer for as long as a study waits for it."""


@dataclass(frozen=True)
class Outage:
    """A server that does not answer at present."""

    store: Store
    since: float
    """The first failed attempt, in seconds since the epoch."""


OnOutage = Callable[[Outage | None], None]
"""Called once when a server is found to be away, and with None when it answers again."""


class Patience:
    """Repeats calls to one server while it is away; a thread uses its own or waits on its own."""

    def __init__(self, store: Store, address: str, on_outage: OnOutage = lambda _outage: None):
        """``on_outage``: told of each outage of that server."""
        self.store, self.address, self.on_outage = store, address, on_outage

    def __call__(self, call: Callable[[], _Result]) -> _Result:
        """Return the result of a call, which is repeated while the server is away.

        The call may have had its effect although its answer was lost, so it must be one that can be repeated.
        Raises ServerAwayError after `patience_s`; KeyboardInterrupt if this process is requested to stop meanwhile,
        also where interruptions are deferred: what needs the server cannot be completed.
        """
        outage: Outage | None = None
        for pause_s in _pauses():
            try:
                result = call()
            except Exception as error:  # a ServerAwayError, of a call within this one that has waited, is none
                if not is_outage(error) or not _waits.get():
                    raise
                if outage is None:
                    outage = Outage(self.store, time.time())
                    self._begin(outage, error)
                if time.time() - outage.since + pause_s > patience_s():
                    raise ServerAwayError(self._gave_up(outage, error)) from error
                pause(pause_s)
            else:
                if outage is not None:
                    self._end(outage)
                return result
        raise AssertionError("pauses never end")

    def _begin(self, outage: Outage, error: Exception) -> None:
        if threading.current_thread() is threading.main_thread():
            status = status_of(error)
            state = "is away" if status is None else f"answers with errors alone (HTTP {status})"
            reason = f": {self._reason(error)}" if status is None else ""
            log(
                f"posebench: the server of {self.store.title} ({masked(self.address, self.address)}) {state}; "
                f"waiting for it for up to {patience_s():.0f} s ({PATIENCE_VARIABLE}){reason}"
            )
        self.on_outage(outage)

    def _end(self, outage: Outage) -> None:
        if threading.current_thread() is threading.main_thread():
            log(f"posebench: the server of {self.store.title} answers again, after {time.time() - outage.since:.0f} s")
        self.on_outage(None)

    def _gave_up(self, outage: Outage, error: Exception) -> str:
        server, seconds = f"{self.store.title} {masked(self.address, self.address)}", time.time() - outage.since
        if (status := status_of(error)) is not None:
            return (
                f"{server}: the server has answered with errors alone (HTTP {status}) for {seconds:.0f} s. Its log "
                f"says why; mend that, then go on with the study; {PATIENCE_VARIABLE}=1h waits longer."
            )
        return (
            f"{server}: the server has not answered for {seconds:.0f} s ({self._reason(error)}). Start it again, then "
            f"go on with the study; {PATIENCE_VARIABLE}=1h waits longer."
        )

    def _reason(self, error: Exception) -> str:
        *_, first_cause = _chain(error)
        text = str(first_cause).strip().partition("\n")[0]
        return masked(text, self.address) or type(first_cause).__name__


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status with which a server has answered instead of doing what was asked; None: it has not."""
    for each in _chain(error):
        status = getattr(getattr(each, "response", None), "status_code", None)  # `requests` keeps a server's answer
        if isinstance(status, int):
            return status
        if text := _STATUS_TEXT.search(str(each)):
            return int(text[1])
    return None


def is_outage(error: BaseException) -> bool:
    """Return True if an error says that a server is away: no connection, or a server that stops or starts.

    A `ServerAwayError`, which ends the waiting, and a mistake that a person must correct are not outages.
    """
    return not isinstance(error, PosemodelError) and any(map(_says_away, _chain(error)))


@contextmanager
def outages_ignored() -> Iterator[None]:
    """End the block, without an error and without waiting, if a server is away: for cleaning up."""
    before = _waits.set(False)
    try:
        yield
    except Exception as error:
        if not (is_outage(error) or isinstance(error, ServerAwayError)):
            raise
    finally:
        _waits.reset(before)


def _says_away(error: BaseException) -> bool:
    if isinstance(error, sqlalchemy.exc.DBAPIError):
        state = getattr(error.orig, "sqlstate", None)
        if state is not None:
            return error.connection_invalidated or state.startswith(_AWAY_STATES)
        return error.connection_invalidated or _is_not_connected(error)
    if isinstance(error, OSError):
        status = getattr(getattr(error, "response", None), "status_code", None)  # `requests` keeps a server's answer
        known = isinstance(error, (ConnectionError, TimeoutError, socket.gaierror))
        return known or error.errno in _AWAY_ERRNO or status in _AWAY_STATUS or bool(_CLIENT_TEXT.search(str(error)))
    return False


def _is_not_connected(error: sqlalchemy.exc.DBAPIError) -> bool:
    """Return True if no connection to a database server could be made, for a reason that may pass."""
    driver, text = type(error.orig).__module__.partition(".")[0], str(error.orig)
    if not isinstance(error, (sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError)) or driver == "sqlite3":
        return False
    if driver.startswith("psycopg") and "FATAL:" not in text:
        return True  # the server has not answered
    code = next(iter(getattr(error.orig, "args", ())), None)
    return code in _MYSQL_AWAY or _AWAY_TEXT.search(text) is not None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that caused it.

    MLflow's client raises its error in the handler of that of `requests`, without naming it as the cause.
    """
    while error is not None:
        yield error
        is_client_error = type(error).__module__.partition(".")[0] in _CLIENTS
        error = error.__cause__ or (error.__context__ if is_client_error else None)


def _pauses() -> Iterator[float]:
    seconds = FIRST_PAUSE_S
    while True:
        yield seconds
        seconds = min(2 * seconds, LONGEST_PAUSE_S)
