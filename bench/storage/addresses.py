"""Addresses of the databases and servers that studies keep their state in: what they are, before anything is opened."""

import re
import socket
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import sqlalchemy

from bench.storage.masking import masked
from bench.storage.sqlite_files import PREFIX, sqlite_file
from posemodel.errors import SettingsError, nearest

DATABASES = ("sqlite", "postgresql", "mysql", "mariadb", "mssql", "oracle")
"""Databases that SQLAlchemy knows, by the scheme of their addresses."""
SERVERS = ("http", "https")
DATABRICKS = ("databricks", "uc", "databricks-uc")
PLUGINS = "mlflow.tracking_store"
"""Entry points of packages that add schemes of their own to MLflow."""
PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433, "oracle": 1521}
"""Where a database of each kind is asked for when its address names no port."""
_ENCODED = "Special characters of a password are written as in a URL, `@` as %40"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9.-]*)(?:\+[A-Za-z0-9_]+)?://")
_HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:]+\]|[\w.-]+):\d+(/\S*)?")


@dataclass(frozen=True)
class Store:
    """One of the two stores of a study, as its user names it."""

    title: str
    """What an error about it begins with, before its address."""
    variable: str
    """Environment variable of its address."""
    program: str
    """The library that keeps its tables in it."""
    example: str
    """An address that always works."""

    def refuse(self, address: str, why: str, *, cause: BaseException | None = None) -> NoReturn:
        """SettingsError about an address of this store: why it is of no use, and the remedy."""
        shown = masked(address, address)
        raise SettingsError(f"{self.title} {shown}: {masked(why.replace(address, shown), address)}") from cause


LEDGER = Store("storage", "POSEBENCH_STORAGE", "Optuna", "sqlite:///optuna.db")
RECORDS = Store("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_URI", "MLflow", "sqlite:///mlflow.db")


def is_server(address: str) -> bool:
    """Whether it is the address of a tracking server."""
    return address.lower().startswith(tuple(f"{scheme}://" for scheme in SERVERS))


def is_database(address: str) -> bool:
    """Whether it is the address of a database that SQLAlchemy can open."""
    scheme = _SCHEME.match(address)
    return scheme is not None and not is_server(address) and not _is_mlflow_s(scheme[1].lower())


def _is_mlflow_s(scheme: str) -> bool:
    """Whether MLflow alone knows what stands behind such an address: Databricks', or a plugin's."""
    return scheme in DATABRICKS or scheme in {each.name for each in entry_points(group=PLUGINS)}


def check_form(store: Store, address: str) -> None:
    """SettingsError, with the remedy, where no database or server can have such an address. Opens nothing."""
    if store is RECORDS and address in DATABRICKS:
        return
    scheme = _SCHEME.match(address)
    if scheme is None:
        _refuse_bare(store, address)
    name = scheme[1].lower()
    if name in SERVERS and store is RECORDS:
        _check_server_form(store, address)
        return
    if store is RECORDS and _is_mlflow_s(name):
        return
    if name == "file" and store is RECORDS:
        _refuse_folder(store, address)
    if name == "postgres":
        store.refuse(address, f"SQLAlchemy's name is `postgresql://`: set {store.variable} to such an address.")
    if name not in DATABASES and not _is_dialect(scheme[0].removesuffix("://")):
        known = (*DATABASES, *(SERVERS if store is RECORDS else ()))
        hint = nearest(name, known).replace("?", "://?")
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
            address, f"cannot be opened (it is no address, or its port is no number). {_ENCODED}.", cause=error
        )
    if parsed.host is not None and "@" in parsed.host:
        store.refuse(address, f"cannot be opened (there is more than one `@` before its host). {_ENCODED}.")


def _is_dialect(name: str) -> bool:
    """Whether some package has taught SQLAlchemy this kind of database."""
    if "." in name:
        return False
    try:
        sqlalchemy.make_url(f"{name}://").get_dialect()
    except ImportError:
        return True  # its driver is not installed: said when it is opened
    except Exception:
        return False
    return True


def _refuse_bare(store: Store, address: str) -> NoReturn:
    """Refuse an address without a scheme."""
    if not address.strip():
        store.refuse(address, f"is empty. Set {store.variable} to an address such as {store.example}.")
    if address != address.strip() and _SCHEME.match(address.strip()):
        store.refuse(address, "has a blank before or behind it: take it away.")
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
        store.refuse(address, f"cannot be opened (it is no address of a database). Did you mean {PREFIX}{address}?")
    if store is RECORDS:
        _refuse_folder(store, address)
    store.refuse(
        address,
        f"cannot be opened (it is no address of a database). Set {store.variable} to one such as {store.example}.",
    )


def _refuse_folder(store: Store, address: str) -> NoReturn:
    store.refuse(
        address,
        "is a folder of files, in which MLflow keeps no studies any more. "
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
            "`~` means nothing in an address. Write the whole path, with four slashes: "
            f"{PREFIX}/home/ME/{Path(*file.parts[1:]).as_posix()}.",
        )


def refuse_one_database(storage: str, tracking: str) -> None:
    """SettingsError where both addresses lead to the same database, however each of them is written."""
    if _place(storage) != _place(tracking):
        return
    raise SettingsError(
        f"{LEDGER.variable} and {RECORDS.variable}: both are the database {masked(tracking)}, but Optuna and MLflow "
        "keep the version of their tables in one of the same name, and each would take the other's for its own. "
        f"Give each a database of its own, such as {LEDGER.example} and {RECORDS.example}."
    )


def _place(address: str) -> tuple[object, ...]:
    """Where an address leads, in one form for all ways to write it."""
    scheme = _SCHEME.match(address)
    file = sqlite_file(address)
    if file is None and scheme is None and not _HOST_AND_PORT.fullmatch(address):
        file = Path(address)  # the name of a file
    if file is not None:
        try:
            found = file.stat()
            return ("file", found.st_dev, found.st_ino)
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
    return (kind, _host(host), str(port), database, _search_path(str(query.get("options", ""))))


def _host(name: str) -> str:
    """A host by one name: all that mean this machine are the same, a socket's folder too."""
    name = name.lower().strip("[]").rstrip(".")
    here = ("", "localhost", "127.0.0.1", "::1", socket.gethostname().lower())
    return "localhost" if name in here or name.startswith(("/", "127.")) else name


def _search_path(options: str) -> str:
    """The schemas that a PostgreSQL connection uses: two of them in one database keep their tables apart."""
    found = re.search(r"search_path\s*=\s*([\w,\"$.-]+)", options)
    return found[1] if found else ""
