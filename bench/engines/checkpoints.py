"""Checkpoints of a study's trials in a place that all workers share: a folder, or a URL; one tar file for each trial.

In: a local folder with a trial's state (`bench.trials.checkpoint`). Out: the same folder for another process, on
whatever machine. A checkpoint is replaced as a whole, and read only if every byte of it is as it was written.
"""

import json
import os
import re
import shutil
import socket
import tarfile
import tempfile
import uuid
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol
from urllib.parse import unquote, urlsplit

import psutil
from fsspec.core import url_to_fs

from bench.engines import interruption
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
MANIFEST = "checkpoint.json"
"""First member of a tar file: study, trial, digest of its settings, and size and CRC-32 of each other member."""
_SUFFIX, _PART = ".tar", ".part"
"""Ends of the names of a trial's file, and of an incomplete one."""
OBJECT_STORES = frozenset(("abfs", "abfss", "adl", "az", "gcs", "gs", "oci", "oss", "s3", "s3a"))
"""Schemes whose objects appear whole or not at all, and cannot be renamed without copying them."""
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_HALF_A_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/?(?!/)")
_LOCAL = re.compile(r"posebench-trial-(?P<host>.+)-(?P<pid>\d+)-(?P<started>\d+)-\w+")
_CHUNK = 1 << 20
"""Bytes read at once."""


class _Place(Protocol):
    """Files in a shared place; paths are relative to it."""

    def read(self, path: str, copy: Path) -> bool:
        """Copy a file to a local one; False if there is none."""

    def write(self, path: str, file: Path) -> None:
        """Copy a local file, which replaces an existing one as a whole."""

    def remove(self, path: str) -> None:
        """Remove a file, if there is one, and what broken-off copies of it have left."""

    def names(self, folder: str) -> list[str]:
        """Return the names of the files in a folder; none if there is no such folder."""


class CheckpointStore:
    """The checkpoints in one place."""

    def __init__(self, name: str, place: _Place) -> None:
        """``name``: the place in messages, without passwords."""
        self.name, self._place = name, place

    @classmethod
    def at(cls, url_or_dir: str | Path) -> "CheckpointStore":
        """Return the store in a folder, or at a URL of a file system that fsspec knows; nothing is written.

        Raises SettingsError for something else, or if the package for that kind of URL is missing.
        """
        text = str(url_or_dir)
        scheme = _SCHEME.match(text)
        if scheme is not None and scheme[1].lower() != "file":
            return cls(masked(text, text), _open_url(text))
        return cls(text, _Folder(_folder_of(text)))

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
                f"checkpoints {self.name}: files cannot be kept there ({_said(error)}). Give a folder or URL into "
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
                _unpack(file, folder, _about(study, trial_id, content))
            except (CheckpointError, tarfile.TarError, EOFError, OSError, ValueError, KeyError, TypeError) as error:
                shutil.rmtree(folder)
                folder.mkdir()
                raise CheckpointError(f"{self.name}: {_path(study, trial_id)}: {_said(error)}") from error
        return True

    def save(self, study: str, trial_id: str, folder: Path, *, content: str = "") -> None:
        """Replace a trial's checkpoint by the files in ``folder``; the errors are those of the place.

        ``content``: see `fetch`.
        """
        with tempfile.TemporaryDirectory(dir=folder.parent) as passing:
            file = Path(passing, "checkpoint.tar")
            _pack(folder, file, _about(study, trial_id, content))
            self._place.write(_path(study, trial_id), file)

    def remove(self, study: str, trial_id: str) -> None:
        """Remove a trial's checkpoint, if there is one."""
        self._place.remove(_path(study, trial_id))

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


