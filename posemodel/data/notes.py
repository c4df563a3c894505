"""What a data set says that was read in another way than it stands there: counted, and told."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


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


def acting(notes: Iterable[Note]) -> list[str]:
    """What notes that act add to a digest: kind and count, in a fixed order, without the place of the file."""
    return sorted(f"{note.kind}:{note.count}" for note in notes if note.acts)
