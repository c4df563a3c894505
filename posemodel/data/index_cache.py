"""Cache of named arrays in memory-mapped files: the packed arrays of large annotation files, kept between runs.

A cache file is named by the hash of the content that it was made from, so it is never out of date. All files can be
removed at any time; files that a process has mapped stay readable for it (on a local disk, where the cache should be).
The cache is outside the data set, in a folder of the user: ``$POSEBENCH_CACHE``, else ``posebench`` below
``$XDG_CACHE_HOME`` or ``~/.cache`` (on Windows ``%LOCALAPPDATA%``). If the folder cannot be written, everything works
without a cache.

Before a file is written, those unused for ``UNUSED_DAYS`` are removed, then the longest unused until the rest takes
less than ``LARGEST_CACHE_BYTES``, and also the unfinished files of killed processes.

A file consists of a prefix (``_PREFIX``), a JSON header (the key, and each array's name, type, shape and offset), then
the arrays, each at a multiple of ``_ALIGNMENT`` bytes. Offsets count from the end of the header. The checksum in the
prefix covers all that follows it.
"""

import contextlib
import hashlib
import json
import logging
import mmap
import os
import re
import secrets
import stat
import struct
import time
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posemodel.atomic_write import TEMPORARY_SUFFIX
from posemodel.config import CACHE_VARIABLE

FORMAT = 7
"""Increase this whenever the arrays made from a file change, or the rules for a valid file: older files are ignored."""
UNUSED_DAYS = 30
LARGEST_CACHE_BYTES = 4 << 30
_LEFT_BEHIND_SECONDS = 24 * 3600
"""Age in seconds after which an unfinished file is taken to be abandoned."""

SUFFIX = ".index"
_OWN_NAME = re.compile(
    rf"[0-9a-f]{{64}}-\d+{re.escape(SUFFIX)}(?P<temporary>-\d+-[0-9a-f]+{re.escape(TEMPORARY_SUFFIX)})?"
)
_MAGIC = b"posebidx"
_PREFIX = struct.Struct("<8sIIQ")
"""Magic, CRC-32, length of the header, length of the file."""
_ALIGNMENT = 64
_CHUNK = 1 << 20

_log = logging.getLogger(__name__)


def cache_folder() -> Path | None:
    """Return the cache folder; None if no location is known."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME")
    if base and Path(base).is_absolute():
        return Path(base) / "posebench"
    try:
        return Path.home() / ".cache" / "posebench"
    except RuntimeError:
        return None


def cache_file(digest: str) -> Path | None:
    """Return the cache file for content of this digest, whether it exists or not; None without a cache folder."""
    folder = cache_folder()
    return None if folder is None else folder / f"{digest}-{FORMAT}{SUFFIX}"


def digest_of_file(path: Path) -> str:
    """Return the SHA-256 of a file's content without loading all of it into memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load(path: Path, names: Collection[str]) -> dict[str, NDArray[Any]] | None:
    """Map the arrays of a cache file, read-only.

    Return None unless the file exists, is complete, was made from the content in its name, and has exactly these
    arrays.
    """
    try:
        with path.open("rb") as file:
            magic, checksum, header_length, length = _PREFIX.unpack(file.read(_PREFIX.size))
            if magic != _MAGIC or length != os.fstat(file.fileno()).st_size:
                _log_unusable(path, "is not a complete cache file")
                return None
            computed = 0
            while chunk := file.read(_CHUNK):
                computed = zlib.crc32(chunk, computed)
            if computed != checksum:
                _log_unusable(path, "is damaged")
                return None
            content = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
        header = json.loads(content[_PREFIX.size : _PREFIX.size + header_length].tobytes())
        if header["key"] != path.stem or {entry[0] for entry in header["arrays"]} != set(names):
            _log_unusable(path, "holds something else")
            return None
        body = content[_PREFIX.size + header_length :]
        with contextlib.suppress(OSError):
            os.utime(path)  # mark as used, for ``_prune``
        return {
            name: body[offset : offset + size].view(kind).reshape(shape)
            for name, kind, shape, offset, size in header["arrays"]
        }
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, struct.error) as error:
        _log_unusable(path, f"cannot be read ({error})")
        return None


def store(path: Path, arrays: dict[str, NDArray[Any]]) -> bool:
    """Write arrays as a cache file, completely or not at all; return False if that is not possible.

    Several processes may do so at once: each writes a file of its own, and the last one stays. Unlike
    ``atomic_write.atomic_path`` this does not wait for the disk: the checksum detects damage by a power cut.
    """
    entries: list[tuple[str, str, tuple[int, ...], int, int]] = []
    parts: list[bytes | memoryview] = []
    offset = 0
    for name, array in arrays.items():
        padding = -array.nbytes % _ALIGNMENT
        entries.append((name, array.dtype.str, array.shape, offset, array.nbytes))
        offset += array.nbytes + padding
        parts += [np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, bytes(padding)]
    header = json.dumps({"key": path.stem, "arrays": entries}).encode()
    header += b" " * (-(_PREFIX.size + len(header)) % _ALIGNMENT)
    checksum = 0
    for part in (header, *parts):
        checksum = zlib.crc32(part, checksum)
    prefix = _PREFIX.pack(_MAGIC, checksum, len(header), _PREFIX.size + len(header) + offset)
    temporary = path.with_name(f"{path.name}-{os.getpid()}-{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _prune(path.parent, room_for=len(prefix) + len(header) + offset)
        try:
            with temporary.open("xb") as file:
                file.writelines((prefix, header, *parts))
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        _log.debug("%s: not kept (%s)", path, error)
        return False
    return True


def _log_unusable(path: Path, why: str) -> None:
    _log.debug("%s: %s; it will be rebuilt", path, why)


def _prune(folder: Path, *, room_for: int) -> None:
    """Remove files unused for long, files beyond the largest total size, and those that killed processes left behind.

    Only files with the cache's own names are removed, since the folder may hold others.
    """
    now = time.time()
    kept = []
    for file in folder.iterdir():
        name = _OWN_NAME.fullmatch(file.name)
        with contextlib.suppress(OSError):  # another user's file, or removed meanwhile
            status = file.lstat()
            if name is None or not stat.S_ISREG(status.st_mode):
                continue
            age = now - status.st_mtime
            if age > (_LEFT_BEHIND_SECONDS if name["temporary"] else UNUSED_DAYS * 24 * 3600):
                file.unlink()
            elif not name["temporary"]:
                kept.append((age, status.st_size, file))
    total = room_for
    for _, size, file in sorted(kept):
        total += size
        if total > LARGEST_CACHE_BYTES:
            with contextlib.suppress(OSError):
                file.unlink()
