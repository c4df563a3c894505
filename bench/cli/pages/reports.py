"""Files of a study's report: those in its folder, or without a folder the artifacts of its run in MLflow."""

import re
from dataclasses import dataclass
from pathlib import Path

from bench.records.reader import StudyRuns
from bench.records.writer import Tracker
from posemodel.errors import SettingsError

STUDY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""Valid study names, which are also safe folder names: no path separator, no leading dot."""
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".toml": "text/plain; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".svg": "image/svg+xml",
}
"""Content types of a report's files by suffix; other files are not served."""


@dataclass(frozen=True)
class Report:
    """A readable report."""

    files: tuple[str, ...]
    """Names of its files, sorted."""
    where: Path | StudyRuns
    """Folder or MLflow runs that hold the files."""

    def read(self, name: str) -> bytes | None:
        """Return the content of a file; None if there is no such file (any more)."""
        if name not in self.files:
            return None
        if isinstance(self.where, StudyRuns):
            return self.where.report_file(name)
        try:
            return (self.where / name).read_bytes()
        except OSError:
            return None


def report_of(study: str, reports: Path, tracking_uri: str) -> Report | None:
    """Return the report of a study; None if there is none or the name is not valid. ``reports``: folder of reports."""
    if not STUDY_NAME.fullmatch(study):
        return None
    folder = reports / study
    if files := _files_of(folder):
        return Report(files, folder)
    try:
        runs = Tracker(tracking_uri, study, create=False)
        files = tuple(name for name in runs.report_files() if Path(name).suffix in TYPES)
    except SettingsError:
        return None
    return Report(files, runs) if files else None


def _files_of(folder: Path) -> tuple[str, ...]:
    """Return the files of a report's folder; empty if the folder is a link to another place; files that are links to
    another place are left out."""
    try:
        here = folder.resolve(strict=True)
        if here.parent != folder.parent.resolve():
            return ()
        return tuple(
            sorted(
                path.name
                for path in folder.iterdir()
                if path.suffix in TYPES and path.is_file() and path.resolve().parent == here
            )
        )
    except OSError:
        return ()
