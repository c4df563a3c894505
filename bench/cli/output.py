"""What a command prints: data on stdout, everything else on stderr."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from bench.storage.printing import log, log_text, print_line, print_text
from bench.storage.visible import visible_lines
from posemodel.data.evidence import ROLES, told, warnings

__all__ = [
    "log",
    "log_notes",
    "log_opened",
    "log_study_data",
    "log_text",
    "print_json",
    "print_line",
    "print_table",
    "print_text",
    "progress_bar",
    "shown_text",
]

if TYPE_CHECKING:
    from posemodel.data.coco import PackedSplit
    from posemodel.data.notes import Note


def print_json(document: Any) -> None:
    """The one JSON document of a command with ``--json``."""
    json.dump(document, sys.stdout, indent=2, allow_nan=False)
    sys.stdout.write("\n")


def log_opened(splits: "Sequence[PackedSplit]") -> None:
    """Say what ``--skip-bad`` left out of each annotation file behind some splits, and what was read differently."""
    for path, split in {split.annotations: split for split in splits}.items():
        if split.skip_bad:
            log(f"left out: {split.left_out} ({path})")
    log_notes(dict.fromkeys(note for split in splits for note in split.notes))  # splits that share a file have the same


def log_study_data(splits: "Sequence[PackedSplit]") -> None:
    """As ``log_opened``, of what a study trains on, chooses by and reports on; and how much these can tell."""
    log_opened(splits)
    images = {role: len(split.labelled_only()) for role, split in zip(ROLES, splits, strict=True)}
    log(f"data: {told(images)}")
    for text in warnings(images).values():
        log(f"warning: {text}")


def log_notes(notes: "Iterable[Note]") -> None:
    """A line for each note, with its file."""
    for note in notes:
        log(f"note: {note.text} ({note.file})")


def shown_text(text: str, style: str = "") -> Text:
    """A text for Rich as it is: no marks such as `[red]` or `:rocket:`, control characters written out."""
    return Text(visible_lines(text), style)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str | None = None) -> None:
    """A table on stdout, as wide as its cells need; columns that a narrow terminal cannot hold are folded."""
    table = Table(title=None if title is None else shown_text(title, "table.title"), title_justify="left")
    for column in columns:
        table.add_column(shown_text(column), overflow="fold")  # a name that is cut cannot be copied
    for row in rows:
        table.add_row(*map(shown_text, row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(console.width, 160))
    console.print(table)


def progress_bar() -> Progress:
    """A bar on stderr, shown only on a terminal."""
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
