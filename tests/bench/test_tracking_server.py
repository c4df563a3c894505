"""A tracking server that does not answer, or is none, is said at the start; never after minutes of silent tries."""

import base64
import json
import socket
import threading
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from bench.records import server as tracking_server
from bench.records import store_check
from bench.records.server import check_server
from bench.records.store_check import check_tracking
from bench.storage.database_check import NoAnswerError
from posemodel.errors import SettingsError

HTML = b"<html><body>Sign in</body></html>"
NONE = {
    "a page": (200, "text/html", HTML),
    "nothing there": (404, "text/html", HTML),
    "another service": (200, "application/json", b'{"status": "fine"}'),
    "a list": (200, "application/json", b"[]"),
    "its own error": (404, "application/json", b'{"detail": "Not Found"}'),
}
GOOD = {
    "no experiment": (200, "application/json", b"{}"),
    "one": (200, "application/json", b'{"experiments": [{"name": "Default"}]}'),
    "an error of MLflow": (400, "application/json", b'{"error_code": "INVALID_PARAMETER_VALUE", "message": ""}'),
    "a login": (401, "text/html", HTML),
}


@contextmanager
def answering(status, kind, body, seen=None):
    """A server that answers every request so; gives its port. ``seen``: gets each request's path and login."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if seen is not None:
                seen.append((self.path, self.headers.get("Authorization")))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def silent():
    """A port that takes connections and never says a word."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        yield listening.getsockname()[1]


