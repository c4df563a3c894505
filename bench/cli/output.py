"""What a command prints: data on stdout, everything else on stderr."""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from posemodel.data.coco import PackedSplit


def print_json(document: Any) -> None:
    """The one JSON document of a command with ``--json``."""
    json.dump(document, sys.stdout, indent=2, allow_nan=False)
    sys.stdout.write("\n")


def log(message: str) -> None:
    """A line for the person who waits."""
    print(message, file=sys.stderr, flush=True)


def log_left_out(splits: "Sequence[PackedSplit]") -> None:
    """Say what ``--skip-bad`` left out of each annotation file behind some splits."""
    for path, left_out in {split.annotations: split.left_out for split in splits}.items():
        log(f"left out: {left_out} ({path})")


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
