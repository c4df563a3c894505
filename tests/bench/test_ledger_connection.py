"""How a ledger's database is opened, and since when a server has been in sight."""

from types import SimpleNamespace

import pytest

from bench.ledger import connection as module
from bench.ledger.connection import FURTHER, OPENED, UNSEEN_S, Connection, _engine_options, _Sight
from bench.ledger.format import GRACE_S

KEPT = {"pool_pre_ping": True, "pool_size": OPENED, "max_overflow": FURTHER}
"""Of a server: a connection that has been closed meanwhile is noticed before it is used."""


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("sqlite:///optuna.db", {"connect_args": {"timeout": 60}}),
        ("sqlite:///optuna.db?timeout=3", {}),
        ("mysql+pymysql://host/base?connect_timeout=3", KEPT),
        (
            "postgresql://host/base",
            KEPT | {"connect_args": {"connect_timeout": 10, "keepalives_idle": 10, "tcp_user_timeout": 30_000}},
        ),
        (
            "postgresql+psycopg://host/base?connect_timeout=3&keepalives_idle=4",
            KEPT | {"connect_args": {"tcp_user_timeout": 30_000}},
        ),
        ("postgresql+asyncpg://host/base", KEPT),
    ],
)
def test_what_a_url_says_itself_takes_precedence(url, options):
    assert _engine_options(url, sqlite=url.startswith("sqlite")) == options


@pytest.fixture
def now(monkeypatch):
    """The seconds that have passed, to be set."""
    moment = [1000.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: moment[0]))
    return moment


def test_a_server_is_in_sight_since_the_first_answer_after_an_outage_or_a_long_silence(now):
    sight = _Sight()
    assert sight.lasts_for_s() == 0
    sight.answered()
    for _ in range(3):
        now[0] += UNSEEN_S
        assert sight.lasts_for_s() > 0
        sight.answered()
    assert sight.lasts_for_s() == 3 * UNSEEN_S
    now[0] += UNSEEN_S + 0.5
    sight.answered()
    assert sight.lasts_for_s() == 0
    now[0] += 1
    assert sight.lasts_for_s() == 1
    sight.lost()
    assert sight.lasts_for_s() == 0
    now[0] += 1
    assert sight.lasts_for_s() == 0
    sight.answered()
    now[0] += 2
    assert sight.lasts_for_s() == 2


def test_workers_elsewhere_have_had_time_once_a_server_was_in_sight_for_as_long_as_they_may_be_silent(now):
    opened = Connection.__new__(Connection)
    opened.is_server, opened._sight = True, _Sight()
    opened._sight.answered()
    now[0] += GRACE_S
    assert not opened.others_had_time
    now[0] += 0.5
    assert opened.others_had_time
    opened.is_server, opened._sight = False, _Sight()
    assert opened.others_had_time, "a file does not go away"
