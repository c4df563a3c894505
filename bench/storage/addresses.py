"""Check the addresses of a study's two stores (databases, tracking servers) before anything is opened."""

import re
import socket
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import sqlalchemy

from bench.storage.masking import masked
from bench.storage.sqlite_files import PREFIX, sqlite_file
from posemodel.errors import SettingsError, did_you_mean

DATABASES = ("sqlite", "postgresql", "mysql", "mariadb", "mssql", "oracle")
"""Schemes of the databases that SQLAlchemy supports."""
SERVERS = ("http", "https")
DATABRICKS = ("databricks", "uc", "databricks-uc")
PLUGINS = "mlflow.tracking_store"
"""Entry point group of packages that add address schemes to MLflow."""
PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433, "oracle": 1521}
"""Default port of each kind of database."""
_ENCODED = "Special characters of a password are written as in a URL, `@` as %40"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9.-]*)(?:\+[A-Za-z0-9_]+)?://")
_HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:]+\]|[\w.-]+):\d+(/\S*)?")


@dataclass(frozen=True)
class Store:
    """One of the two stores of a study, with its names in error messages."""

    title: str
    """First words of an error about it, before its address."""
    variable: str
    """Environment variable with its address."""
    program: str
    """Library that owns the tables in it."""
    example: str
    """An address that always works."""

    def refuse(self, address: str, why: str, *, cause: BaseException | None = None) -> NoReturn:
        """Raise SettingsError about an address of this store, with passwords masked.

        ``why``: reason and remedy; the text after the address.
        """
        public = masked(address, address)
        raise SettingsError(f"{self.title} {public}: {masked(why.replace(address, public), address)}") from cause


LEDGER = Store("storage", "POSEBENCH_STORAGE", "Optuna", "sqlite:///optuna.db")
RECORDS = Store("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_URI", "MLflow", "sqlite:///mlflow.db")


def is_server(address: str) -> bool:
    """Return True for the address of a tracking server."""
    return address.lower().startswith(tuple(f"{scheme}://" for scheme in SERVERS))


def is_database(address: str) -> bool:
    """Return True for the address of a database that SQLAlchemy can open."""
    scheme = _SCHEME.match(address)
    return scheme is not None and not is_server(address) and not _is_mlflow_scheme(scheme[1].lower())


def _is_mlflow_scheme(scheme: str) -> bool:
    """Return True for a scheme that only MLflow understands: Databricks', or a plugin's."""
    return scheme in DATABRICKS or scheme in _plugin_schemes()


@cache
def _plugin_schemes() -> frozenset[str]:
    """Schemes of MLflow's plugins, looked up once: all installed packages are searched for them."""
    return frozenset(each.name for each in entry_points(group=PLUGINS))


def check_form(store: Store, address: str) -> None:
    """Raise SettingsError, which says how to fix it, if an address is malformed or of no usable kind. Opens nothing."""
    if store is RECORDS and address in DATABRICKS:
        return
    scheme = _SCHEME.match(address)
    if scheme is None:
        _refuse_bare(store, address)
    name = scheme[1].lower()
    if name in SERVERS and store is RECORDS:
        _check_server_form(store, address)
        return
    if store is RECORDS and _is_mlflow_scheme(name):
        return
    if name == "file" and store is RECORDS:
        _refuse_folder(store, address)
    if name == "postgres":
        store.refuse(address, f"SQLAlchemy's name is `postgresql://`: set {store.variable} to such an address.")
    if name not in DATABASES and not _is_dialect(scheme[0].removesuffix("://")):
        schemes = (*DATABASES, *(SERVERS if store is RECORDS else ()))
        hint = did_you_mean(name, schemes).replace("?", "://?")
        store.refuse(
            address,
            f"cannot be opened (there is no database that is called {name}://).{hint} "
            f"Set {store.variable} to an address such as {store.example}.",
        )
    if name == "sqlite":
        _check_sqlite_form(store, address)
        return
    try:
        parsed = sqlalchemy.make_url(address)
    except (sqlalchemy.exc.ArgumentError, ValueError) as error:
        store.refuse(
            address, f"cannot be opened (it is not an address, or its port is no number). {_ENCODED}.", cause=error
        )
    if parsed.host is not None and "@" in parsed.host:
        store.refuse(address, f"cannot be opened (there is more than one `@` before its host). {_ENCODED}.")


def _is_dialect(name: str) -> bool:
    """Return True if an installed package adds this kind of database to SQLAlchemy."""
    if "." in name:
        return False
    try:
        sqlalchemy.make_url(f"{name}://").get_dialect()
    except ImportError:
        return True  # its driver is missing, which is reported when it is opened
    except Exception:
        return False
    return True


