"""Notes on the entries of a data set that were read differently than they are written, counted by kind."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

METRIC = "note_"
"""Prefix of the metrics that count the entries of each kind of note."""


@dataclass(frozen=True)
class Note:
    """One kind of entry that was read differently than it is written, or another fact about a file for the user."""

    file: str
    """The annotation file or image folder."""
    kind: str
    """Short identifier, the same in every release, such as `reordered` or `area-from-box`."""
    count: int
    """Number of entries concerned."""
    text: str
    """One sentence without the file's name: `34 people have no mask: their boxes stand in`."""
    acts: bool = False
    """Whether the difference changes what is learned or scored, so that the data's digest must include it."""

    def as_row(self) -> dict[str, Any]:
        """Return the row of `notes[]` in JSON documents and records."""
        return {"file": self.file, "kind": self.kind, "count": self.count, "note": self.text}


NO_NOTES: tuple[Note, ...] = ()


def digest_entries(notes: Iterable[Note]) -> list[str]:
    """Return kind and count, sorted, of the notes that change what is learned or scored, to be included in a digest."""
    return sorted(f"{note.kind}:{note.count}" for note in notes if note.acts)


def distinct(notes: Iterable[Note]) -> tuple[Note, ...]:
    """Return the notes in their order without duplicates, which occur if splits share a file."""
    return tuple(dict.fromkeys(notes))


def to_bytes(notes: Iterable[Note]) -> NDArray[np.uint8]:
    """Encode notes as an array to be stored beside others, without the file's path."""
    return np.frombuffer(json.dumps([asdict(note) | {"file": ""} for note in notes]).encode(), np.uint8)


def from_bytes(kept: NDArray[np.uint8], file: str) -> tuple[Note, ...]:
    """Decode notes written by ``to_bytes``, as notes of this file."""
    return tuple(Note(**entry | {"file": file}) for entry in json.loads(kept.tobytes()))


def as_metrics(notes: Iterable[Note]) -> dict[str, int]:
    """Return how many entries each kind concerns in all files, by the names of records and MLflow (`note_KIND`)."""
    counts: dict[str, int] = {}
    for note in notes:
        name = METRIC + note.kind.replace("-", "_")
        counts[name] = counts.get(name, 0) + note.count
    return counts
