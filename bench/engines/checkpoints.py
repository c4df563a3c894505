"""Checkpoints of a study's trials in a place that all workers share: a folder, or a URL; one tar file for each trial.

In: a local folder with a trial's state (`bench.trials.checkpoint`). Out: the same folder for another process, on
whatever machine. A checkpoint is replaced as a whole, and read only if every byte of it is as it was written.
"""

import re
import shutil
import socket
import tarfile
import tempfile
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from bench.engines import interruption
from bench.engines.checkpoint_archive import pack, unpack
from bench.engines.checkpoint_places import Place, host_and_process, open_place, said
from bench.ledger.format import lives
from bench.settings.shared_settings import CHECKPOINT_EVERY_VARIABLE
from bench.storage.durations import duration_in
from bench.storage.masking import masked
from bench.storage.printing import log
from bench.trials.checkpoint import CHECKPOINT_EVERY_S, TrialCheckpoint
from bench.trials.spec import TrialSpec
from posemodel.errors import CheckpointError, SettingsError

SAVE_WITHIN_S = 30.0
"""Seconds that an interrupted training has to reach the end of its step and save its state; an evaluation counts."""
STOP_S = 90.0
"""Seconds that an interrupted worker has to save, copy and give back its trial before it is killed."""
FORMAT = 1
"""Version of the files; another one is refused."""
_SUFFIX = ".tar"
"""End of the name of a trial's file."""
_MARK = "shared.mark"
_LOCAL = re.compile(r"posebench-trial-(?P<host>.+)-(?P<pid>\d+)-(?P<started>\d+)-\w+")


class CheckpointStore:
    """The checkpoints in one place."""

    def __init__(self, name: str, place: Place) -> None:
        """``name``: the place in messages, without passwords."""
        self.name, self._place = name, place

    @classmethod
    def at(cls, url_or_dir: str | Path) -> "CheckpointStore":
        """Return the store in a folder, or at a URL of a file system that fsspec knows; nothing is written.

        Raises SettingsError for something else, or if the package for that kind of URL is missing.
        """
        return cls(*open_place(str(url_or_dir)))

    def check(self) -> None:
        """Raise SettingsError unless files can be written to, read from and removed from the place."""
        path, content = f".posebench-{uuid.uuid4().hex}", b"posebench"
        try:
            with tempfile.TemporaryDirectory() as folder:
                file, copy = Path(folder, "file"), Path(folder, "copy")
                file.write_bytes(content)
                self._place.write(path, file)
                kept = self._place.read(path, copy) and copy.read_bytes() == content
                self._place.remove(path)
        except Exception as error:  # each file system has errors of its own
            raise SettingsError(
                f"checkpoints {self.name}: files cannot be kept there ({said(error)}). Give a folder or URL into "
                "which every worker may write."
            ) from error
        if not kept:
            raise SettingsError(f"checkpoints {self.name}: a file that was written there is not found again.")

    def fetch(self, study: str, trial_id: str, folder: Path, *, content: str = "") -> bool:
        """Copy a trial's checkpoint into ``folder``, which is new or empty; False if there is none.

        Raises CheckpointError if it is damaged, another trial's, or was saved with another ``content`` (digest of the
        trial's settings, which the id of a search's slot does not tell); ``folder`` is then empty.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as passing:
            file = Path(passing, "checkpoint.tar")
            if not self._place.read(_path(study, trial_id), file):
                return False
            try:
                unpack(file, folder, _about(study, trial_id, content))
            except (CheckpointError, tarfile.TarError, EOFError, OSError, ValueError, KeyError, TypeError) as error:
                shutil.rmtree(folder)
                folder.mkdir()
                raise CheckpointError(f"{self.name}: {_path(study, trial_id)}: {said(error)}") from error
        return True

    def save(self, study: str, trial_id: str, folder: Path, *, content: str = "") -> None:
        """Replace a trial's checkpoint by the files in ``folder``; the errors are those of the place.

        ``content``: see `fetch`.
        """
        with tempfile.TemporaryDirectory(dir=folder.parent) as passing:
            file = Path(passing, "checkpoint.tar")
            pack(folder, file, _about(study, trial_id, content))
            self._place.write(_path(study, trial_id), file)

    def remove(self, study: str, trial_id: str) -> None:
        """Remove a trial's checkpoint, if there is one."""
        self._place.remove(_path(study, trial_id))

    def mark(self, study: str) -> None:
        """Leave a file that tells processes elsewhere that they see this very place; the errors are those of the
        place."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "mark")
            file.write_text("posebench")
            self._place.write(f"{study}/{_MARK}", file)

    def is_marked(self, study: str) -> bool:
        """Return whether this is the place where the study has left its mark."""
        with tempfile.TemporaryDirectory() as folder:
            return self._place.read(f"{study}/{_MARK}", Path(folder, "mark"))

    def remove_mark(self, study: str) -> None:
        """Remove the mark, if there is one."""
        self._place.remove(f"{study}/{_MARK}")

    def trials(self, study: str) -> set[str]:
        """Return the ids of a study's trials that have files here, complete or broken off."""
        return {trial_id for name in self._place.names(study) if (trial_id := name.partition(_SUFFIX)[0]) != name}


