"""The share of a data set's files that is in the page cache.

Loading from memory and loading from disk are different measurements.
"""

import ctypes
import mmap
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

WARM, COLD = 0.95, 0.05
"""Cached shares from which files count as `warm`, and up to which they count as `cold`."""


@dataclass(frozen=True)
class PageCache:
    """The state of the page cache for some files."""

    share: float | None
    """Share of the files' bytes that was in memory; None if the system does not tell."""
    files: int
    """Number of files that could be examined."""

    @property
    def state(self) -> str:
        """`warm`, `cold`, `mixed` or `unknown`."""
        if self.share is None:
            return "unknown"
        return "warm" if self.share >= WARM else "cold" if self.share <= COLD else "mixed"


def page_cache(files: Iterable[Path]) -> PageCache:
    """Examine which pages of the files are in memory (mincore), without reading any.

    Files that cannot be opened are left out. So are files that this user may not write to: since Linux 5.2 the kernel
    reports those as fully cached.
    """
    resident = pages = count = 0
    for path in files:
        counts = _resident(path)
        if counts is not None:
            resident, pages, count = resident + counts[0], pages + counts[1], count + 1
    return PageCache(resident / pages if pages else None, count)


def _resident(path: Path) -> tuple[int, int] | None:
    """Return (pages in memory, all pages) of a file; None if they cannot be determined."""
    if not hasattr(_LIBC, "mincore") or not os.access(path, os.W_OK):
        return None
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0:
                return 0, 0
            with mmap.mmap(file.fileno(), size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE) as view:
                number = -(-size // mmap.PAGESIZE)
                flags = (ctypes.c_ubyte * number)()
                start = ctypes.c_char.from_buffer(view)
                try:
                    failed = _LIBC.mincore(ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(size), flags)
                finally:
                    del start  # the map cannot be closed while a pointer into it exists
                return None if failed else (int((np.frombuffer(memoryview(flags), np.uint8) & 1).sum()), number)
    except (OSError, ValueError):
        return None


_LIBC = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else object()
