"""Records of trials that wait on disk while the MLflow server is away: a file for each trial in the working directory.

`bench.engines.recording` writes a trial's file when its record cannot be sent, sends it once the server answers, and
removes it then. A later session of the study sends what a stopped or killed one has left.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench.storage.printing import log
from bench.trials.outcome import Outcome
from bench.trials.record import CurvePoint, Record
from bench.trials.status import Status
from bench.workloads.protocol import Samples
from posemodel.atomic_write import TEMPORARY_SUFFIX, atomic_path

WAITING = Path(".posebench", "waiting")
"""Folder of the files, in the working directory: `STUDY/TRIAL-RUN.json`, and `.jpg` for its sheet of samples.

RUN is the id of the trial's run, so that no file replaces one of another MLflow store, or one that is damaged."""
FORMAT = 1
"""Version of the files' content."""
_WRITE_ATTEMPTS = 3
"""Another process may remove the empty folder before the file is in it."""


@dataclass(frozen=True)
class WaitingRecord:
    """What an ended trial has left, and where it belongs."""

    study: str
    """Name of the study."""
    parent_run: str
    """Id of the study's own run, which tells it from another study of this name in another MLflow store."""
    run_id: str
    """Id of the trial's run, which was begun before the server was away."""
    ended_ms: int
    """Time at which the trial ended, in milliseconds since the epoch."""
    outcome: Outcome

    @property
    def trial_id(self) -> str:
        """Id of the trial."""
        return self.outcome.record.trial_id

    @property
    def file(self) -> Path:
        """The record's file, relative to the working directory."""
        return WAITING / self.study / f"{self.trial_id}-{self.run_id}.json"

    def write(self) -> None:
        """Write the files, each completely or not at all; OSError if the disk does not take them."""
        for attempt in range(_WRITE_ATTEMPTS):
            try:
                self._write()
                return
            except FileNotFoundError:
                if attempt == _WRITE_ATTEMPTS - 1:
                    raise

    def _write(self) -> None:
        samples = self.outcome.samples
        if samples is not None and samples.sheet is not None:
            with atomic_path(self.file.with_suffix(".jpg")) as temporary:
                temporary.write_bytes(samples.sheet)
        document = self._document()
        with atomic_path(self.file) as temporary:
            # The checksum is of the content as it is read back: a damaged number is valid JSON.
            temporary.write_text(json.dumps({"sha256": _checksum(document), "document": document}))

    def moved(self, run_id: str) -> "WaitingRecord":
        """Return the record as that of another run, as which it waits from now on."""
        other = replace(self, run_id=run_id)
        other.write()
        self.remove()
        return other

    def remove(self) -> None:
        """Remove the files, and the folders if they are empty then."""
        _remove(self.file)

    def _document(self) -> dict[str, Any]:
        record, curve, samples = self.outcome
        return {
            "format": FORMAT,
            "study": self.study,
            "parent_run": self.parent_run,
            "run_id": self.run_id,
            "ended_ms": self.ended_ms,
            "record": asdict(record),
            "curve": [asdict(point) for point in curve],
            "samples": None if samples is None else samples.document,
            "sheet_sha256": None if samples is None or samples.sheet is None else _sha256(samples.sheet),
        }


def waiting_record(study: str, trial_id: str, parent_run: str, data_digest: str | None) -> WaitingRecord | None:
    """Return the waiting record of a trial, the oldest one if it has run again; None if there is none that belongs to
    this study and these data.

    A damaged file, or one of another study or data set, is named on stderr and left as it is.

    Args:
        study: Name of the study.
        trial_id: Id of the trial.
        parent_run: Id of the study's own run.
        data_digest: Digest of the study's annotations.
    """
    found = []
    for file in _files(study, trial_id):
        try:
            read = _usable(file, parent_run, data_digest)
        except _UnusableError as error:
            log(f"posebench: {file} {error}; it is left, and its trial runs again. Delete it if nobody needs it.")
        else:
            found += [] if read is None else [read]
    return min(found, key=lambda each: each.ended_ms, default=None)


