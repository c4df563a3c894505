"""A hundred clients join a study at once, as many as a PostgreSQL takes connections that nobody has set up for more.

The short sibling, with fewer clients, is in `tests/end_to_end/test_postgres.py`.
"""

from tests.end_to_end.test_postgres import all_join
from tests.support.postgres import USER, postgres_server

SHARD = "kills"
COVERS = ("bench/ledger/*.py", "bench/storage/patience.py", "tests/end_to_end/test_postgres.py")
CLIENTS = 100
"""PostgreSQL has as many connections, unless it is set up for more: with the test's own, there is one client more."""


def test_a_hundred_clients_join_at_once(figures):
    with postgres_server(("race",)) as address:
        all_join(f"postgresql+psycopg://{USER}@{address}/race", "hundred", CLIENTS)
    figures["clients"] = CLIENTS
