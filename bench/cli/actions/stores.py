"""The stores of this working folder's studies: their addresses, and checks that they can be used."""

from dataclasses import dataclass
from pathlib import Path

from bench.cli.output import log_text
from bench.kinds import study_spec
from bench.records.store_check import check_stores, check_tracking
from bench.settings.shared_settings import store_settings
from bench.storage.addresses import refuse_shared_database
from bench.study.store_paths import StorePaths
from posemodel.errors import SettingsError

REPORTS_FOLDER = Path("reports")


def study_paths(own_report: Path | None = None) -> StorePaths:
    """Return the addresses of both stores and the folder of reports: from the environment, by default in the working
    folder.

    ``own_report``: folder of the report, if the command names one.
    """
    addresses = store_settings()
    return StorePaths(addresses["storage"].value, addresses["tracking_uri"].value, REPORTS_FOLDER, own_report)


@dataclass(frozen=True)
class StoreChecks:
    """Checks of both stores that a command makes before it imports libraries, makes data or measures."""

    paths: StorePaths

    def require(self, kind: str) -> None:
        """Raise SettingsError if a study of this kind could not store its state."""
        if study_spec(kind).runner == "ledger":
            check_stores(self.paths.storage_url, self.paths.tracking_uri)
        else:
            check_tracking(self.paths.tracking_uri, write=True)

    def require_records(self) -> None:
        """Raise SettingsError if MLflow's store cannot be read."""
        check_tracking(self.paths.tracking_uri, write=False)

    def refuse_shared(self) -> None:
        """Raise SettingsError if both stores are the same database."""
        refuse_shared_database(self.paths.storage_url, self.paths.tracking_uri)

    def trouble_with_records(self) -> str:
        """Return why MLflow's store cannot be read, after logging it; "" if it can be read or does not exist yet.

        SettingsError if both stores are the same database.
        """
        self.refuse_shared()
        try:
            self.require_records()
        except SettingsError as error:
            log_text(f"posebench: {error}")
            return str(error)
        return ""
