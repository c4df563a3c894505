"""The stores that a study needs are checked before anything is done: a study of loaders has no ledger."""

from contextlib import nullcontext

import pytest

from bench.cli.actions.stores import StoreChecks
from bench.study.store_paths import StorePaths
from posemodel.errors import SettingsError

KINDS = ("optimizers", "joint", "networks", "loaders")


@pytest.fixture
def checks(tmp_path):
    """Of stores at these addresses, below a folder of the test's own."""

    def make(storage, tracking):
        return StoreChecks(StorePaths(f"sqlite:///{tmp_path}/{storage}", f"sqlite:///{tmp_path}/{tracking}", "reports"))

    return make


def test_a_ledger_that_cannot_be_is_refused_to_all_but_studies_of_loaders(checks):
    refused = []
    for kind in KINDS:
        try:
            checks("no-such-folder/optuna.db", "mlflow.db").require(kind)
        except SettingsError as error:
            assert "POSEBENCH_STORAGE" in str(error)
            refused.append(kind)
    assert refused == ["optimizers", "joint", "networks"]


@pytest.mark.parametrize("kind", KINDS)
def test_records_that_cannot_be_are_refused_to_all(checks, tmp_path, kind):
    (tmp_path / "a-file").touch()
    with pytest.raises(SettingsError, match="MLFLOW_TRACKING_URI"):
        checks("optuna.db", "a-file/mlflow.db").require(kind)


@pytest.mark.parametrize(("act", "refuses"), [("require", True), ("require_records", False), ("trouble", False)])
def test_records_that_cannot_be_written_can_be_read(checks, tmp_path, act, refuses):
    """Whoever only looks makes no folder for them."""
    (tmp_path / "a-file").touch()
    there = checks("optuna.db", "a-file/mlflow.db")
    acts = {
        "require": lambda: there.require("loaders"),
        "require_records": there.require_records,
        "trouble": there.trouble_with_records,
    }
    with pytest.raises(SettingsError, match="cannot be opened") if refuses else nullcontext():
        assert not acts[act]()
