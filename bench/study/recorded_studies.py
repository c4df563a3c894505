"""The studies of an MLflow store for displays: their settings, ended trials and measurements; nothing is changed."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from bench.ledger.reader import read_identities
from bench.records import reader
from bench.records.writer import Tracker
from bench.storage.masking import masked
from bench.study.measurement_state import MeasurementState
from bench.trials.columns import rows_of
from bench.trials.progress import MS, EndedTrial, recorded
from posemodel.errors import SettingsError, did_you_mean

if TYPE_CHECKING:
    from bench.study.kind import StudyKind

KindOf = Callable[[Mapping[str, Any]], "StudyKind[Any]"]
"""Returns the kind of a stored study; SettingsError if this version has no such kind."""


class RecordedStudies:
    """The studies of one MLflow store; a store that cannot be read has none, and `error` says why."""

    def __init__(self, tracking_uri: str) -> None:
        """Nothing is read yet."""
        self.tracking_uri = tracking_uri
        self.error = ""
        """Reason why the store could not be read; empty if it could, or once the caller has cleared it."""
        self._ended: dict[str, tuple[frozenset[str], dict[str, EndedTrial], float | None]] = {}

    def documents(self) -> dict[str, dict[str, Any]]:
        """Return the stored specification of every study by name."""
        try:
            return reader.studies(self.tracking_uri)
        except SettingsError as error:
            self.error = str(error)
            return {}

    def finished(self, study: str) -> bool:
        """Return True if a study and its report are finished."""
        try:
            return Tracker(self.tracking_uri, study, create=False).finished()
        except SettingsError as error:
            self.error = str(error)
            return False

    def ended(self, study: str, known: frozenset[str]) -> tuple[dict[str, EndedTrial], float | None]:
        """Return a study's ended trials by id, and the time of its last record in seconds since the epoch.

        ``known``: ids of the trials that have ended according to the ledger. The records are read again only if these
        are others than at the last call.
        """
        if study not in self._ended or self._ended[study][0] != known:
            try:
                records = Tracker(self.tracking_uri, study, create=False).records()
            except SettingsError as error:
                self.error = str(error)
                return {}, None
            rows = rows_of(records)
            self._ended[study] = (known, recorded(rows), max((row["ended_ms"] / MS for row in rows), default=None))
        _, done, last = self._ended[study]
        return dict(done), last

    def measurement_states(self, kind_of: KindOf, name: str | None = None) -> list[MeasurementState]:
        """Return the state of every measurement study (or the one of this name), most recently active first."""
        states: list[MeasurementState] = []
        for study, document in self.documents().items():
            with suppress(SettingsError):  # from another version, or unreachable: `StatusReader.all` reports that
                kind = kind_of(document)
                if kind.spec.runner == "measurement" and name in (None, study):
                    states.append(kind.measurement_state(document, Tracker(self.tracking_uri, study, create=False)))
        return sorted(states, key=lambda each: (-(each.last_active or 0.0), each.study))

    def unknown(self, name: str, storage_url: str) -> SettingsError:
        """Return the error for a study that is neither here nor in the ledger, with the nearest names."""
        return _unknown(name, all_study_names(storage_url, self.tracking_uri), storage_url, self.tracking_uri)


def all_study_names(storage_url: str, tracking_uri: str) -> list[str]:
    """Return the names of all studies of any kind in the ledger and in MLflow, if that can be read."""
    names = {name for name, identity in read_identities(storage_url).items() if identity is not None}
    with suppress(SettingsError):
        names |= {*reader.studies(tracking_uri)}
    return sorted(names)


def open_records(storage_url: str, tracking_uri: str, name: str) -> Tracker:
    """Open a study's records in MLflow; SettingsError if there is no such study, or MLflow has nothing of it."""
    if name in reader.studies(tracking_uri):
        return Tracker(tracking_uri, name, create=False)
    names = all_study_names(storage_url, tracking_uri)
    if name in names:
        raise SettingsError(
            f"study {name}: is in the ledger at {masked(storage_url)}, but MLflow at {masked(tracking_uri)} holds "
            "no result of it. Restore that store, or set MLFLOW_TRACKING_URI to its address; if the study was stopped "
            "right after its start, run the same command again."
        )
    raise _unknown(name, names, storage_url, tracking_uri)


def _unknown(name: str, names: list[str], storage_url: str, tracking_uri: str) -> SettingsError:
    where = f"in this folder ({masked(storage_url)}, {masked(tracking_uri)})"
    if not names:
        return SettingsError(f"study: there is no study {name!r}, nor any other, {where}.")
    hint = did_you_mean(name, names, limit=3)
    return SettingsError(f"study: there is no study {name!r} {where}.{hint} `posebench study list` shows all.")