def check_checkpoints(url_or_dir: str | None) -> None:
    """Raise SettingsError if trials could not keep checkpoints in a place; None: they keep none."""
    if url_or_dir is not None:
        checkpoint_every_s()
        CheckpointStore.at(url_or_dir).check()


def checkpoint_every_s() -> float:
    """Return the seconds between two checkpoints of a trial that is not interrupted."""
    return duration_in(CHECKPOINT_EVERY_VARIABLE, CHECKPOINT_EVERY_S)


def mark_place(url_or_dir: str, study: str) -> None:
    """Leave a mark in a place that the nodes of a cluster must see; SettingsError if that is not possible."""
    try:
        CheckpointStore.at(url_or_dir).mark(study)
    except Exception as error:  # each file system has errors of its own
        raise SettingsError(f"checkpoints {masked(url_or_dir, url_or_dir)}: {said(error)}") from error


def refuse_other_place(url_or_dir: str, study: str) -> None:
    """Raise SettingsError if a place, seen from this node, is not the one that `mark_place` has marked."""
    name = masked(url_or_dir, url_or_dir)
    try:
        if CheckpointStore.at(url_or_dir).is_marked(study):
            return
        why = "what the study's own process has written there is not seen"
    except Exception as error:  # each file system has errors of its own
        why = said(error)
    raise SettingsError(f"checkpoints {name}: {why}. Give a folder that all nodes share, or a URL.")


@contextmanager
def trial_checkpoint(
    url_or_dir: str | None, study: str, trial: TrialSpec, every_s: float | None = None
) -> Iterator[TrialCheckpoint | None]:
    """Yield what a trial needs to go on from its checkpoint and to save its state; None without a place for it.

    ``every_s``: seconds between two checkpoints; None: as this process's environment has it.

    Its local folder is removed at the end of the block, and by the next trial on this host if this process is killed.
    """
    if url_or_dir is None:
        yield None
        return
    store = CheckpointStore.at(url_or_dir)
    with _local_folder() as folder:
        yield TrialCheckpoint(
            f"{trial.id} ({trial.phase}, {trial.optimizer})",
            folder / "trial",
            fetch=partial(store.fetch, study, trial.id, content=trial.content_digest),
            save=partial(store.save, study, trial.id, content=trial.content_digest),
            stop_requested=interruption.stop_requested,
            hold=partial(interruption.Grace, SAVE_WITHIN_S),
            every_s=checkpoint_every_s() if every_s is None else every_s,
        )


def forget_checkpoint(url_or_dir: str | None, study: str, trial_id: str) -> None:
    """Remove the checkpoint of a trial that has ended; a place that does not answer is only reported."""
    if url_or_dir is None:
        return
    try:
        CheckpointStore.at(url_or_dir).remove(study, trial_id)
    except Exception as error:  # the trial is recorded: nothing is lost
        log(f"posebench: the checkpoint of trial {trial_id} could not be removed ({said(error)})")


def forget_recorded(url_or_dir: str | None, study: str, recorded: Collection[str]) -> None:
    """Remove the checkpoints of trials that processes have closed which were not told of the place.

    ``recorded``: ids of the study's recorded trials. A place that does not answer is only reported.
    """
    if url_or_dir is None:
        return
    try:
        store = CheckpointStore.at(url_or_dir)
        for trial_id in sorted(store.trials(study).intersection(recorded)):
            store.remove(study, trial_id)
        store.remove_mark(study)
    except Exception as error:  # the study is complete: nothing is lost
        log(f"posebench: checkpoints of study {study} could not be removed ({said(error)})")


def _path(study: str, trial_id: str) -> str:
    return f"{study}/{trial_id}{_SUFFIX}"


def _about(study: str, trial_id: str, content: str) -> dict[str, Any]:
    """Return what a checkpoint's manifest says of its trial."""
    return {"format": FORMAT, "study": study, "trial": trial_id, "content": content}


@contextmanager
def _local_folder() -> Iterator[Path]:
    """Yield a new temporary folder, named after this process; those of this host's dead processes are removed."""
    for path in Path(tempfile.gettempdir()).glob("posebench-trial-*"):
        name = _LOCAL.fullmatch(path.name)
        if name and name["host"] == socket.gethostname() and not lives(int(name["pid"]), float(name["started"])):
            shutil.rmtree(path, ignore_errors=True)
    started = round(psutil.Process().create_time())
    with tempfile.TemporaryDirectory(
        prefix=f"posebench-trial-{host_and_process()}-{started}-", ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)
