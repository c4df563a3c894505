"""Addresses of a study's two stores, and the folder of its report."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StorePaths:
    """Addresses of a study's two stores, and the folder of reports."""

    storage_url: str
    """SQLAlchemy URL of the ledger."""
    tracking_uri: str
    """Address of the MLflow store."""
    reports: Path
    """Parent folder of the reports, one folder for each study."""
    own_report: Path | None = None
    """Folder of this study's report; None: the folder of its name in ``reports``."""

    def report_of(self, study: str) -> Path:
        """Return the folder of a study's report."""
        return self.reports / study if self.own_report is None else self.own_report
