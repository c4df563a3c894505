"""A server that is away is waited for; any other error is raised. The errors are those that real clients raise."""

import errno
import http.server
import socket
import threading
import time
from contextlib import closing, contextmanager
from functools import partial
from itertools import islice

import mlflow
import pytest
import sqlalchemy

from bench.records.patient_client import impatient, patient
from bench.records.writer import Tracker
from bench.storage import patience
from bench.storage.addresses import LEDGER, RECORDS
from bench.storage.durations import parse_duration
from bench.storage.patience import Patience, ServerAwayError, is_outage, outages_ignored
from bench.storage.patience_setting import PATIENCE_VARIABLE, patience_s
from posemodel.errors import SettingsError
from tests.bench.test_tracking_server import answering, closed, silent  # noqa: F401 (fixtures)

JSON_ERROR = b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "No such run"}'


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    monkeypatch.setattr(patience, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")


def error_of(call):
    with pytest.raises(Exception) as caught:
        call()
    return caught.value


def asked(port):
    """The error of MLflow's client."""
    return error_of(lambda: mlflow.MlflowClient(f"http://127.0.0.1:{port}").get_run("a" * 32))


def connected(url):
    """The error of a database's driver."""
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    return error_of(engine.connect)


@contextmanager
def hanging_up(said):
    """A server that ends after these bytes of an answer: as one that is killed meanwhile."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.wfile.write(said)
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, *_arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_server_or_its_proxy_that_cannot_answer_now_is_away(status):
    with answering(status, "text/html", b"") as port:
        assert is_outage(asked(port))


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_server_that_refuses_is_not(status):
    with answering(status, "application/json", JSON_ERROR) as port:
        assert not is_outage(asked(port))


def test_nobody_who_listens_is_an_outage(closed):  # noqa: F811
    assert is_outage(asked(closed))


def test_a_server_that_says_nothing_is_away(silent):  # noqa: F811
    assert is_outage(asked(silent))


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"], ids=["at once", "later"])
def test_a_server_that_ends_in_an_answer_is_away(said):
    with hanging_up(said) as port:
        assert is_outage(asked(port))


def test_a_database_at_which_nobody_listens_is_away(closed):  # noqa: F811
    pytest.importorskip("psycopg", reason="psycopg is not installed (extra `postgres`)")
    assert is_outage(connected(f"postgresql+psycopg://me@127.0.0.1:{closed}/mine"))


def test_a_missing_socket_is_an_outage(tmp_path):
    pytest.importorskip("psycopg", reason="psycopg is not installed (extra `postgres`)")
    assert is_outage(connected(f"postgresql+psycopg://me@/mine?host={tmp_path}"))


def test_an_error_of_a_file_is_none(tmp_path):
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/none/file.db")
    assert not is_outage(error_of(engine.connect))
    assert not is_outage(error_of((tmp_path / "none").read_text))


class FailedError(Exception):
    """A driver's error, made up: `of` is its driver, ``sqlstate`` PostgreSQL's code."""

    def __init__(self, *told, sqlstate=None):
        super().__init__(*told)
        self.sqlstate = sqlstate


def of(driver, *told, error=sqlalchemy.exc.OperationalError, invalidated=False, sqlstate=None):
    """What SQLAlchemy makes of it."""
    raised = type("Failed", (FailedError,), {"__module__": driver})(*told, sqlstate=sqlstate)
    return error("SELECT 1", {}, raised, connection_invalidated=invalidated)


@pytest.mark.parametrize(
    ("sqlstate", "away"),
    [
        *((code, True) for code in ("08000", "08006", "57P01", "57P02", "57P03", "53300")),
        *((code, False) for code in ("07001", "57014", "57P04", "53100", "53400", "28P01", "42P01")),
    ],
)
def test_postgresql_says_by_its_code_whether_it_is_away(sqlstate, away):
    assert is_outage(of("psycopg.errors", "words", sqlstate=sqlstate)) is away
    assert is_outage(of("psycopg.errors", "words", sqlstate=sqlstate, invalidated=True))


@pytest.mark.parametrize(
    ("code", "away"),
    [
        *((code, True) for code in (1040, 1053, 2002, 2003, 2006, 2013)),
        *((code, False) for code in (1041, 1045, 1054, 1064, 2004, 2007, 2014)),
    ],
)
def test_so_does_mysql(code, away):
    assert is_outage(of("pymysql.err", code, "words")) is away
    assert not is_outage(of("pymysql.err", code, "words", error=sqlalchemy.exc.ProgrammingError))


@pytest.mark.parametrize(
    ("driver", "text", "away"),
    [
        ("psycopg", "whatever kept it from connecting", True),
        ("psycopg", 'FATAL:  password authentication failed for user "me"', False),
        ("psycopg", "FATAL:  the database system is starting up", True),
        ("psycopg", "FATAL:  sorry, too many clients already", True),
        ("asyncpg", "whatever kept it from connecting", False),
        ("asyncpg", "Connection refused", True),
        ("sqlite3", "connection refused", False),
        ("sqlite3", "database is locked", False),
    ],
)
def test_a_driver_without_a_code_says_it_in_words(driver, text, away):
    assert is_outage(of(driver, text)) is away
    assert is_outage(of(driver, text, error=sqlalchemy.exc.InterfaceError)) is away
    assert is_outage(of(driver, text, invalidated=True))


@pytest.mark.parametrize(
    ("error", "away"),
    [
        *((OSError(code, "words"), True) for code in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN)),
        (OSError(errno.ENOSPC, "words"), False),
        (socket.gaierror(-2, "words"), True),
        (TimeoutError("words"), True),
        (OSError("too many 503 error responses"), True),
        (OSError("too many 404 error responses"), False),
    ],
    ids=repr,
)
def test_a_network_that_is_down_is_an_outage(error, away):
    assert is_outage(error) is away


def test_pauses_double_up_to_the_longest(monkeypatch):
    monkeypatch.undo()
    assert list(islice(patience._pauses(), 7)) == [0.25, 0.5, 1, 2, 4, 5, 5]


def test_an_error_while_another_is_handled_is_judged_by_itself():
    def act():
        try:
            raise ConnectionRefusedError
        except ConnectionRefusedError:
            raise ValueError  # noqa: B904 (as a mistake in a handler does)

    assert not is_outage(error_of(act))
    assert not is_outage(ServerAwayError("it has been waited for"))


class Server:
    """Away for some calls, then there."""

    def __init__(self, calls):
        self.calls = calls

    def __call__(self):
        self.calls -= 1
        if self.calls >= 0:
            raise ConnectionRefusedError("nobody listens")
        return "an answer"


def test_a_call_is_repeated_until_the_server_answers(capsys):
    outages = []
    before = time.time()
    wait = Patience(RECORDS, "http://me:hunter22@tracking", outages.append)
    assert wait(Server(3)) == "an answer"
    began, ended = outages
    assert before <= began.since <= time.time()
    assert (began.store, ended) == (RECORDS, None)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert "(http://***@tracking) is away; waiting for it for up to 600 s" in said[0]
    assert said[0].endswith("(POSEBENCH_SERVER_PATIENCE): nobody listens")
    assert "answers again" in said[1]
    outages.clear()
    assert wait(Server(0)) == "an answer"
    assert (outages, capsys.readouterr().err) == ([], "")


def test_a_server_that_stays_away_ends_the_waiting(monkeypatch):
    monkeypatch.setenv(PATIENCE_VARIABLE, "0.05s")
    with pytest.raises(
        ServerAwayError, match=r"^storage postgresql://me:\*\*\*@db/x: .*\(nobody listens\).*PATIENCE=1h"
    ):
        Patience(LEDGER, "postgresql://me:hunter22@db/x")(Server(10**6))


def test_a_server_that_answers_with_errors_is_said_to_do_so(monkeypatch, capsys):
    monkeypatch.setenv(PATIENCE_VARIABLE, "0.05s")
    with answering(500, "text/html", b"") as port:
        call = partial(mlflow.MlflowClient(f"http://127.0.0.1:{port}").get_run, "a" * 32)
        with pytest.raises(ServerAwayError, match=r"answered with errors alone \(HTTP 500\) .* Its log says why"):
            Patience(RECORDS, "http://tracking")(call)
    said = capsys.readouterr().err
    assert "answers with errors alone (HTTP 500); waiting for it" in said
    assert "away" not in said


def test_an_ended_waiting_is_not_begun_again_by_who_waits_around_it(monkeypatch):
    monkeypatch.setenv(PATIENCE_VARIABLE, "0.05s")
    inner, calls = Patience(LEDGER, "postgresql://db/x"), []

    def call():
        calls.append(1)
        return inner(Server(10**6))

    with pytest.raises(ServerAwayError, match="storage"):
        Patience(RECORDS, "http://tracking")(call)
    assert len(calls) == 1


def test_other_errors_are_raised_at_once():
    calls = []

    def call():
        calls.append(1)
        raise ValueError("a mistake")

    with pytest.raises(ValueError, match="a mistake"):
        Patience(RECORDS, "http://tracking")(call)
    assert len(calls) == 1


def test_cleaning_up_does_not_wait(capsys):
    server = Server(10**6)
    with outages_ignored():
        Patience(LEDGER, "postgresql://db/x")(server)
    assert server.calls == 10**6 - 1
    assert capsys.readouterr().err == ""


def test_cleaning_up_without_a_tracking_server_is_no_error_of_settings(closed):  # noqa: F811
    opened = False
    with outages_ignored():
        Tracker(f"http://127.0.0.1:{closed}", "mine")
        opened = True
    assert not opened


def test_cleaning_up_ignores_outages_alone():
    with outages_ignored():
        raise ConnectionRefusedError
    with outages_ignored():
        raise ServerAwayError("it has been waited for")
    with pytest.raises(ValueError, match="a mistake"), outages_ignored():
        raise ValueError("a mistake")


@pytest.mark.parametrize(("text", "seconds"), [
    ("90s", 90), ("10m", 600), ("1.5h", 5400), ("1h30m", 5400), (" 1h 30m 5s", 5405), ("2H", 7200),
    ("0s", 0), ("", 600),
])  # fmt: skip
def test_how_long_is_a_duration(monkeypatch, text, seconds):
    monkeypatch.setenv(PATIENCE_VARIABLE, text)
    assert patience_s() == seconds


@pytest.mark.parametrize(("text", "said"), [
    ("soon", "must be a time, such as 90s, 10m, 2h or 1h30m"),
    ("10", "has no unit: give 10m for minutes, 10h or 10s"),
    ("-1s", "must be a time"),
    ("1d", "must be a time"),
    ("30m1h", "must be a time"),
    (" ", "must be a time"),
])  # fmt: skip
def test_anything_else_is_refused(monkeypatch, text, said):
    monkeypatch.setenv(PATIENCE_VARIABLE, text)
    with pytest.raises(SettingsError, match=f"environment POSEBENCH_SERVER_PATIENCE {text}: {said}"):
        patience_s()


def test_an_option_has_the_same_words_but_some_time():
    assert parse_duration("1h30m", "--time-limit") == 5400
    with pytest.raises(SettingsError, match="--time-limit 0s: must be longer than 0"):
        parse_duration("0s", "--time-limit")


def test_a_study_is_told_before_it_begins(posebench, monkeypatch, valley_file):
    monkeypatch.setenv(PATIENCE_VARIABLE, "soon")
    code, _, err = posebench("study", "optimizers", "--preset", "smoke", "--study", valley_file())
    assert code == 2
    assert "environment POSEBENCH_SERVER_PATIENCE soon: must be a time" in err


def test_a_client_is_patient_and_its_impatient_form_is_not():
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    client = patient(uri, lambda: mlflow.MlflowClient(tracking_uri=uri))
    assert client.tracking_uri == uri
    with pytest.raises(Exception, match="Connection refused"):
        impatient(client).get_run("a" * 32)
    assert impatient(impatient(client)) is impatient(client)
    found = []
    thread = threading.Thread(target=lambda: found.append(error_of(lambda: client.get_run("a" * 32))))
    thread.start()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), _NoSuchRun)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    thread.join(60)
    server.shutdown()
    server.server_close()
    assert "No such run" in str(found[0])


class _NoSuchRun(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(JSON_ERROR)))
        self.end_headers()
        self.wfile.write(JSON_ERROR)

    def log_message(self, *_arguments):
        pass


def test_a_file_needs_no_patience(tracking_uri):
    tracker = Tracker(tracking_uri, "mine")
    assert isinstance(tracker.client, mlflow.MlflowClient)
    assert tracker.at_once.client is tracker.client
