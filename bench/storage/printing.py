"""Texts for people on stdout and stderr; whatever user-given names and messages in them hold, it is only shown."""

import sys

from bench.storage.visible import visible, visible_lines


def print_line(line: str, *, flush: bool = False) -> None:
    """A line on stdout; ``flush``: at once, for whoever follows it on a pipe."""
    print(visible(line), flush=flush)


def print_text(text: str) -> None:
    """Lines on stdout."""
    print(visible_lines(text))


def log(message: str) -> None:
    """A line for the person who waits."""
    print(visible(message), file=sys.stderr, flush=True)


def log_text(message: str) -> None:
    """As `log`, for a message that may have several lines: an error's, say."""
    print(visible_lines(message), file=sys.stderr, flush=True)
