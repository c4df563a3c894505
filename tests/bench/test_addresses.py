"""What is wrong with an address is said in a line with its remedy, and two addresses of one database are known."""

import pytest

from bench.storage.addresses import LEDGER, RECORDS, check_form, is_database, refuse_shared_database
from posemodel.errors import SettingsError

GOOD = {
    LEDGER: (
        "sqlite:///optuna.db",
        "sqlite:///optuna.db?timeout=60",
        "sqlite+pysqlite:////tmp/optuna.db",
        "sqlite:///file:optuna.db?uri=true",
        "postgresql://me:a%40b@db:5432/base?sslmode=require",
        "postgresql+psycopg://me@db/base",
        "mysql+pymysql://db/base",
    ),
    RECORDS: (
        "sqlite:///mlflow.db",
        "http://127.0.0.1:5000",
        "https://token@tracking/x",
        "databricks",
        "databricks://me",
    ),
}
BAD = {
    LEDGER: {
        "optuna.db": "Did you mean sqlite:///optuna.db?",
        "sqlite://optuna.db": "Did you mean sqlite:///optuna.db?",
        "sqlite:/optuna.db": "Did you mean sqlite:///optuna.db?",
        "sqlit:///optuna.db": "Did you mean sqlite://?",
        "sqlite://": "a database in memory",
        "sqlite:///:memory:": "a database in memory",
        "sqlite:///~/optuna.db": "sqlite:////home/ME/optuna.db",
        "127.0.0.1:5432": "Did you mean postgresql://127.0.0.1:5432/DATABASE?",
        "postgres://db/base": "`postgresql://`",
        "postgresql://me:a@b@db/base": "`@` as %40",
        "postgresql://db:port/base": "its port is no number",
        "redis://127.0.0.1": "no database that is called redis://",
        "http://127.0.0.1:5000": "no database that is called http://",
        "": "is empty",
        " sqlite:///optuna.db": "begins or ends with a blank",
    },
    RECORDS: {
        "./mlruns": "is a folder of files",
        "file:///tmp/mlruns": "is a folder of files",
        "mlruns/exp.db": "Did you mean sqlite:///mlruns/exp.db?",
        "127.0.0.1:5000": "Did you mean http://127.0.0.1:5000?",
        "tracking.example.org:80/x": "Did you mean http://tracking.example.org:80/x?",
        "localhost:5000": "Did you mean http://localhost:5000?",
        "http:/localhost:5000": "Did you mean http://localhost:5000?",
        "htp://localhost:5000": "Did you mean http://?",
        "http://": "is no address of a server",
        "http://me:pa#ss@tracking": "`@` as %40",
        "s3://bucket": "no database that is called s3://",
    },
}
HERE = "postgresql://me:word@localhost/base"
SAME = (
    ("sqlite:///all.db", "sqlite:///./all.db"),
    ("sqlite:///all.db", "sqlite:///{here}/all.db?timeout=60"),
    ("sqlite:///all.db", "sqlite+pysqlite:///sub/../all.db"),
    ("sqlite:///all.db", "sqlite:///file:all.db?uri=true"),
    ("all.db", "sqlite:///all.db"),
    ("sqlite:///link.db", "sqlite:///made.db"),
    (HERE, "postgresql+psycopg://other:pass@127.0.0.1:5432/base?sslmode=require"),
    (HERE, "postgres://me:word@LOCALHOST/base"),
    (HERE, "postgresql:///base?host=/var/run/postgresql"),
    (HERE, "postgresql://[::1]/base"),
    ("postgresql://base@localhost", HERE),
    ("mysql://a@db/base", "mariadb+pymysql://b@db:3306/base"),
    ("mssql://a@db/base", "mssql+pymssql://b@db:1433/base"),
    ("oracle://a@db/base", "oracle+oracledb://b@db:1521/base"),
)
OTHERS = (
    ("sqlite:///optuna.db", "sqlite:///mlflow.db"),
    ("sqlite:///all.db", "sqlite:///sub/all.db"),
    ("sqlite:///all.db", "http://localhost:5000"),
    (HERE, "postgresql://me:word@localhost/records"),
    (HERE, "postgresql://me:word@localhost:5433/base"),
    (HERE, "postgresql://me:word@db/base"),
    (HERE, "mysql://me:word@localhost/base"),
    (f"{HERE}?options=-csearch_path%3Dledger", f"{HERE}?options=-csearch_path%3Drecords"),
)


@pytest.mark.parametrize(("store", "address"), [(store, each) for store, all_ in GOOD.items() for each in all_])
def test_addresses_that_can_be_opened(store, address):
    check_form(store, address)


@pytest.mark.parametrize(
    ("store", "address", "why"), [(s, a, why) for s, all_ in BAD.items() for a, why in all_.items()]
)
def test_an_address_that_cannot_be_opened_is_told_with_its_remedy(store, address, why):
    with pytest.raises(SettingsError) as error:
        check_form(store, address)
    text = str(error.value)
    assert text.startswith(f"{store.title} ")
    assert why in text
    assert "\n" not in text


@pytest.mark.parametrize("store", GOOD)
@pytest.mark.parametrize(
    "address", ["me:hunter22@db/base", "postgresql:/me:hunter22@db/base", "postgresql:me:hunter22@db"]
)
def test_a_password_is_masked_in_what_is_no_address_yet(store, address):
    with pytest.raises(SettingsError) as error:
        check_form(store, address)
    assert "hunter22" not in str(error.value)
    assert "db" in str(error.value)


def test_what_only_mlflow_knows_is_no_database():
    assert not is_database("databricks://me")
    assert not is_database("http://127.0.0.1:5000")
    assert is_database("postgresql+psycopg://db/base")


@pytest.mark.parametrize(("storage", "tracking"), SAME)
def test_one_database_for_both_is_refused_however_it_is_written(hermetic, storage, tracking):
    (hermetic / "sub").mkdir()
    (hermetic / "made.db").touch()
    (hermetic / "link.db").symlink_to("made.db")
    for first, second in ((storage, tracking), (tracking, storage)):
        with pytest.raises(SettingsError, match="both are the database") as error:
            refuse_shared_database(first.format(here=hermetic), second.format(here=hermetic))
        assert "word" not in str(error.value)
        assert "pass@" not in str(error.value)


@pytest.mark.parametrize(("storage", "tracking"), OTHERS)
def test_two_databases_are_two(storage, tracking):
    refuse_shared_database(storage, tracking)
    refuse_shared_database(tracking, storage)