def _refuse_bare(store: Store, address: str) -> NoReturn:
    """Refuse an address without a scheme, with a suggestion."""
    if not address.strip():
        store.refuse(address, f"is empty. Set {store.variable} to an address such as {store.example}.")
    if address != address.strip() and _SCHEME.match(address.strip()):
        store.refuse(address, "begins or ends with a blank: remove it.")
    if _HOST_AND_PORT.fullmatch(address) and not Path(address).exists():
        if store is RECORDS:
            store.refuse(address, f"has no scheme. Did you mean http://{address}?")
        store.refuse(address, f"cannot be opened (it has no scheme). Did you mean postgresql://{address}/DATABASE?")
    single = re.match(r"(sqlite|https?|postgresql|mysql):/?(?!/)", address)
    if single is not None:
        rest = address[single.end() :]
        right = f"{single[1]}:///{rest}" if single[1] == "sqlite" else f"{single[1]}://{rest}"
        store.refuse(address, f"cannot be opened (a scheme ends in ://). Did you mean {right}?")
    if address.startswith("file:") and store is RECORDS:
        _refuse_folder(store, address)
    is_file = Path(address).suffix in (".db", ".sqlite", ".sqlite3") or Path(address).is_file()
    if is_file:
        store.refuse(
            address, f"cannot be opened (it is not the address of a database). Did you mean {PREFIX}{address}?"
        )
    if store is RECORDS:
        _refuse_folder(store, address)
    store.refuse(
        address,
        f"cannot be opened (it is not the address of a database). Set {store.variable} to one such as {store.example}.",
    )


def _refuse_folder(store: Store, address: str) -> NoReturn:
    store.refuse(
        address,
        "is a folder of files, which MLflow no longer supports as a store. "
        f"Set {store.variable} to a database, {store.example} for instance, or to a server (http://...).",
    )


def _check_server_form(store: Store, address: str) -> None:
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        store.refuse(address, f"is no address of a server (its port is no number). {_ENCODED}.", cause=error)
    if not host or re.search(r"\s", address):
        store.refuse(address, "is no address of a server. It looks like http://127.0.0.1:5000.")


def _check_sqlite_form(store: Store, address: str) -> None:
    parsed = sqlalchemy.make_url(address)
    if parsed.host is not None:
        right = f"{PREFIX}{parsed.host}{'/' + parsed.database if parsed.database else ''}"
        store.refuse(address, f"cannot be opened (a file's address has three slashes). Did you mean {right}?")
    file = sqlite_file(address)
    if file is None:
        store.refuse(
            address,
            f"is a database in memory, which no other process sees. Set {store.variable} to a file's address, "
            f"{store.example} for instance.",
        )
    if file.parts[:1] == ("~",):
        store.refuse(
            address,
            "`~` is not expanded in an address. Write the full path, with four slashes: "
            f"{PREFIX}/home/ME/{Path(*file.parts[1:]).as_posix()}.",
        )


def refuse_shared_database(storage: str, tracking: str) -> None:
    """Raise SettingsError if both addresses lead to the same database, even if written differently."""
    if _location(storage) != _location(tracking):
        return
    raise SettingsError(
        f"{LEDGER.variable} and {RECORDS.variable}: both are the database {masked(tracking)}, but Optuna and MLflow "
        "store their versions in tables of the same name, and each would mistake the other's version for its own. "
        f"Give each its own database, such as {LEDGER.example} and {RECORDS.example}."
    )


def _location(address: str) -> tuple[object, ...]:
    """Return a normal form of an address, equal for all ways to write the same location."""
    scheme = _SCHEME.match(address)
    file = sqlite_file(address)
    if file is None and scheme is None and not _HOST_AND_PORT.fullmatch(address):
        file = Path(address)  # the name of a file
    if file is not None:
        try:
            status = file.stat()
            return ("file", status.st_dev, status.st_ino)
        except OSError:
            return ("file", str(file.resolve()))
    try:
        parsed = sqlalchemy.make_url(address)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        return ("address", address)
    kind = {"postgres": "postgresql", "mariadb": "mysql"}.get(parsed.get_backend_name(), parsed.get_backend_name())
    query = parsed.query
    host = str(query.get("host", parsed.host) or "")
    port = query.get("port", parsed.port) or PORTS.get(kind)
    database = query.get("dbname", parsed.database) or parsed.username
    return (kind, _host_name(host), str(port), database, _search_path(str(query.get("options", ""))))


def _host_name(name: str) -> str:
    """Return a normal form of a host name; all names of this machine, and socket folders, become `localhost`."""
    name = name.lower().strip("[]").rstrip(".")
    local_names = ("", "localhost", "127.0.0.1", "::1", socket.gethostname().lower())
    return "localhost" if name in local_names or name.startswith(("/", "127.")) else name


def _search_path(options: str) -> str:
    """Return the schemas of a PostgreSQL connection; different schemas of a database have separate tables."""
    match = re.search(r"search_path\s*=\s*([\w,\"$.-]+)", options)
    return match[1] if match else ""
