"""The files of a study's report: those of its folder, else those that hang on its run in MLflow."""

import re
from dataclasses import dataclass
from pathlib import Path

from bench.records.reader import StudyRuns
from bench.records.writer import Tracker
from posemodel.errors import SettingsError

STUDY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""What a study can be called, and a folder of reports safely: no separator, no dot at the beginning."""
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
"""Of a report's files, by suffix; others are not shown."""


@dataclass(frozen=True)
class Report:
    """A report that can be read."""

    files: tuple[str, ...]
    """Their names, in order."""
    where: Path | StudyRuns

    def read(self, name: str) -> bytes | None:
        """One of its files; None where there is none of this name (any more)."""
        if name not in self.files:
            return None
        if isinstance(self.where, StudyRuns):
            return self.where.report_file(name)
        try:
            return (self.where / name).read_bytes()
        except OSError:
            return None


def report_of(study: str, reports: Path, tracking_uri: str) -> Report | None:
    """The report of a study; None where there is none, or nothing can be called so. ``reports``: their folder."""
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
    """The files of a report's folder; none where it is a link that leads elsewhere, and links among them neither."""
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