def waiting_trials(study: str, parent_run: str, data_digest: str | None) -> list[str]:
    """Return the ids of a study's trials whose records wait here and can be sent."""
    found = set()
    for file in _files(study):
        with suppress(_UnusableError):
            read = _usable(file, parent_run, data_digest)
            found |= set() if read is None else {read.trial_id}
    return sorted(found)


def remove_recorded(study: str, parent_run: str, is_recorded: Callable[[str], bool]) -> None:
    """Remove the waiting records of trials that are recorded, as another machine has run them meanwhile, and what a
    killed process has left of the files of such trials.

    ``is_recorded``: returns True for the id of a recorded trial.
    """
    for trial_id in waiting_trials(study, parent_run, data_digest=None):
        if is_recorded(trial_id):
            for file in _files(study, trial_id):
                with suppress(_UnusableError):
                    if _usable(file, parent_run, data_digest=None) is not None:
                        _remove(file)
    folder = WAITING / study
    leftovers = [*folder.glob("*.jpg"), *folder.glob(f"*{TEMPORARY_SUFFIX}")]
    for file in leftovers:
        record = file.with_name(f"{file.name.partition('.')[0]}.json")
        if not record.exists() and is_recorded(_trial_of(file)):
            file.unlink(missing_ok=True)
    if leftovers:
        _remove_empty(folder)


class _UnusableError(Exception):
    """A file that is no record of this study and these data; the text says why."""


def _files(study: str, trial_id: str = "*") -> list[Path]:
    return sorted((WAITING / study).glob(f"{trial_id}-*.json"))


def _trial_of(file: Path) -> str:
    return file.name.rpartition("-")[0]


def _usable(file: Path, parent_run: str, data_digest: str | None) -> WaitingRecord | None:
    """Return the record in a file; None if the file is gone.

    ``data_digest``: digest of the study's annotations; None: any.
    """
    try:
        found = _read(file)
    except FileNotFoundError as error:
        if not file.exists():
            return None
        raise _UnusableError(f"is damaged ({error.filename} is missing)") from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _UnusableError(f"is damaged, or of another version ({type(error).__name__}: {error})") from error
    if found.file != file or found.parent_run != parent_run:
        raise _UnusableError("belongs to another study or trial")
    if data_digest is not None and found.outcome.record.data_digest != data_digest:
        raise _UnusableError(f"was measured on other data ({found.outcome.record.data_digest}, now {data_digest})")
    return found


def _read(file: Path) -> WaitingRecord:
    content = json.loads(file.read_text())
    document = content["document"]
    if content["sha256"] != _checksum(document):
        raise ValueError("its checksum differs")
    if document["format"] != FORMAT:
        raise ValueError(f"format {document['format']}; this version reads {FORMAT}")
    record = Record(**document["record"])
    outcome = Outcome(
        replace(record, status=Status(record.status)),
        [CurvePoint(**point) for point in document["curve"]],
        _samples(file, document),
    )
    return WaitingRecord(
        document["study"], document["parent_run"], document["run_id"], document["ended_ms"], outcome
    )  # fmt: skip


def _samples(file: Path, document: Mapping[str, Any]) -> Samples | None:
    if document["samples"] is None:
        return None
    if document["sheet_sha256"] is None:
        return Samples(document["samples"], None)
    sheet = file.with_suffix(".jpg").read_bytes()
    if _sha256(sheet) != document["sheet_sha256"]:
        raise ValueError(f"{file.with_suffix('.jpg').name} is not its sheet of samples")
    return Samples(document["samples"], sheet)


def _remove(file: Path) -> None:
    file.unlink(missing_ok=True)
    file.with_suffix(".jpg").unlink(missing_ok=True)
    _remove_empty(file.parent)


def _remove_empty(study_folder: Path) -> None:
    with suppress(OSError):  # not empty, or another process has removed it
        for folder in (study_folder, *study_folder.parents[:2]):
            folder.rmdir()


def _checksum(document: Any) -> str:
    return _sha256(json.dumps(document, sort_keys=True).encode())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
