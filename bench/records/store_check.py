"""Check both stores of a study before it begins, so that an unusable one is noticed in seconds and stays unchanged."""

import time

from bench.records.server import check_server
from bench.storage.addresses import LEDGER, RECORDS, check_form, is_database, is_server, refuse_shared_database
from bench.storage.database_check import check_database
from bench.storage.patience_setting import patience_s
from bench.storage.sqlite_files import sqlite_file
from posemodel.errors import SettingsError

REFUSED_S = 15.0
"""Seconds for which a server's error is repeated to readers without asking the server again."""
_refused: dict[str, tuple[float, SettingsError]] = {}


def check_forms(storage: str, tracking: str) -> None:
    """Raise SettingsError if an address is invalid for its store, or both are the same database. Opens nothing."""
    check_form(LEDGER, storage)
    check_form(RECORDS, tracking)
    refuse_shared_database(storage, tracking)


def check_stores(storage: str, tracking: str) -> None:
    """Raise SettingsError, which says how to fix it, if a study cannot store its ledger or records at these
    addresses, or is told to wait for them for no duration."""
    check_forms(storage, tracking)
    patience_s()
    check_tracking(tracking, write=True)
    check_storage(storage, write=True)


def check_storage(storage: str, *, write: bool) -> None:
    """Check the ledger's address as `check_stores` does; ``write``: see `check_database`."""
    check_database(LEDGER, storage, write=write)


def check_tracking(tracking: str, *, write: bool) -> None:
    """Check the records' address as `check_stores` does; addresses that only MLflow understands are not checked.

    Readers (``write`` False) check several times per second, so a server's error is kept for `REFUSED_S`.
    """
    if write:
        _check_tracking(tracking, write=True)
        return
    checked_at, error = _refused.get(tracking, (-REFUSED_S, None))
    if error is not None and time.monotonic() - checked_at < REFUSED_S:
        raise error
    try:
        _check_tracking(tracking, write=False)
    except SettingsError as refusal:
        if sqlite_file(tracking) is None:
            _refused[tracking] = (time.monotonic(), SettingsError(str(refusal)))
        raise


def _check_tracking(tracking: str, *, write: bool) -> None:
    check_form(RECORDS, tracking)
    if is_server(tracking):
        check_server(tracking)
    elif is_database(tracking):
        check_database(RECORDS, tracking, write=write)
