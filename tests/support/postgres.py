"""Start a PostgreSQL server for a test, on a free loopback port."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

USER = "posebench"


def _program(name: str) -> str | None:
    found = shutil.which(name)
    if found is not None:
        return found
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(installed[-1]) if installed else None


OPEN = "/tmp" if os.name != "nt" else None
"""A folder that every user may enter: `TMPDIR` may be a private one."""


@contextmanager
def postgres_server(databases: Sequence[str], *, password: str = "") -> Iterator[str]:
    """A server with these databases; yields `host:port`. Its user `posebench` needs the password, if any.

    The test is skipped where there is no PostgreSQL. Its folder is none of pytest's: another pytest makes those private
    again, while the server runs as another user.
    """
    with tempfile.TemporaryDirectory(prefix="posebench-postgres-", dir=OPEN, ignore_cleanup_errors=True) as folder:
        yield from _server(Path(folder), databases, password)


def _server(folder: Path, databases: Sequence[str], password: str) -> Iterator[str]:
    pytest.importorskip("psycopg", reason="psycopg is not installed (extra `postgres`)")
    initdb, server = _program("initdb"), _program("postgres")
    if initdb is None or server is None:
        pytest.skip("PostgreSQL is not installed")
    as_user: list[str] = []
    if os.geteuid() == 0:
        # initdb refuses root, and the temporary folder belongs to root alone.
        if shutil.which("runuser") is None:
            pytest.skip("PostgreSQL does not run as root, and there is no runuser")
        as_user = ["runuser", "-u", "postgres", "--"]
        folder.chmod(0o755)
        shutil.chown(folder, "postgres")
    cluster = folder / "cluster"
    login = ["-A", "trust"]
    if password:
        secret = folder / "password"
        secret.write_text(password)
        secret.chmod(0o644)
        login = ["-A", "scram-sha-256", f"--pwfile={secret}"]
    subprocess.run(
        [*as_user, initdb, "-D", str(cluster), "-U", USER, *login, "--no-sync"],
        check=True,
        capture_output=True,
        cwd="/",
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    control = _program("pg_ctl")
    options = f"-h 127.0.0.1 -p {port} -k {folder}"
    start = [*as_user, control, "-D", str(cluster), "-w", "-l", str(folder / "log"), "-o", options, "start"]
    subprocess.run(start, check=True, capture_output=True, cwd="/")
    try:
        for name in databases:
            create = [*as_user, _program("createdb"), "-h", "127.0.0.1", "-p", str(port), "-U", USER, name]
            subprocess.run(
                create, check=True, capture_output=True, cwd="/", env=os.environ | {"PGPASSWORD": password}
            )  # fmt: skip
        yield f"127.0.0.1:{port}"
    finally:
        stop = [*as_user, control, "-D", str(cluster), "-m", "fast", "stop"]
        subprocess.run(stop, check=False, capture_output=True, cwd="/")
