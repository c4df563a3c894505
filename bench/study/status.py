"""Read-only view of the studies of a working directory; nothing is written, locked or created.

The ledger holds the planned, waiting and running trials, and of the ended ones the results that displays need. MLflow
holds the records; it is asked for what the ledger does not tell, of a study of an earlier version, say. A study that
is in only one of them is shown from that one.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bench.ledger.reader import LOST, RUNNING, WAITING, LedgerEntry, LedgerView, read_studies, read_study
from bench.study.progress import Progress, ProgressRow, StudySize, seconds_left
from bench.trials.progress import SECONDS, EndedTrial, RunningTrial
from bench.trials.status import Status
from posemodel.errors import SettingsError

if TYPE_CHECKING:
    from bench.study.recorded_studies import RecordedStudies

SizeOf = Callable[[Mapping[str, Any], Mapping[str, int]], StudySize | None]
"""Returns the size of a stored study from the trials planned so far by phase; None if its trials are in no ledger.

SettingsError if this version has no such kind."""


class StatusReader:
    """Reads the state of studies repeatedly; opens MLflow only for what the ledger does not tell."""

    def __init__(self, storage_url: str, tracking_uri: str, size_of: SizeOf, *, known_errors: str = "") -> None:
        """Watch a ledger and an MLflow store, either of which may be missing.

        ``known_errors``: an error about the stores that the user has already seen.
        """
        self.size_of = size_of
        self.storage_url, self.tracking_uri = storage_url, tracking_uri
        self.known_errors = known_errors
        self.errors = ""
        """Reasons why results or studies could not be read last time, one per line; empty if all could."""

    @cached_property
    def records(self) -> "RecordedStudies":
        """The studies in MLflow."""
        from bench.study.recorded_studies import RecordedStudies  # MLflow takes seconds, and is often not needed

        return RecordedStudies(self.tracking_uri)

    def all(self) -> list[Progress]:
        """Return the progress of every study in a ledger, most recently active first."""
        self.records.error = self.errors = ""
        looks = read_studies(self.storage_url)
        documents = self.records.documents() | {name: in_ledger.identity for name, in_ledger in looks.items()}
        studies = []
        errors = []
        for name, document in documents.items():
            try:
                size = self._size(document, looks.get(name))
                studies += [] if size is None else [self._progress(size, looks.get(name))]
            except SettingsError as error:
                errors.append(str(error))
        self.errors = "\n".join(filter(None, [self.records.error, *errors]))
        return sorted(studies, key=lambda progress: (-(progress.last_active or 0.0), progress.size.study))

    def one(self, name: str) -> Progress:
        """Return the progress of one study; SettingsError with the nearest names if there is none of that name."""
        progress = self.in_ledger(name)
        if progress is not None:
            return progress
        document = self.records.documents().get(name)
        self.errors = self.records.error
        if document is None:
            raise self.records.unknown(name, self.storage_url)
        size = self._size(document, None)
        if size is None:
            raise SettingsError(f"study {name}: is of kind {document['kind']}.")
        progress = self._progress(size, None)
        self.errors = self.records.error
        return progress

    def in_ledger(self, name: str) -> Progress | None:
        """Return the progress of a study of the ledger; None if the ledger has none of that name."""
        if "records" in vars(self):
            self.records.error = ""
        self.errors = ""
        found = read_study(self.storage_url, name)
        size = None if found is None else self._size(found.identity, found)
        if size is None:
            return None
        progress = self._progress(size, found)
        self.errors = self.records.error if "records" in vars(self) else ""
        return progress

    def _size(self, document: Mapping[str, Any], in_ledger: LedgerView | None) -> StudySize | None:
        planned = Counter(entry.phase for entry in in_ledger.entries) if in_ledger is not None else {}
        return self.size_of(document, planned)

    def _progress(self, size: StudySize, in_ledger: LedgerView | None) -> Progress:
        entries = in_ledger.entries if in_ledger is not None else []
        ended = {entry.trial_id: entry for entry in entries if entry.state not in (WAITING, RUNNING, LOST)}
        done, last_record = {trial_id: _ended(entry) for trial_id, entry in ended.items()}, None
        if in_ledger is None or not all(entry.results is not None for entry in ended.values()):
            recorded, last_record = self.records.ended(size.study, frozenset(ended))
            done |= recorded
        running_trials = {
            entry.trial_id: RunningTrial(
                entry.trial_id,
                entry.phase,
                entry.optimizer,
                entry.seed,
                entry.steps,
                entry.since or 0.0,
                *(entry.runner or (entry.host, entry.pid)),
                seconds=entry.seconds,
            )
            for entry in entries
            if entry.state == RUNNING and entry.trial_id not in done
        }
        awaiting = [
            entry.awaiting_since
            for entry in entries
            if entry.awaiting_since is not None and entry.trial_id in running_trials
        ]
        times = [in_ledger.last_active if in_ledger is not None else None, last_record]
        progress = Progress(
            size=size.after_trials(done),
            done=done,
            running_trials=running_trials,
            lost=sum(entry.state == LOST and entry.trial_id not in done for entry in entries),
            waiting_records=len(awaiting),
            away_since=min(awaiting, default=None),
            active=in_ledger is not None and in_ledger.active,
            workers=in_ledger.workers if in_ledger is not None else 0,
            last_active=max((time for time in times if time is not None), default=None),
        )
        # Whether more will be planned matters only once all that is planned has ended, and MLflow alone knows it.
        all_planned = size.plan_is_known or progress.status != "complete" or self.records.finished(size.study)
        return replace(progress, all_planned=all_planned)


def _ended(entry: LedgerEntry) -> EndedTrial:
    results = entry.results or {}
    row = {"trial_id": entry.trial_id, "phase": entry.phase, "optimizer": entry.optimizer, "status": entry.state}
    return EndedTrial.of({**results, **row}, results.get(SECONDS))


def list_document(studies: list[Progress]) -> dict[str, Any]:
    """Return the JSON document of `posebench study list`."""
    return {
        "studies": [
            {
                **_head(progress),
                "done": len(progress.done),
                "running": len(progress.running_trials),
                "waiting": progress.waiting,
                "planned": progress.size.planned,
                "last_active": _iso(progress.last_active),
            }
            for progress in studies
        ]
    }


def status_document(progress: Progress, now: float) -> dict[str, Any]:
    """Return the JSON document of `posebench study status` (times ISO 8601, UTC); ``now``: seconds since the epoch."""
    running = sorted(progress.running_trials.values(), key=lambda trial: trial.since)
    return {
        **_head(progress),
        "trials": _counts(progress, None) | {"lost": progress.lost},
        "phases": {phase: _counts(progress, phase) for phase in progress.size.phases},
        "optimizers": [_row_document(progress, row) for row in progress.size.rows(progress)],
        "running": [
            {
                "trial_id": trial.trial_id,
                "phase": trial.phase,
                "optimizer": trial.optimizer,
                "seed": trial.seed,
                "since": _iso(trial.since),
                "seconds": max(now - trial.since, 0.0),
                "host": trial.host,
                "pid": trial.pid,
            }
            for trial in running
        ],
        "workers": progress.workers,
        "waiting_records": {"count": progress.waiting_records, "since": _iso(progress.away_since)},
        "seconds_left": seconds_left(progress, now),
        "last_active": _iso(progress.last_active),
    }


def _row_document(progress: Progress, row: ProgressRow) -> dict[str, Any]:
    """Return an optimizer's row, with the schedule of its trials if the study has one."""
    size = progress.size
    schedule = size.own_schedules.get(row.name, size.schedule)
    return asdict(row) | ({} if schedule is None else {"schedule": schedule})


def _head(progress: Progress) -> dict[str, Any]:
    size = progress.size
    return {"study": size.study, "kind": size.kind, "preset": size.preset, "status": progress.status}


def _counts(progress: Progress, phase: str | None) -> dict[str, int]:
    """Count the trials of a phase (None: of all phases) by status."""
    done = [trial for trial in progress.done.values() if phase is None or trial.phase == phase]
    running = sum(phase is None or trial.phase == phase for trial in progress.running_trials.values())
    planned = progress.size.planned if phase is None else progress.size.planned_of(phase)
    return {
        "done": len(done),
        **{str(status): sum(trial.status == status for trial in done) for status in Status},
        "running": running,
        "waiting": max(planned - len(done) - running, 0),
        "planned": planned,
    }


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
