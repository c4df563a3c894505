"""Wait for a server that is away: repeat a call to a database or a tracking server until it answers again.

A server that restarts, or a network that is down for some minutes, must not end a study whose trials run for hours.
"""

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy

from bench.storage.addresses import Store
from bench.storage.masking import masked
from bench.storage.printing import log
from posemodel.errors import PosemodelError, SettingsError

PATIENCE_VARIABLE = "POSEBENCH_SERVER_PATIENCE"
"""Environment variable: how long a study waits for a server that is away, as `90s`, `10m` or `2h`."""
DEFAULT_PATIENCE_S = 600.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 5.0
"""Pauses between two attempts, which double from the first to the longest."""
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smh])")
_AWAY_STATES = ("08", "57P01", "57P02", "57P03", "53300")
"""Beginnings of PostgreSQL's codes for a lost connection, a server that stops, starts or has no connection left."""
_PASSING = ("starting up", "shutting down", "recovery", "too many clients", "connection slots")
"""Words of PostgreSQL's refusals of a new connection, which have no code, that pass by themselves."""
_MYSQL_AWAY = (1040, 1053, 2002, 2003, 2006, 2013)
"""MySQL's codes for the same: too many connections, shutting down, not reached, gone, lost."""

_Result = TypeVar("_Result")


class ServerAwayError(PosemodelError):
    """A server did not answer for as long as a study waits for it."""


@dataclass(frozen=True)
class Outage:
    """A server that does not answer at present."""

    store: Store
    since: float
    """The first failed attempt, in seconds since the epoch."""


class Patience:
    """Repeats calls to one server while it is away; a thread uses its own or waits on its own."""

    def __init__(self, store: Store, address: str, on_outage: Callable[[Outage | None], None] = lambda _outage: None):
        """``on_outage``: called once when the server is found to be away, and with None when it answers again."""
        self.store, self.address, self.on_outage = store, address, on_outage

    def __call__(self, call: Callable[[], _Result]) -> _Result:
        """Return the result of a call, which is repeated while the server is away.

        The call may have had its effect although its answer was lost, so it must be one that can be repeated.
        Raises ServerAwayError after `patience_s`.
        """
        outage: Outage | None = None
        for pause in _pauses():
            try:
                result = call()
            except ServerAwayError:
                raise  # a call within this one has already waited
            except Exception as error:
                if not is_outage(error):
                    raise
                if outage is None:
                    outage = Outage(self.store, time.time())
                    self._begin(outage)
                if time.time() - outage.since + pause > patience_s():
                    raise ServerAwayError(self._gave_up(outage)) from error
                time.sleep(pause)
            else:
                if outage is not None:
                    self._end(outage)
                return result
        raise AssertionError("pauses never end")

    def _begin(self, outage: Outage) -> None:
        if threading.current_thread() is threading.main_thread():
            log(
                f"posebench: the server of {self.store.title} ({masked(self.address, self.address)}) is away; "
                f"waiting for it for up to {patience_s():.0f} s ({PATIENCE_VARIABLE})"
            )
        self.on_outage(outage)

    def _end(self, outage: Outage) -> None:
        if threading.current_thread() is threading.main_thread():
            log(f"posebench: the server of {self.store.title} answers again, after {time.time() - outage.since:.0f} s")
        self.on_outage(None)

    def _gave_up(self, outage: Outage) -> str:
        return (
            f"{self.store.title} {masked(self.address, self.address)}: the server has not answered for "
            f"{time.time() - outage.since:.0f} s. Start it again, then go on with the study; {PATIENCE_VARIABLE}=1h "
            "waits longer."
        )


def patience_s() -> float:
    """Return the seconds that a study waits for a server; SettingsError if the variable holds no duration."""
    text = os.environ.get(PATIENCE_VARIABLE)
    if not text:
        return DEFAULT_PATIENCE_S
    duration = _DURATION.fullmatch(text.strip())
    if duration is None:
        raise SettingsError(f"environment {PATIENCE_VARIABLE}: {text!r} is not a duration such as 90s, 10m or 2h.")
    return float(duration[1]) * _UNITS[duration[2]]


def is_outage(error: BaseException) -> bool:
    """Return True if an error says that a server is away: no connection, or a server that stops or starts."""
    return any(_says_away(each) for each in _chain(error))


def _says_away(error: BaseException) -> bool:
    if isinstance(error, sqlalchemy.exc.DBAPIError):
        state = getattr(error.orig, "sqlstate", None)
        if state is not None:
            return error.connection_invalidated or state.startswith(_AWAY_STATES)
        return error.connection_invalidated or _is_not_connected(error)
    return isinstance(error, ConnectionError)


def _is_not_connected(error: sqlalchemy.exc.DBAPIError) -> bool:
    """Return True if no connection to a database server could be made, for a reason that may pass."""
    driver, text = type(error.orig).__module__.partition(".")[0], str(error.orig)
    if not isinstance(error, sqlalchemy.exc.OperationalError) or driver == "sqlite3":
        return False
    if driver.startswith("psycopg"):
        return "FATAL:" not in text or any(words in text for words in _PASSING)
    return error.orig is not None and bool(error.orig.args) and error.orig.args[0] in _MYSQL_AWAY


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that caused it."""
    while error is not None:
        yield error
        error = error.__cause__


def _pauses() -> Iterator[float]:
    pause = FIRST_PAUSE_S
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE_S)
