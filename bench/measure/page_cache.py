"""How much of a data set's files is in the page cache: loading from memory and from disk are two measurements."""

import ctypes
import mmap
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

WARM, COLD = 0.95, 0.05


@dataclass(frozen=True)
class PageCache:
    """``share`` of the files' bytes that was in memory; None where the system does not tell."""

    share: float | None
    files: int

    @property
    def state(self) -> str:
        """`warm`, `cold`, `mixed` or `unknown`."""
        if self.share is None:
            return "unknown"
        return "warm" if self.share >= WARM else "cold" if self.share <= COLD else "mixed"


def page_cache(files: Iterable[Path]) -> PageCache:
    """Look at the files' pages (mincore) without reading one. Files that cannot be opened are left out.

    Since Linux 5.2 the kernel answers only for files that this user could write to; for others it says that all is
    there, so those are left out too.
    """
    resident = pages = count = 0
    for path in files:
        found = _resident(path)
        if found is not None:
            resident, pages, count = resident + found[0], pages + found[1], count + 1
    return PageCache(resident / pages if pages else None, count)


def _resident(path: Path) -> tuple[int, int] | None:
    """(pages in memory, pages) of a file, or None where that cannot be known."""
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
                    del start  # the map cannot be closed while it is looked at
                return None if failed else (int((np.frombuffer(memoryview(flags), np.uint8) & 1).sum()), number)
    except (OSError, ValueError):
        return None


_LIBC = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else object()
