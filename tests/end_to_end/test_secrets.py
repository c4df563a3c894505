"""A study on a real PostgreSQL; the password in its address is printed nowhere, written nowhere, and no argument.

Its workers are forked; the arguments of spawned ones are in tests/bench/test_worker.py.
"""

import json
import signal
import socket
import time
from contextlib import closing, suppress
from urllib.parse import quote

import psutil
import pytest

from tests.support.long_tests import long
from tests.support.place import PLANNED, WORKERS, Place
from tests.support.postgres import USER, postgres_server

NEEDLE = "hunter22"
"""Stands in every form of the password."""
PASSWORD = f"{NEEDLE}-Pa/w@rd"
WAIT_S = 300


@pytest.fixture(scope="module")
def postgres():
    """A server that wants the password; yields `host:port`."""
    with postgres_server(("ledger", "records"), password=PASSWORD) as address:
        yield address


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "here", used=False)


def address(postgres, base, password=PASSWORD):
    return f"postgresql+psycopg://{USER}:{quote(password, safe='')}@{postgres}/{base}"


@pytest.fixture
def addresses(postgres):
    return {
        "POSEBENCH_STORAGE": address(postgres, "ledger"),
        "MLFLOW_TRACKING_URI": address(postgres, "records"),
    }


def arguments_of(pid):
    """The command lines of a process and of all that it has started."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                yield each.pid, each.cmdline()


def leaks(folder):
    """The files below a folder in which the password stands."""
    return [str(p) for p in folder.rglob("*") if p.is_file() and NEEDLE.encode() in p.read_bytes()]


def rows(url):
    """Everything that a database holds, as text."""
    import psycopg

    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchall()
        for (table,) in tables:
            yield from (row for (row,) in connection.execute(f'SELECT t::text FROM "{table}" AS t').fetchall())


def test_a_study_on_postgres_and_all_that_looks_at_it_keep_the_password(place, addresses):
    place.forked_starts = WORKERS
    process = place.start(*place.study, "--workers", "2", **addresses)
    seen = {}
    while process.poll() is None:
        seen |= dict(arguments_of(process.pid))
        time.sleep(0.05)
    output = (place.folder / "output.txt").read_text()
    assert process.wait(WAIT_S) == 0, output
    assert not list(place.folder.glob("*.db")), "state belongs into PostgreSQL"
    assert len(seen) >= 3, "the study and its two workers"
    assert NEEDLE not in output + json.dumps(list(seen.values()))
    for arguments in (
        ("study", "list"),
        ("study", "status", place.name),
        ("study", "status", "no-such-study"),
        ("report", place.name, "--json"),
        ("report", "no-such-study"),
        ("compare", place.name, place.name, "--out", "compared"),
        ("config", "show"),
        ("config", "show", "--json"),
        (*place.study, "--json"),  # shown again
        (*place.study, "--set-no-such", "1"),
    ):
        done = place.run(*arguments, **addresses)
        assert NEEDLE not in done.stdout + done.stderr, arguments
        if arguments[0] == "report" and "--json" in arguments:
            document = json.loads(done.stdout)
            assert (document["status"], document["trials"]["complete"]) == ("complete", PLANNED)
    assert leaks(place.folder) == []
    for url in addresses.values():
        found = list(rows(url))
        assert found
        assert NEEDLE not in json.dumps(found)


@pytest.mark.parametrize("variable", ["POSEBENCH_STORAGE", long("MLFLOW_TRACKING_URI")])
def test_errors_and_tracebacks_keep_it_too(place, postgres, addresses, variable):
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]  # closed from then on
    wrong = {
        "no login": address(postgres, "ledger", f"{NEEDLE}-another"),
        "no database": address(postgres, "nothing"),
        "nobody there": address(f"127.0.0.1:{port}", "ledger"),
        "unquoted": f"postgresql+psycopg://{USER}:{PASSWORD}@{postgres}/ledger",
        "no driver": f"mysql://{USER}:{NEEDLE}@{postgres}/ledger",
        "in the query": f"postgresql+psycopg://{postgres}/ledger?user={USER}&password={NEEDLE}-another",
        "no scheme": f"{USER}:{NEEDLE}@{postgres}/ledger",
    }
    for what, url in wrong.items():
        done = place.run(*place.study, **addresses | {variable: url})
        assert done.returncode == 2, (what, done.stderr)
        assert NEEDLE not in done.stdout + done.stderr, what
        assert done.stderr.count("\n") == 1, (what, done.stderr)
        debugged = place.run("--debug", *place.study, **addresses | {variable: url})
        assert "Traceback" in debugged.stderr, what
        assert NEEDLE not in debugged.stdout + debugged.stderr, what
    assert leaks(place.folder) == []
    assert not list(place.folder.glob("*.db")), "nothing was made elsewhere"


@pytest.mark.long
def test_the_pages_of_mlflow_are_served_without_it_in_an_argument(place, addresses):
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
    process = place.start("ui", "--port", port, **addresses)
    seen = {}
    try:
        while True:
            seen |= dict(arguments_of(process.pid))
            assert process.poll() is None, (place.folder / "output.txt").read_text()
            with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), timeout=1)):
                break
            time.sleep(0.1)
        seen |= dict(arguments_of(process.pid))
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(WAIT_S)
    assert any("bench.cli.mlflow_server" in arguments for arguments in seen.values())
    assert NEEDLE not in json.dumps(list(seen.values()))
    assert NEEDLE not in (place.folder / "output.txt").read_text()