@contextmanager
def trial_checkpoint(url_or_dir: str | None, study: str, trial: TrialSpec) -> Iterator[TrialCheckpoint | None]:
    """Yield what a trial needs to go on from its checkpoint and to save its state; None without a place for it.

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
            every_s=checkpoint_every_s(),
        )


def forget_checkpoint(url_or_dir: str | None, study: str, trial_id: str) -> None:
    """Remove the checkpoint of a trial that has ended; a place that does not answer is only reported."""
    if url_or_dir is None:
        return
    try:
        CheckpointStore.at(url_or_dir).remove(study, trial_id)
    except Exception as error:  # the trial is recorded: nothing is lost
        log(f"posebench: the checkpoint of trial {trial_id} could not be removed ({_said(error)})")


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
    except Exception as error:  # the study is complete: nothing is lost
        log(f"posebench: checkpoints of study {study} could not be removed ({_said(error)})")


class _Folder:
    """A folder that this process sees as one, such as on a shared file system."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, path: str, copy: Path) -> bool:
        try:
            shutil.copyfile(self.root / path, copy)
        except FileNotFoundError:
            return False
        return True

    def write(self, path: str, file: Path) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f"{target.name}.{_this_process()}{_PART}")
        try:
            shutil.copyfile(file, temporary)
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def remove(self, path: str) -> None:
        target = self.root / path
        target.unlink(missing_ok=True)
        for leftover in target.parent.glob(f"{target.name}.*{_PART}"):  # of processes that were killed
            leftover.unlink(missing_ok=True)

    def names(self, folder: str) -> list[str]:
        try:
            return [path.name for path in (self.root / folder).iterdir()]
        except FileNotFoundError:
            return []


class _Remote:
    """A folder of a file system of fsspec."""

    def __init__(self, files: Any, root: str) -> None:
        self.files, self.root = files, root.rstrip("/")
        schemes = {files.protocol} if isinstance(files.protocol, str) else {*files.protocol}
        self.is_object_store = bool(schemes & OBJECT_STORES)

    def read(self, path: str, copy: Path) -> bool:
        self.files.invalidate_cache()  # another machine may have written it
        try:
            self.files.get_file(f"{self.root}/{path}", str(copy))
        except FileNotFoundError:
            return False
        return True

    def write(self, path: str, file: Path) -> None:
        target = f"{self.root}/{path}"
        if self.is_object_store:
            self.files.put_file(str(file), target)
            return
        self.files.makedirs(target.rpartition("/")[0], exist_ok=True)
        temporary = f"{target}.{_this_process()}{_PART}"
        try:
            self.files.put_file(str(file), temporary)
            self.files.mv(temporary, target)
        except BaseException:
            with suppress(Exception):  # the error that is raised says more
                self.files.rm_file(temporary)
            raise

    def remove(self, path: str) -> None:
        target = f"{self.root}/{path}"
        with suppress(FileNotFoundError):
            self.files.rm_file(target)
        if self.is_object_store:
            return
        folder, _, name = path.rpartition("/")
        with suppress(Exception):  # of processes that were killed: nobody misses these files
            for leftover in self.names(folder):
                if leftover.startswith(f"{name}.") and leftover.endswith(_PART):
                    self.files.rm_file(f"{target}{leftover.removeprefix(name)}")

    def names(self, folder: str) -> list[str]:
        self.files.invalidate_cache()
        try:
            paths = self.files.ls(f"{self.root}/{folder}", detail=False)
        except FileNotFoundError:
            return []
        return [path.rstrip("/").rpartition("/")[2] for path in paths]


def _folder_of(text: str) -> Path:
    """Return the folder that a path or a URL `file://` names."""
    if not text.strip():
        raise SettingsError("checkpoints: is empty. Give a folder or a URL.")
    if _SCHEME.match(text):
        parts = urlsplit(text)
        if parts.netloc not in ("", "localhost"):
            host = parts.netloc.rpartition("@")[2]
            raise SettingsError(f"checkpoints {masked(text)}: a folder's URL has three slashes, file:///{host}/...")
        return Path(unquote(parts.path))
    half = _HALF_A_SCHEME.match(text)
    if half is not None and not Path(text).exists():
        url = f"{half[1]}://{text[half.end() :]}"
        public = masked(url, url)
        typed = text[: half.end()] + public.removeprefix(f"{half[1]}://")  # alone, nothing in it is like an address
        raise SettingsError(f"checkpoints {typed}: did you mean {public}?")
    return Path(text).expanduser().absolute()


