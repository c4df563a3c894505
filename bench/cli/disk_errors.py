"""Errors of the file system that its user can do something about, in a line: the file, why, and the remedy."""

import errno

from posemodel.atomic_write import TEMPORARY

_ELSEWHERE = "work in a folder of your own, or have its owner let you write there"
_ROOM = "make room there, or work on another disk"
_REMEDIES = {
    errno.EACCES: _ELSEWHERE,
    errno.EPERM: _ELSEWHERE,
    errno.EROFS: "work in a folder that can be written to",
    errno.ENOSPC: _ROOM,
}
if hasattr(errno, "EDQUOT"):
    _REMEDIES[errno.EDQUOT] = _ROOM


def disk_error(error: BaseException) -> str | None:
    """The line for an error with a file's name; None for any other."""
    if not isinstance(error, OSError) or error.filename is None or error.errno not in _REMEDIES:
        return None
    name = str(error.filename).removesuffix(TEMPORARY)
    return f"{name}: cannot be used ({error.strerror}); {_REMEDIES[error.errno]}."
