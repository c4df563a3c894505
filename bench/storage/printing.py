"""Print texts for people on stdout and stderr, with control characters in user-given names written out."""

import sys

from bench.storage.visible import visible, visible_lines


def print_line(line: str, *, flush: bool = False) -> None:
    """Print a line on stdout; ``flush``: immediately, for a reader on a pipe."""
    print(visible(line), flush=flush)


def print_text(text: str) -> None:
    """Print one or several lines on stdout."""
    print(visible_lines(text))


def log(message: str) -> None:
    """Print a progress line on stderr."""
    print(visible(message), file=sys.stderr, flush=True)


def log_text(message: str) -> None:
    """Print a message of one or several lines on stderr, such as an error."""
    print(visible_lines(message), file=sys.stderr, flush=True)
