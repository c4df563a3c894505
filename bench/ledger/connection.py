"""Open the Optuna storage of a ledger, and go on with it after its server has been away.

On SQLite every transaction begins with BEGIN IMMEDIATE, which takes the lock before the first read: no second process
can then have read what this one is about to change.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import optuna
import sqlalchemy
from alembic.util.exc import CommandError
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage

from bench.ledger.format import GRACE_S
from bench.storage.addresses import LEDGER, check_form
from bench.storage.database_check import check_database
from bench.storage.patience import OnOutage, Outage, Patience, is_outage
from bench.storage.sqlite_files import sqlite_file

_Result = TypeVar("_Result")

BUSY_TIMEOUT_S = 60
"""Seconds that a worker waits for another worker's transaction."""
OPENED, FURTHER = 1, 2
"""Connections to a server that a process keeps open, and further ones while several threads need one."""
UNSEEN_S = GRACE_S / 2
"""Seconds between two answers of a server in which an outage may have gone unseen that is long enough to matter."""
CONNECT_S, SILENT_MS = 10, 30_000
"""Seconds for a connection to PostgreSQL, and milliseconds after which one that does not answer is given up. Without
them a network that swallows packets would hold a call for minutes."""

optuna.logging.set_verbosity(optuna.logging.WARNING)
logging.getLogger("alembic").setLevel(logging.WARNING)


class Connection:
    """A ledger's storage; calls to one on a server are repeated while the server is away."""

    def __init__(self, url: str) -> None:
        """Open or create the storage; errors as for `open_storage`."""
        self.is_server = sqlite_file(url) is None
        self._url = url
        self._sight = _SIGHTS.setdefault(url, _Sight())
        self.storage = self(lambda: open_storage(url))

    def __call__(self, call: Callable[[], _Result], on_outage: OnOutage = lambda _outage: None) -> _Result:
        """Return the result of a call that can be repeated; ServerAwayError after `bench.storage.patience.patience_s`.

        An SQLite file is not waited for: its errors are raised at once.

        ``on_outage``: see `bench.storage.patience.Patience`.
        """
        if not self.is_server:
            return call()

        def note(outage: Outage | None) -> None:
            if outage is not None:
                self._sight.lost()
            on_outage(outage)

        result = Patience(LEDGER, self._url, note)(call)
        self._sight.answered()
        return result

    def try_once(self, call: Callable[[], _Result]) -> _Result | None:
        """Return the result of a call, or None if the server is away: for what can be left to others or to later."""
        try:
            result = call()
        except (sqlalchemy.exc.SQLAlchemyError, StorageInternalError) as error:
            if not (self.is_server and is_outage(error)):
                raise
            self._sight.lost()
            return None
        self._sight.answered()
        return result

    @property
    def others_had_time(self) -> bool:
        """True if living workers on other hosts have had `GRACE_S` to send a heartbeat since the server is in sight."""
        return not self.is_server or self._sight.lasts_for_s() > GRACE_S

    def release(self) -> None:
        """Close idle connections to a server: a trial may run for hours, and a server has a hundred connections."""
        if self.is_server:
            self.storage.engine.dispose()

    @contextmanager
    def transaction(self) -> Iterator[sqlalchemy.Connection]:
        """Yield a connection whose transaction is committed with the block, and undone by an error."""
        with self.storage.engine.begin() as connection:
            yield connection


class _Sight:
    """How long a server has answered this process without an outage that the process has seen."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._last = 0.0

    def answered(self) -> None:
        """Note an answer: the first one, or the first one after an outage or a long silence, begins the time."""
        now = time.monotonic()
        if self._since is None or now - self._last > UNSEEN_S:
            self._since = now
        self._last = now

    def lost(self) -> None:
        """Note an outage."""
        self._since = None

    def lasts_for_s(self) -> float:
        """Return the seconds since then; 0 during an outage."""
        return 0.0 if self._since is None else time.monotonic() - self._since


_SIGHTS: dict[str, _Sight] = {}
"""By the URL of the storage: a process opens the ledger anew for each phase, which is no outage."""


def open_storage(url: str) -> RDBStorage:
    """Open or create the Optuna storage at an SQLAlchemy URL, with atomic transactions on SQLite.

    Raises SettingsError, which says how to fix it, if the URL is unusable; an SQLite file of another program or version
    is left unchanged. A database on a server is checked for that once, when a study begins
    (`bench.records.store_check`). Raises SQLAlchemy's error if a server is away.
    """
    check_form(LEDGER, url)
    sqlite = sqlite_file(url) is not None
    if sqlite:
        check_database(LEDGER, url, write=True)
    for attempt in range(5):
        try:
            storage = RDBStorage(url, engine_kwargs=_engine_options(url, sqlite=sqlite))
            break
        except (sqlalchemy.exc.OperationalError, sqlalchemy.exc.IntegrityError, sqlalchemy.exc.ProgrammingError) as e:
            if not sqlite and is_outage(e):
                raise
            # Two processes that open a new database at once both try to create its tables.
            if attempt == 4:
                LEDGER.refuse(url, f"cannot be opened ({e.orig}).", cause=e)
            time.sleep(0.2 * (attempt + 1))
        except (ImportError, RuntimeError, CommandError, sqlalchemy.exc.SQLAlchemyError) as error:
            LEDGER.refuse(url, f"cannot be opened ({str(error).partition(chr(10))[0]}).", cause=error)
    if sqlite:
        _lock_transactions(storage.engine)
    return storage


def _engine_options(url: str, *, sqlite: bool) -> dict[str, Any]:
    """Return the options of the engine; what the URL itself sets takes precedence."""
    query = sqlalchemy.make_url(url).query if sqlite or url.startswith("postgresql") else {}
    if sqlite:
        return {} if "timeout" in query else {"connect_args": {"timeout": BUSY_TIMEOUT_S}}
    options: dict[str, Any] = {"pool_pre_ping": True, "pool_size": OPENED, "max_overflow": FURTHER}
    if url.partition(":")[0] in ("postgresql", "postgresql+psycopg", "postgresql+psycopg2"):
        limits = {"connect_timeout": CONNECT_S, "keepalives_idle": CONNECT_S, "tcp_user_timeout": SILENT_MS}
        options["connect_args"] = {name: value for name, value in limits.items() if name not in query}
    return options


def _lock_transactions(engine: sqlalchemy.Engine) -> None:
    @sqlalchemy.event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions of its own
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.close()

    @sqlalchemy.event.listens_for(engine, "begin")
    def _on_begin(connection: sqlalchemy.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    engine.dispose()  # connections made before the listeners were there
