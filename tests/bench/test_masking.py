"""Passwords and tokens are masked in addresses, and in whatever text an address or its password stands in."""

import io
import logging
import sys
import traceback
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cli.actions.going_on import going_on
from bench.storage.masking import MASK, MaskedStream, masked, masked_errors
from bench.trials.record import make_record
from bench.trials.status import Status
from tests.support.plans import first_trials

ADDRESSES = {
    "postgresql://me:hunter22@db:5432/base?sslmode=require": "postgresql://me:***@db:5432/base?sslmode=require",
    "postgresql+psycopg://me:hunt%40er22@db/base": "postgresql+psycopg://me:***@db/base",
    "postgresql://me:hunt@er22@db/base": "postgresql://me:***@db/base",
    "postgresql://me:hunt/er#22@db/base": "postgresql://me:***@db/base",
    "mysql://root:@db/base": "mysql://root:***@db/base",
    "postgresql://db/base?user=me&password=hunter22&sslmode=require": (
        "postgresql://db/base?user=me&password=***&sslmode=require"
    ),
    "mssql+pyodbc://db/base?driver=x&PWD=hunter22": "mssql+pyodbc://db/base?driver=x&PWD=***",
    "http://me:hunter22@tracking:5000": "http://***@tracking:5000",
    "https://a-long-token-of-some-kind@tracking/x": "https://***@tracking/x",
    "https://token:@tracking": "https://***@tracking",
    "HTTPS://me:hunter22@tracking": "HTTPS://***@tracking",
    "http://tracking/?access_token=hunter22": "http://tracking/?access_token=***",
}
OPEN = (
    "sqlite:///mlflow.db",
    "sqlite:////tmp/a:b@c/mlflow.db?timeout=60",
    "postgresql+psycopg://me@db:5432/base?keepalives=1",
    "http://127.0.0.1:5000/#/experiments/1?user=a@b",
    "no address at all: a@b, key=value",
    '"http://tracking:5000/a","x@y"',
)


@pytest.mark.parametrize(("address", "shown"), ADDRESSES.items())
def test_a_password_is_masked_and_all_else_is_shown(address, shown):
    assert masked(address) == shown


@pytest.mark.parametrize("text", OPEN)
def test_what_holds_no_secret_stays_as_it_is(text):
    assert masked(text) == text


@given(st.text(st.characters(codec="utf-8", exclude_categories=("C",)), min_size=1))
def test_any_password_written_as_in_a_url_is_masked_in_any_text(password):
    address = f"postgresql://me:{quote(password, safe='')}@db/base"
    assert masked(address) == "postgresql://me:***@db/base"
    assert masked(f"cannot open {address} (no route)") == "cannot open postgresql://me:***@db/base (no route)"


def test_the_password_alone_is_masked_too_as_written_and_as_meant(monkeypatch):
    monkeypatch.setenv("POSEBENCH_STORAGE", "postgresql://me:hunt%20er22@db/base")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "token-of-mine")
    text = "login of hunt er22 (hunt%20er22) with token-of-mine refused"
    assert masked(text) == f"login of {MASK} ({MASK}) with {MASK} refused"


def test_a_password_that_is_the_user_s_name_does_not_tear_holes_into_words(monkeypatch):
    """It is masked in the address; everywhere else the word stands for the user, the database or the program."""
    monkeypatch.setenv("POSEBENCH_STORAGE", "postgresql://optuna:optuna@db/optuna")
    assert masked("pip install optuna") == "pip install optuna"
    assert masked("postgresql://optuna:optuna@db/optuna") == "postgresql://optuna:***@db/optuna"


def test_the_address_itself_may_be_given(monkeypatch):
    monkeypatch.delenv("POSEBENCH_STORAGE", raising=False)
    assert masked("host 'er22@db' of hunt@er22", "postgresql://me:hunt@er22@db/base") == f"host '{MASK}@db' of {MASK}"


def test_tracebacks_and_logs_are_masked_on_standard_error(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hunter22@tracking")
    monkeypatch.setattr(sys, "stderr", written := io.StringIO())
    with masked_errors():
        assert isinstance(sys.stderr, MaskedStream)
        try:
            raise RuntimeError("no answer of http://me:hunter22@tracking/api")
        except RuntimeError:
            traceback.print_exc()
        logging.lastResort.handle(logging.makeLogRecord({"msg": "hunter22 was wrong", "levelno": logging.ERROR}))
        sys.stderr.writelines(["password=hunter22\n"])
    assert sys.stderr is written
    assert "hunter22" not in written.getvalue()
    assert written.getvalue().count(MASK) >= 3
    assert "http://***@tracking/api" in written.getvalue()


def test_an_error_that_ends_the_process_is_printed_without_secrets(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hunter22@tracking")
    monkeypatch.setattr(sys, "stderr", written := io.StringIO())
    with pytest.raises(RuntimeError), masked_errors():
        raise RuntimeError("of hunter22")
    print("hunter22", file=sys.stderr)
    assert written.getvalue() == f"{MASK}\n"


def test_without_a_secret_standard_error_is_left_alone(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    before = sys.stderr
    with masked_errors():
        assert sys.stderr is before


@pytest.mark.parametrize("as_json", [(), ("--json",)], ids=["table", "json"])
def test_the_settings_are_shown_without_it(posebench, monkeypatch, as_json):
    monkeypatch.setenv("POSEBENCH_STORAGE", "postgresql://me:hunter22@db/base")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://a-long-token-of-mine@tracking")
    monkeypatch.setenv("POSEBENCH_CHECKPOINTS", "ftp://me:hunter22@host/folder")
    code, out, err = posebench("config", "show", *as_json)
    assert code == 0
    assert "hunter22" not in out + err
    assert "a-long-token-of-mine" not in out + err
    assert "postgresql://me:***@db/base" in out
    assert "https://***@tracking" in out
    assert "ftp://me:***@host/folder" in out


def test_a_command_to_copy_has_no_masked_password():
    """Copied, it would be refused as a wrong one."""
    words = ["posebench", "worker", "my study"]
    assert going_on(words, None) == ("posebench worker 'my study'", "")
    assert going_on(words, "s3://bucket/a b") == ("posebench worker 'my study' --checkpoints 's3://bucket/a b'", "")
    command, remark = going_on(words, "ftp://me:hunter22@host/folder")
    assert command == "posebench worker 'my study'"
    assert "with --checkpoints as before" in remark


def test_a_record_s_error_holds_none(make_spec, monkeypatch):
    """A user's own workload may fail with the words of a database."""
    monkeypatch.setenv("POSEBENCH_STORAGE", "postgresql://me:hunter22@db/base")
    (trial, *_) = first_trials(make_spec())
    record = make_record(trial, Status.FAILED, steps_done=0, metrics={}, error="ValueError: no login of me:hunter22")
    assert record.error == "ValueError: no login of me:***"
