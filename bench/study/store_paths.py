"""Where a study keeps its state and leaves its report."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StorePaths:
    """The two stores of a study, and the folder of reports."""

    storage_url: str
    """The ledger's, an SQLAlchemy URL."""
    tracking_uri: str
    """MLflow's."""
    reports: Path
    """Holds a folder for each study."""
    own_report: Path | None = None
    """The folder of the report, where it is not one of the study's name in ``reports``."""

    def report_of(self, study: str) -> Path:
        """The folder of a study's report."""
        return self.reports / study if self.own_report is None else self.own_report
