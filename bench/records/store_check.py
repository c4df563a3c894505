"""Both stores of a study looked at before it begins: what is wrong with them costs seconds, and changes nothing."""

import time

from bench.records.server import check_server
from bench.storage.addresses import LEDGER, RECORDS, check_form, is_database, is_server, refuse_one_database
from bench.storage.database_check import check_database
from bench.storage.sqlite_files import sqlite_file
from posemodel.errors import SettingsError

REFUSED_S = 15.0
"""How long what was found wrong with a server is said again without asking it, by one who only looks."""
_refused: dict[str, tuple[float, SettingsError]] = {}


def check_forms(storage: str, tracking: str) -> None:
    """SettingsError where an address can be none of such a store, or both are of one database. Opens nothing."""
    check_form(LEDGER, storage)
    check_form(RECORDS, tracking)
    refuse_one_database(storage, tracking)


def check_stores(storage: str, tracking: str) -> None:
    """SettingsError, with the remedy, where a study cannot keep its ledger or its records at these addresses."""
    check_forms(storage, tracking)
    check_tracking(tracking, write=True)
    check_storage(storage, write=True)


def check_storage(storage: str, *, write: bool) -> None:
    """As `check_stores`, of the ledger alone. ``write``: see `bench.storage.database_check.check_database`."""
    check_database(LEDGER, storage, write=write)


def check_tracking(tracking: str, *, write: bool) -> None:
    """As `check_stores`, of the records alone; what only MLflow knows (Databricks, a plugin's) is left to it.

    One who only looks does so several times in a second: that a server or a file was of no use holds for a while.
    """
    if write:
        _check_tracking(tracking, write=True)
        return
    asked, error = _refused.get(tracking, (-REFUSED_S, None))
    if error is not None and time.monotonic() - asked < REFUSED_S:
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
