"""Standard output and error that survive a closed pipe or terminal, and can print every character.

`posebench study ... | head` closes the pipe long before the study ends; a terminal closes with its connection. Output
is then discarded and the work continues. Characters that the output's encoding lacks are written in their nearest
ASCII form, or as an escape such as ``\\xe4``, so that no name or unit can end a study.
"""

import codecs
import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from posemodel.errors import PosemodelError

GONE = {errno.EPIPE, errno.EIO, errno.ECONNRESET, errno.ENXIO} | ({errno.EINVAL} if os.name == "nt" else set())
"""Errors that mean that the reader has ended: a closed pipe, a terminal that has hung up."""
ENCODING_ERRORS = "posebench.plain"
PLAIN = str.maketrans(
    {
        "µ": "u",
        "μ": "u",
        "×": "x",
        "±": "+-",
        "→": "->",
        "←": "<-",
        "≤": "<=",
        "≥": ">=",
        "–": "-",
        "—": "-",
        "…": "...",
        "·": "*",
        "†": "*",
        "°": "deg",
        "²": "2",
        "\N{NO-BREAK SPACE}": " ",
        "‘": "'",
        "’": "'",
        "“": '"',
        "”": '"',
    }
)
"""Replacements for symbols that an encoding lacks; letters become escapes instead, so that names stay distinct."""


class OutputLostError(PosemodelError):
    """Output that is still wanted could not be written, for example on a full disk."""


def replace_unencodable(error: UnicodeError) -> tuple[str, int]:
    """Codecs error handler: replace characters as in `PLAIN`, all others by escapes in Python's form."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(PLAIN)
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end


codecs.register_error(ENCODING_ERRORS, replace_unencodable)


class _Raw(io.RawIOBase):
    """A file descriptor that discards output once its reader is gone."""

    def __init__(self, descriptor: int, *, lossy: bool) -> None:
        """``lossy``: also discard output that cannot be written for other reasons, such as a full disk."""
        self._descriptor, self._lossy, self.gone = descriptor, lossy, False

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int | None:
        if self.gone:
            return len(data)
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno not in GONE and not self._lossy:
                raise OSError(
                    error.errno, error.strerror, "stdout"
                ) from error  # with a file name, it is reported in one line
            self.gone = True
            _silence(self._descriptor)  # for processes that are started from now on, and for C code
            return len(data)


def _silence(descriptor: int) -> None:
    null_device = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null_device, descriptor)
    finally:
        os.close(null_device)


def keep_open() -> list[tuple[str, TextIO | None]]:
    """Make `sys.stdout` and `sys.stderr` of this process survive their readers; return the previous streams by name.

    A stream that is not the process's own (in a test or notebook) is left alone, as is a Windows console, which has
    its own encoding and writer.
    """
    before: list[tuple[str, TextIO | None]] = []
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        stream: TextIO | None = getattr(sys, name)
        if stream is None:  # closed by the parent process
            before.append((name, None))
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 (for good)
            continue
        if not isinstance(stream, io.TextIOWrapper) or _descriptor(stream) != descriptor:
            continue
        if os.name == "nt" and stream.isatty():
            continue
        surviving = io.TextIOWrapper(
            io.BufferedWriter(_Raw(descriptor, lossy=name == "stderr")),
            encoding=stream.encoding,
            errors=ENCODING_ERRORS,
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        before.append((name, stream))
        setattr(sys, name, surviving)
    return before


@contextmanager
def surviving_streams() -> Iterator[None]:
    """Apply `keep_open` in the block; raise OutputLostError at its end if output that is still wanted was lost."""
    before = keep_open()
    surviving = {name: getattr(sys, name) for name, _ in before}
    ended = False
    try:
        yield
        ended = True
    finally:
        for name, stream in before:
            if getattr(sys, name) is surviving[name]:
                setattr(sys, name, stream)
        for name, stream in surviving.items():
            try:
                stream.flush()
            except OSError as error:
                if isinstance(raw := _raw(stream), _Raw):
                    raw.gone = True  # do not try again
                if ended:  # otherwise the block's own exception says more
                    text = f"{name}: what was printed could not be written: {error.strerror}."
                    raise OutputLostError(text) from error


def reader_is_gone(stream: Any) -> bool:
    """Return True if a stream's reader is gone."""
    raw = _raw(stream)
    if isinstance(raw, _Raw) and raw.gone:
        return True
    descriptor = _descriptor(stream)
    if descriptor is None or not hasattr(select, "poll"):
        return False
    poller = select.poll()
    poller.register(descriptor, 0)  # errors and hang-ups are reported without being requested
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poller.poll(0))


def _raw(stream: Any) -> Any:
    return getattr(getattr(stream, "buffer", None), "raw", None)


def _descriptor(stream: Any) -> int | None:
    try:
        descriptor: int = stream.fileno()
    except (AttributeError, OSError, ValueError):
        return None
    return descriptor
