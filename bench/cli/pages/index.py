"""Reads the current content of the index page from both stores."""

import threading
from collections.abc import Mapping

from bench.cli.pages.overview import StudyLine, study_lines
from bench.kinds import kind_of, study_size
from bench.records.reader import StudyRun, study_runs
from bench.storage.masking import masked
from bench.study.measurement_state import MeasurementState
from bench.study.progress import Progress
from bench.study.status import StatusReader
from bench.study.store_paths import StorePaths
from posemodel.errors import SettingsError


class Index:
    """The studies of a working folder, read again at each request."""

    def __init__(self, paths: StorePaths) -> None:
        """Read the studies in the stores at ``paths``."""
        self._tracking_uri = paths.tracking_uri
        self._watcher = StatusReader(paths.storage_url, paths.tracking_uri, study_size)
        self._one_at_a_time = threading.Lock()

    def look(self) -> tuple[list[StudyLine], list[str]]:
        """Return a line for each study, and messages on what could not be read."""
        trouble: list[str] = []
        runs: Mapping[str, StudyRun] = {}
        progresses: list[Progress] = []
        standings: list[MeasurementState] = []
        with self._one_at_a_time:
            try:
                runs = study_runs(self._tracking_uri)
            except SettingsError as error:
                trouble.append(str(error))
            try:
                progresses, standings = self._watcher.all(), self._watcher.records.measurement_states(kind_of)
                trouble += self._watcher.errors.splitlines()
            except SettingsError as error:
                trouble.append(str(error))
        return study_lines(progresses, standings, runs), [masked(each) for each in dict.fromkeys(trouble)]