def _open_url(url: str) -> _Remote:
    try:
        files, root = url_to_fs(url)
    except Exception as error:  # an unknown scheme, a missing package, a server that refuses
        raise SettingsError(
            f"checkpoints {masked(url, url)}: cannot be opened ({_said(error, url)}). Give a folder, or a URL whose "
            "package is installed here and on the other workers' machines (s3fs for s3://, gcsfs for gs://)."
        ) from error
    return _Remote(files, root)


def _path(study: str, trial_id: str) -> str:
    return f"{study}/{trial_id}{_SUFFIX}"


def _about(study: str, trial_id: str, content: str) -> dict[str, Any]:
    """Return what a checkpoint's manifest says of its trial."""
    return {"format": FORMAT, "study": study, "trial": trial_id, "content": content}


def _pack(folder: Path, tar: Path, about: dict[str, Any]) -> None:
    """Write all files of ``folder`` to a tar file, after a manifest."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sums: dict[str, tuple[int, int]] = {}
    for path in files:
        with path.open("rb") as file:
            sums[path.relative_to(folder).as_posix()] = _sum_of(file)
    manifest = json.dumps({**about, "files": sums}).encode()
    with tarfile.open(tar, "w", dereference=True) as archive:
        member = tarfile.TarInfo(MANIFEST)
        member.size = len(manifest)
        archive.addfile(member, BytesIO(manifest))
        for name, path in zip(sums, files, strict=True):
            archive.add(path, name, recursive=False)


def _unpack(tar: Path, folder: Path, expected: dict[str, Any]) -> None:
    """Write the files in a tar file to ``folder``; CheckpointError if it is damaged, or not the expected one's."""
    with tarfile.open(tar, "r:") as archive:
        first = archive.next()
        if first is None or first.name != MANIFEST:
            raise CheckpointError("is no checkpoint of a trial")
        manifest = json.loads(_content(archive, first).read())
        other = [f"{key} {manifest.get(key)!r}" for key, value in expected.items() if manifest.get(key) != value]
        if other:
            raise CheckpointError(f"is another one's ({', '.join(other)})")
        sums = {name: tuple(each) for name, each in manifest["files"].items()}
        while (member := archive.next()) is not None:
            _check_name(member.name)
            with _content(archive, member) as content, _new_file(folder / member.name) as file:
                if _sum_of(content, file) != sums.pop(member.name, None):
                    raise CheckpointError(f"is damaged (in {member.name})")
        if sums:
            raise CheckpointError(f"is damaged (it lacks {', '.join(sums)})")


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = archive.extractfile(member)
    if content is None:
        raise CheckpointError(f"is damaged ({member.name} is no file)")
    return content


def _check_name(name: str) -> None:
    """Raise CheckpointError for a member that would be written outside the folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or Path(name).is_absolute():
        raise CheckpointError(f"is damaged (in {name})")


def _new_file(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("wb")


def _sum_of(file: IO[bytes], copy: IO[bytes] | None = None) -> tuple[int, int]:
    """Return size and CRC-32 of a file, which is copied on the way if ``copy`` is given."""
    size = crc = 0
    while chunk := file.read(_CHUNK):
        size, crc = size + len(chunk), zlib.crc32(chunk, crc)
        if copy is not None:
            copy.write(chunk)
    return size, crc


@contextmanager
def _local_folder() -> Iterator[Path]:
    """Yield a new temporary folder, named after this process; those of this host's dead processes are removed."""
    for path in Path(tempfile.gettempdir()).glob("posebench-trial-*"):
        name = _LOCAL.fullmatch(path.name)
        if name and name["host"] == socket.gethostname() and not lives(int(name["pid"]), float(name["started"])):
            shutil.rmtree(path, ignore_errors=True)
    started = round(psutil.Process().create_time())
    with tempfile.TemporaryDirectory(
        prefix=f"posebench-trial-{_this_process()}-{started}-", ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


def _this_process() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


def _said(error: BaseException, address: str = "") -> str:
    """Return an error's message in one line without passwords, those of an address neither, or its type if it has
    none."""
    return masked(" ".join(str(error).split()) or type(error).__name__, address)
