"""Lock a path for one process of this machine at a time, without leaving a lock file behind.

The lock is taken on a file in the folder for temporary files, named after a hash of the path, so that it works between
users. Its holder removes the file at the end. A process that was waiting then holds the lock of a file that no longer
has a name; it detects that and starts again, possibly with a file that another process has created meanwhile.
"""

import errno
import hashlib
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from posemodel.errors import SettingsError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_NAME = re.compile(r"posebench-[0-9a-f]{16}\.lock")
_MODE = 0o644
"""Permissions of a lock file: other users may open and lock it."""
_MADE_S = 1.0
"""Seconds to retry a lock file that may not be opened yet, since another user may be creating it with a private
mode."""
_swept: set[Path] = set()


@contextmanager
def path_lock(path: Path) -> Iterator[None]:
    """Hold the lock of a path in the block; other processes wait. The lock of a killed process is free.

    Raises SettingsError if the machine has no usable folder for temporary files.
    """
    key = hashlib.sha256(str(path.resolve()).encode(errors="surrogateescape")).hexdigest()[:16]
    file = _folder() / f"posebench-{key}.lock"
    if fcntl is None:
        with FileLock(file):  # removes its file itself
            yield
        return
    try:
        if file.parent not in _swept:
            _swept.add(file.parent)
            _remove_leftovers(file.parent)
        descriptor = _lock(file)
    except OSError as error:
        raise SettingsError(
            f"{file}: this lock cannot be used ({error.strerror}). Remove it if no process works on {path}, or set "
            "TMPDIR to a folder that all users of that path can write to."
        ) from error
    try:
        yield
    finally:
        _unlock(file, descriptor)


def _folder() -> Path:
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise SettingsError(
            "TMPDIR: no folder for temporary files can be written to, but locks need one. Set TMPDIR to a writable "
            "folder."
        ) from error


def _lock(file: Path) -> int:
    """Lock the file that has this name, and return its descriptor."""
    while True:
        descriptor = _open(file)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_named(file, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # removed by the process that held it


def _unlock(file: Path, descriptor: int) -> None:
    """Remove the file and unlock it; closing alone would not, if forked processes also have the descriptor."""
    with suppress(OSError):  # another user's file, in a folder where users can remove only their own
        if _is_named(file, descriptor):
            file.unlink()
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def _open(file: Path) -> int:
    """Open or create a lock file; an existing one is opened without O_CREAT, which fails on another user's file."""
    flags = os.O_CLOEXEC | os.O_NOFOLLOW
    began = time.monotonic()
    while True:
        with suppress(FileNotFoundError):
            for access_mode in (os.O_RDWR, os.O_RDONLY):
                try:
                    return os.open(file, access_mode | flags)
                except PermissionError:
                    if access_mode == os.O_RDONLY and time.monotonic() - began > _MADE_S:
                        raise
        try:
            created = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | flags, _MODE)
        except FileExistsError:
            time.sleep(0.001)
            continue
        with suppress(OSError):
            os.fchmod(created, _MODE)  # independent of the umask
        return created


def _is_named(file: Path, descriptor: int) -> bool:
    """Return True if the open file still has its name."""
    try:
        status = file.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(status, os.fstat(descriptor))


def _remove_leftovers(folder: Path) -> None:
    """Remove this user's lock files that no process holds: those of killed processes and of earlier versions."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name):
                _remove_if_free(Path(entry.path))


def _remove_if_free(file: Path) -> None:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            return
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_named(file, descriptor):
            file.unlink()
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES, errno.ENOENT, errno.EPERM):
            raise
    finally:
        os.close(descriptor)
