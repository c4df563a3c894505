"""What a data set says that was read in another way than it stands there: counted, and told."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

METRIC = "note_"
"""What the names of metrics begin with that count the entries of a kind of note."""


@dataclass(frozen=True)
class Note:
    """One kind of thing that was read differently, or that a user should know of, in one annotation file."""

    file: str
    """The annotation file or image folder."""
    kind: str
    """A word that stays the same from release to release, such as `reordered` or `area-from-box`."""
    count: int
    """How many entries it concerns."""
    text: str
    """One sentence without the file and the count's noun left open: `34 people have no mask: their boxes stand in`."""
    acts: bool = False
    """Whether it changes what is learned or scored, so that the data's digest must tell it."""

    def as_row(self) -> dict[str, Any]:
        """The row of `notes[]` in JSON documents and records."""
        return {"file": self.file, "kind": self.kind, "count": self.count, "note": self.text}


NONE: tuple[Note, ...] = ()


def acting(notes: Iterable[Note]) -> list[str]:
    """What notes that act add to a digest: kind and count, in a fixed order, without the place of the file."""
    return sorted(f"{note.kind}:{note.count}" for note in notes if note.acts)


def distinct(notes: Iterable[Note]) -> tuple[Note, ...]:
    """The notes in their order, each once: splits that share a file have the same ones."""
    return tuple(dict.fromkeys(notes))


def as_bytes(notes: Iterable[Note]) -> NDArray[np.uint8]:
    """Notes as they are kept beside arrays, without the place of the file."""
    return np.frombuffer(json.dumps([asdict(note) | {"file": ""} for note in notes]).encode(), np.uint8)


def of_bytes(kept: NDArray[np.uint8], file: str) -> tuple[Note, ...]:
    """The notes of ``as_bytes``, of this file."""
    return tuple(Note(**entry | {"file": file}) for entry in json.loads(kept.tobytes()))


def as_metrics(notes: Iterable[Note]) -> dict[str, int]:
    """How many entries each kind concerns in all files, by the names that records and MLflow use (`note_KIND`)."""
    counts: dict[str, int] = {}
    for note in notes:
        name = METRIC + note.kind.replace("-", "_")
        counts[name] = counts.get(name, 0) + note.count
    return counts
