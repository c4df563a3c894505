"""The stores of the studies of this working directory: where they are, and whether they can be used."""

from dataclasses import dataclass
from pathlib import Path

from bench.cli.output import log_text
from bench.kinds import study_spec
from bench.records.store_check import check_stores, check_tracking
from bench.settings.shared import store_settings
from bench.storage.addresses import refuse_one_database
from bench.study.store_paths import StorePaths
from posemodel.errors import SettingsError

REPORTS_FOLDER = Path("reports")


def study_paths(own_report: Path | None = None) -> StorePaths:
    """Where state and reports go: the environment's URLs, else files in the working directory.

    ``own_report``: the folder of the report, where it is named.
    """
    places = store_settings()
    return StorePaths(places["storage"].value, places["tracking_uri"].value, REPORTS_FOLDER, own_report)


@dataclass(frozen=True)
class StoreChecks:
    """What a command asks of both stores before it loads libraries, makes data or measures."""

    paths: StorePaths

    def require(self, kind: str) -> None:
        """SettingsError where the state of a study of this kind cannot be kept."""
        if study_spec(kind).runner == "ledger":
            check_stores(self.paths.storage_url, self.paths.tracking_uri)
        else:
            check_tracking(self.paths.tracking_uri, write=True)

    def require_records(self) -> None:
        """SettingsError where MLflow's store cannot be read."""
        check_tracking(self.paths.tracking_uri, write=False)

    def trouble_with_records(self) -> str:
        """Why MLflow's store cannot be read, which is said at once; "" where it can be, or there is none yet.

        SettingsError where both stores are one database.
        """
        refuse_one_database(self.paths.storage_url, self.paths.tracking_uri)
        try:
            self.require_records()
        except SettingsError as error:
            log_text(f"posebench: {error}")
            return str(error)
        return ""
