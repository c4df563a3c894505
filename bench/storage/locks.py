"""One process of this machine at a time on a path, without a lock file beside it, and without one that stays.

The lock is on a file in the folder for temporary files, whose name follows from the path: so it holds for another user
too. Who holds it removes that file at the end. A process that waits for it meanwhile gets the lock of a file that has
no name any more, which it sees, and begins anew; so does one that comes then and makes the file again.
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
"""Whoever shares a folder with its owner may open a lock file, and lock it."""
_MADE_S = 1.0
"""A file that may not be opened yet has perhaps just been made, by somebody whose files are private."""
_swept: set[Path] = set()


@contextmanager
def path_lock(path: Path) -> Iterator[None]:
    """Hold the lock of a path in the block; who comes second waits. A killed process's lock is free.

    Raises SettingsError where the machine has no folder for it that can be used.
    """
    key = hashlib.sha256(str(path.resolve()).encode(errors="surrogateescape")).hexdigest()[:16]
    file = _folder() / f"posebench-{key}.lock"
    if fcntl is None:
        with FileLock(file):  # it removes its file itself
            yield
        return
    try:
        if file.parent not in _swept:
            _swept.add(file.parent)
            _remove_leftovers(file.parent)
        descriptor = _take(file)
    except OSError as error:
        raise SettingsError(
            f"{file}: this lock cannot be used ({error.strerror}). Remove it if nobody works on {path}, or set TMPDIR "
            "to a folder that all who work on it can write to."
        ) from error
    try:
        yield
    finally:
        _give_back(file, descriptor)


def _folder() -> Path:
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise SettingsError(
            "TMPDIR: no folder for temporary files can be written to, and locks are kept in one. Set TMPDIR to such a "
            "folder."
        ) from error


def _take(file: Path) -> int:
    """A descriptor of the file that has this name, once it is locked by this process."""
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


def _give_back(file: Path, descriptor: int) -> None:
    """Remove the file and unlock it, for processes that were forked meanwhile and have its descriptor too."""
    with suppress(OSError):  # another user's, in a folder where each removes only their own
        if _is_named(file, descriptor):
            file.unlink()
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def _open(file: Path) -> int:
    """Open a lock file, or make it. One that is there is never opened for making: systems refuse another user's."""
    flags = os.O_CLOEXEC | os.O_NOFOLLOW
    began = time.monotonic()
    while True:
        for how in (os.O_RDWR, os.O_RDONLY):
            try:
                return os.open(file, how | flags)
            except FileNotFoundError:
                break
            except PermissionError:
                if how == os.O_RDONLY and time.monotonic() - began > _MADE_S:
                    raise
        try:
            made = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | flags, _MODE)
        except FileExistsError:
            time.sleep(0.001)
            continue
        with suppress(OSError):
            os.fchmod(made, _MODE)  # whatever its maker's mask says
        return made


def _is_named(file: Path, descriptor: int) -> bool:
    """Whether the open file still has its name."""
    try:
        there = file.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(descriptor))


def _remove_leftovers(folder: Path) -> None:
    """Remove the lock files of this user that nobody holds: of killed processes, and of earlier versions."""
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
        there = os.fstat(descriptor)
        if not stat.S_ISREG(there.st_mode) or there.st_uid != os.geteuid():
            return
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_named(file, descriptor):
            file.unlink()
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES, errno.ENOENT, errno.EPERM):
            raise
    finally:
        os.close(descriptor)