@pytest.fixture
def closed():
    """A port at which nobody listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        return listening.getsockname()[1]


@pytest.fixture
def impatient(monkeypatch):
    """A tenth of the time for an answer."""
    monkeypatch.setattr(tracking_server, "ANSWER_S", tracking_server.ANSWER_S / 10)


def refusal(address, cause=None):
    with pytest.raises(SettingsError) as error:
        check_server(address)
    text = str(error.value)
    assert text.startswith("MLFLOW_TRACKING_URI http")
    assert "\n" not in text
    assert "et MLFLOW_TRACKING_URI to" in text, "the remedy"
    assert cause is None or isinstance(error.value.__cause__, cause)
    return text


@pytest.mark.parametrize("answer", GOOD)
def test_an_mlflow_server_is_taken(answer):
    with answering(*GOOD[answer]) as port:
        check_server(f"http://127.0.0.1:{port}")
        check_server(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize("answer", NONE)
def test_a_server_of_another_kind_is_said_to_be_one(answer):
    with answering(*NONE[answer]) as port:
        assert f"is no MLflow server (asked for its experiments it answers HTTP {NONE[answer][0]}" in refusal(
            f"http://127.0.0.1:{port}"
        )


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_server_in_trouble_is_said_to_be_so(status):
    with answering(status, "text/html", HTML) as port:
        assert f"answers HTTP {status}" in refusal(f"http://127.0.0.1:{port}")


def test_nobody_there_is_said_at_once(closed):
    assert "cannot be reached (Connection refused)" in refusal(f"http://127.0.0.1:{closed}", requests.ConnectionError)


def test_a_name_that_nobody_has_is_said(impatient):
    text = refusal("http://me:hunter22@no-such-host.invalid:5000")
    assert "cannot be reached (" in text or "does not answer" in text
    assert "hunter22" not in text


def test_a_server_that_never_answers_is_given_up(silent, impatient):
    assert "does not answer within" in refusal(f"http://127.0.0.1:{silent}", (requests.Timeout, NoAnswerError))


def test_a_server_whose_answer_never_ends_is_given_up_too(impatient):
    """Each byte comes soon after the one before."""
    given_up = threading.Event()

    def drip():
        connection, _ = listening.accept()
        with connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
            while not given_up.wait(0.05):
                connection.sendall(b"x")

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        assert "does not answer within" in refusal(f"http://127.0.0.1:{listening.getsockname()[1]}", NoAnswerError)
        given_up.set()
        thread.join()


def test_a_server_that_speaks_no_http_is_said():
    def hang_up():
        connection, _ = listening.accept()
        connection.recv(100)
        connection.sendall(b"220 mail ready\r\n")
        connection.close()

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        assert "cannot be reached (" in refusal(f"http://127.0.0.1:{listening.getsockname()[1]}")
        thread.join()


def test_the_start_takes_less_than_ten_seconds():
    """With the seconds in which the command is loaded, and asked once."""
    assert tracking_server.ANSWER_S <= 5


def test_who_asks_is_told_as_mlflow_does(monkeypatch):
    seen = []
    with answering(*GOOD["no experiment"], seen) as port:
        check_server(f"http://me:word@127.0.0.1:{port}")
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "token")
        check_server(f"http://127.0.0.1:{port}")
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "word")
        check_server(f"http://127.0.0.1:{port}")
    basic = f"Basic {base64.b64encode(b'me:word').decode()}"
    assert [login for _, login in seen] == [basic, "Bearer token", basic]
    assert {path.partition("?")[0] for path, _ in seen} == {"/api/2.0/mlflow/experiments/search"}


def test_one_who_only_looks_asks_a_dead_server_once_in_a_while(monkeypatch):
    asked = []
    monkeypatch.setattr(store_check, "_refused", {})
    with answering(*NONE["a page"], asked) as port:
        for _ in range(3):
            with pytest.raises(SettingsError, match="is no MLflow server"):
                check_tracking(f"http://127.0.0.1:{port}", write=False)
        assert len(asked) == 1
        monkeypatch.setattr(store_check, "REFUSED_S", 0.0)
        with pytest.raises(SettingsError, match="is no MLflow server"):
            check_tracking(f"http://127.0.0.1:{port}", write=False)
    assert len(asked) == 2


STUDIES = (
    ("study", "optimizers", "--preset", "smoke"),
    ("study", "joint", "--preset", "smoke"),
    ("study", "loaders", "--preset", "smoke"),
    ("report", "mine"),
    ("compare", "mine", "other"),
    ("loader", "advise"),
)


@pytest.mark.parametrize("arguments", STUDIES, ids=" ".join)
def test_every_command_that_needs_the_server_says_so_and_makes_nothing(
    posebench, monkeypatch, hermetic, silent, impatient, tiny, arguments
):
    monkeypatch.setattr(store_check, "_refused", {})
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:hunter22@127.0.0.1:{silent}")
    data = ("--data", tiny) if arguments[0] in ("study", "loader") else ()
    code, out, err = posebench(*arguments, *data)
    assert code == 2
    assert err.count("\n") == 1
    assert f"MLFLOW_TRACKING_URI http://***@127.0.0.1:{silent}: does not answer within" in err
    assert "hunter22" not in out + err
    assert list(hermetic.iterdir()) == []


@pytest.mark.parametrize("arguments", [("study", "list"), ("study", "status", "mine")], ids=" ".join)
def test_looking_says_so_too(posebench, monkeypatch, hermetic, silent, impatient, arguments):
    monkeypatch.setattr(store_check, "_refused", {})
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:hunter22@127.0.0.1:{silent}")
    _, out, err = posebench(*arguments)
    assert err.count("does not answer within") == 1
    assert "hunter22" not in out + err
    assert list(hermetic.iterdir()) == []


def test_the_answers_of_this_test_are_mlflow_s():
    """That a page of experiments is an object with their list, or an empty one: as MLflow writes its messages."""
    from mlflow.entities import Experiment
    from mlflow.protos.service_pb2 import SearchExperiments
    from mlflow.utils.proto_json_utils import message_to_json

    message = SearchExperiments.Response()
    assert json.loads(message_to_json(message)) == {}
    message.experiments.append(Experiment("0", "Default", "", "active").to_proto())
    assert set(json.loads(message_to_json(message))) == {"experiments"}
