"""One-line messages for file system errors that the user can fix, with the file, the reason and the fix."""

import errno

from posemodel.atomic_write import TEMPORARY_SUFFIX

_OTHER_FOLDER = "work in a folder of your own, or ask its owner for permission to write there"
_FREE_SPACE = "free some space there, or work on another disk"
_REMEDIES = {
    errno.EACCES: _OTHER_FOLDER,
    errno.EPERM: _OTHER_FOLDER,
    errno.EROFS: "work in a folder that is writable",
    errno.ENOSPC: _FREE_SPACE,
}
if hasattr(errno, "EDQUOT"):
    _REMEDIES[errno.EDQUOT] = _FREE_SPACE


def disk_error(error: BaseException) -> str | None:
    """Return the message for a file system error that the user can fix; None for any other error."""
    if not isinstance(error, OSError) or error.filename is None or error.errno not in _REMEDIES:
        return None
    name = str(error.filename).removesuffix(TEMPORARY_SUFFIX)
    return f"{name}: cannot be used ({error.strerror}); {_REMEDIES[error.errno]}."
