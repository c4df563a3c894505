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
