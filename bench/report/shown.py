"""What a command says of a study on a terminal, and as JSON: the same for all kinds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ShownTable:
    """A table with its title."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Shown:
    """What is printed of a plan or of a result: either the document or the rest."""

    document: dict[str, Any]
    """The one JSON document of the command."""
    blocks: Sequence[ShownTable | str]
    """Tables and lines of text, in order; an empty text is nothing."""
