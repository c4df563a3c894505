"""The stores that a study needs are checked before anything is done: a study of loaders has no ledger."""

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
