"""Output of commands: results on stdout; messages, notes and progress bars on stderr."""

import json
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from bench.storage.printing import log, log_text, print_line, print_text
from bench.storage.visible import visible, visible_lines
from posemodel.data.labelled_counts import ROLES, count_summary, few_images_warnings

__all__ = [
    "log",
    "log_notes",
    "log_opened",
    "log_study_data",
    "log_text",
    "log_wrapped",
    "output_console",
    "print_json",
    "print_line",
    "print_table",
    "print_text",
    "progress_bar",
    "shown_text",
]

if TYPE_CHECKING:
    from posemodel.data.notes import Note
    from posemodel.data.open_split import PackedSplit

PIPE_COLUMNS = 160
"""Columns of a table on a pipe, at least: whatever reads it is no terminal that has few."""


def print_json(document: Any) -> None:
    """Print the JSON document of a command with ``--json``."""
    json.dump(document, sys.stdout, indent=2, allow_nan=False)
    sys.stdout.write("\n")


def log_wrapped(message: str) -> None:
    """Log a long message, on a terminal in lines that end between words; on a pipe it stays one line."""
    text = visible(message)
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns
        text = textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)
    log_text(text)


def log_opened(splits: "Sequence[PackedSplit]") -> None:
    """Log what ``--skip-bad`` left out of each annotation file of some splits, and notes on values read otherwise."""
    for path, split in {split.annotations: split for split in splits}.items():
        if split.skip_bad:
            log_wrapped(f"left out: {split.left_out} ({path})")
    log_notes(dict.fromkeys(note for split in splits for note in split.notes))  # once for splits that share a file


def log_study_data(splits: "Sequence[PackedSplit]") -> None:
    """Log as ``log_opened`` for a study's train, select and report splits, and warn if a split is too small."""
    log_opened(splits)
    images = {role: len(split.labelled_only()) for role, split in zip(ROLES, splits, strict=True)}
    log_wrapped(f"data: {count_summary(images)}")
    for text in few_images_warnings(images).values():
        log_wrapped(f"warning: {text}")


def log_notes(notes: "Iterable[Note]") -> None:
    """Log a line for each note, with its file."""
    for note in notes:
        log_wrapped(f"note: {note.text} ({note.file})")


def shown_text(text: str, style: str = "") -> Text:
    """Return a text that Rich prints literally: no markup such as `[red]` or `:rocket:`, control characters escaped."""
    return Text(visible_lines(text), style)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str | None = None) -> None:
    """Print a table on stdout, as wide as its cells need; on a narrow terminal, cells are wrapped."""
    table = Table(title=None if title is None else shown_text(title, "table.title"), title_justify="left")
    for column in columns:
        table.add_column(shown_text(column), overflow="fold")  # wrapped, not cut: a name that is cut cannot be copied
    for row in rows:
        table.add_row(*map(shown_text, row))
    output_console().print(table)


def output_console() -> Console:
    """Return a console on stdout: as wide as the terminal, or for a pipe as wide as most tables need."""
    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, PIPE_COLUMNS))


def progress_bar() -> Progress:
    """Return a progress bar on stderr, which only a terminal shows."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
