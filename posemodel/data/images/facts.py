"""Facts that `data check` reports about usable image files: orientation tags, bit depths, and duplicate pictures."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from pathlib import Path

from posemodel.config import Exif
from posemodel.data.images.files import Examined
from posemodel.data.images.inspection import OrientationCounter
from posemodel.data.notes import Note


class ImageFacts:
    """Collects facts about the image files of a split while they are checked one by one."""

    def __init__(self, annotations: Path, exif: Exif) -> None:
        self.annotations = annotations
        self._exif = exif
        self._orientations = OrientationCounter()
        self._fewer_bits: list[tuple[str, int]] = []
        """16-bit files that use fewer bits: name and bits used."""
        self.paths_by_size: dict[int, list[Path]] = defaultdict(list)
        """Paths by file size in bytes: files of different sizes are different pictures."""

    def add(self, path: Path, examined: Examined) -> None:
        """Add a file and the result of checking it."""
        self._orientations.add(path.name, examined)
        if examined.fault is not None:
            return
        if examined.bits is not None:
            self._fewer_bits.append((path.name, examined.bits))
        self.paths_by_size[path.stat().st_size].append(path)

    def __len__(self) -> int:
        return sum(map(len, self.paths_by_size.values()))

    def notes(self) -> Iterator[Note]:
        """Yield the notes on the images of this split."""
        file = str(self.annotations)
        yield from self._orientations.notes(file, self._exif)
        if self._fewer_bits:
            (name, bits), count = self._fewer_bits[0], len(self._fewer_bits)
            hold = "1 image of 16 bits uses" if count == 1 else f"{count} images of 16 bits use"
            text = f"{hold} fewer ({name}: {bits}): read at that depth, or they would be black"
            yield Note(file, "fewer-bits", count, text)
        if len(self) > 1 and len(self.paths_by_size) == 1:
            (files,) = self.paths_by_size.values()
            if len({*map(_digest, files)}) == 1:
                text = f"all {len(files)} images are the same picture: a network can learn only that picture"
                yield Note(file, "all-the-same", len(files), text)


def shared_pictures(splits: Mapping[str, ImageFacts]) -> Iterator[Note]:
    """Yield a note for each pair of splits that share pictures, compared byte by byte."""
    for (first, first_facts), (second, second_facts) in combinations(splits.items(), 2):
        (few, fewer), (many, more) = sorted(
            ((first, first_facts), (second, second_facts)), key=lambda each: len(each[1])
        )
        sizes = fewer.paths_by_size.keys() & more.paths_by_size.keys()
        known = {*map(_digest, _paths_of_sizes(more, sizes))}
        count = sum(_digest(file) in known for file in _paths_of_sizes(fewer, sizes))
        if count:
            share = f"all {count}" if count == len(fewer) else f"{count} of the {len(fewer)}"
            text = (
                f"{share} images of `{few}` are in `{many}` too: a score on one, after training on the other, tells "
                "little"
            )
            yield Note(str(fewer.annotations), "in-two-splits", count, text)


def _paths_of_sizes(facts: ImageFacts, sizes: Iterable[int]) -> Iterator[Path]:
    return (file for size in sizes for file in facts.paths_by_size[size])


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").digest()
