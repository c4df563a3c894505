"""Standard output and error that outlive their reader, and say every character in some way.

`posebench study ... | head` closes the pipe long before the study ends; a terminal goes away with its connection. What
is printed from then on is lost, and the work goes on. What the output's encoding cannot say is written in its nearest
ASCII form, or as an escape such as ``\\xe4``: no name and no unit ends a study.
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
"""Errors of a reader that is no longer there: a closed pipe, a terminal that has hung up."""
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
        "°": "deg",
        "²": "2",
        "\N{NO-BREAK SPACE}": " ",
        "‘": "'",
        "’": "'",
        "“": '"',
        "”": '"',
    }
)
"""What is written where an encoding lacks a character; letters become escapes, so that no two names look the same."""


class OutputLostError(PosemodelError):
    """What was printed could not be written, where somebody waits for it: on a full disk, say."""


def plain(error: UnicodeError) -> tuple[str, int]:
    """A codecs error handler: `PLAIN`, else escapes as Python writes them."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(PLAIN)
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end


codecs.register_error(ENCODING_ERRORS, plain)


class _Raw(io.RawIOBase):
    """A file descriptor that is written to as long as somebody reads it."""

    def __init__(self, descriptor: int, *, lossy: bool) -> None:
        """``lossy``: whatever cannot be written is lost, on a full disk too."""
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
                raise OSError(error.errno, error.strerror, "stdout") from error  # with a name, it is told in a line
            self.gone = True
            _silence(self._descriptor)  # for processes that are started from now on, and for C code
            return len(data)


def _silence(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, descriptor)
    finally:
        os.close(nowhere)


def keep_open() -> list[tuple[str, TextIO | None]]:
    """Have `sys.stdout` and `sys.stderr` outlive their readers, in this process; returns what was there before.

    A stream that is not the process's own (a test's, a notebook's) is left alone, as is a Windows console, which has
    an encoding and a writer of its own.
    """
    before: list[tuple[str, TextIO | None]] = []
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        stream: TextIO | None = getattr(sys, name)
        if stream is None:  # closed by whoever started us
            before.append((name, None))
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 (for good)
            continue
        if not isinstance(stream, io.TextIOWrapper) or _descriptor(stream) != descriptor:
            continue
        if os.name == "nt" and stream.isatty():
            continue
        kept = io.TextIOWrapper(
            io.BufferedWriter(_Raw(descriptor, lossy=name == "stderr")),
            encoding=stream.encoding,
            errors=ENCODING_ERRORS,
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        before.append((name, stream))
        setattr(sys, name, kept)
    return before


@contextmanager
def kept_open() -> Iterator[None]:
    """`keep_open` in the block. Raises OutputLostError at its end where output is lost that somebody waits for."""
    before = keep_open()
    ours = {name: getattr(sys, name) for name, _ in before}
    ended = False
    try:
        yield
        ended = True
    finally:
        for name, stream in before:
            if getattr(sys, name) is ours[name]:
                setattr(sys, name, stream)
        for name, stream in ours.items():
            try:
                stream.flush()
            except OSError as error:
                if isinstance(raw := _raw(stream), _Raw):
                    raw.gone = True  # it is not tried again
                if ended:  # else what the block raised says more
                    text = f"{name}: what was printed could not be written: {error.strerror}."
                    raise OutputLostError(text) from error


def is_gone(stream: Any) -> bool:
    """Whether nobody reads what is written to a stream."""
    raw = _raw(stream)
    if isinstance(raw, _Raw) and raw.gone:
        return True
    descriptor = _descriptor(stream)
    if descriptor is None or not hasattr(select, "poll"):
        return False
    looker = select.poll()
    looker.register(descriptor, 0)  # errors and hang-ups are told unasked
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in looker.poll(0))


def _raw(stream: Any) -> Any:
    return getattr(getattr(stream, "buffer", None), "raw", None)


def _descriptor(stream: Any) -> int | None:
    try:
        found: int = stream.fileno()
    except (AttributeError, OSError, ValueError):
        return None
    return found
