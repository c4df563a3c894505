"""What a command prints: data on stdout, everything else on stderr."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from posemodel.data.evidence import ROLES, told, warnings

if TYPE_CHECKING:
    from posemodel.data.coco import PackedSplit
    from posemodel.data.notes import Note


def print_json(document: Any) -> None:
    """The one JSON document of a command with ``--json``."""
    json.dump(document, sys.stdout, indent=2, allow_nan=False)
    sys.stdout.write("\n")


def log(message: str) -> None:
    """A line for the person who waits."""
    print(message, file=sys.stderr, flush=True)


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


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str | None = None) -> None:
    """A table on stdout, as wide as its cells need; columns that a narrow terminal cannot hold are folded."""
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(console.width, 160))
    console.print(table)


def progress_bar() -> Progress:
    """A bar on stderr, shown only on a terminal."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
