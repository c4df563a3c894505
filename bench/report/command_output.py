"""Output of a study command, for a terminal and as JSON: the same for all kinds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class OutputTable:
    """A table with its title."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class CommandOutput:
    """The output of a command about a plan or a result: prints either the document or the blocks."""

    document: dict[str, Any]
    """The command's JSON document."""
    blocks: Sequence[OutputTable | str]
    """Tables and lines of text in order; an empty text prints nothing."""
