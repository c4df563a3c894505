"""What `data check` tells of sound image files: tags, depths, and pictures that are there more than once."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from pathlib import Path

from posemodel.config import Exif
from posemodel.data.images.files import Examined
from posemodel.data.images.inspection import Tagged
from posemodel.data.notes import Note


class ImageFacts:
    """The image files of a split that can be used, as they are looked at one by one."""

    def __init__(self, annotations: Path, exif: Exif) -> None:
        self.annotations = annotations
        self._exif = exif
        self._tagged = Tagged()
        self._shallow: list[tuple[str, int]] = []
        """Files of 16 bits that hold fewer, and how many."""
        self.of_size: dict[int, list[Path]] = defaultdict(list)
        """The files by their lengths in bytes: those of different length are different pictures."""

    def saw(self, path: Path, examined: Examined) -> None:
        """Take in a file that was examined."""
        self._tagged.saw(path.name, examined)
        if examined.fault is not None:
            return
        if examined.bits is not None:
            self._shallow.append((path.name, examined.bits))
        self.of_size[path.stat().st_size].append(path)

    def __len__(self) -> int:
        return sum(map(len, self.of_size.values()))

    def notes(self) -> Iterator[Note]:
        """What is to be told of the split by itself."""
        file = str(self.annotations)
        yield from self._tagged.notes(file, self._exif)
        if self._shallow:
            (name, bits), count = self._shallow[0], len(self._shallow)
            hold = "1 image of 16 bits holds" if count == 1 else f"{count} images of 16 bits hold"
            text = f"{hold} fewer ({name}: {bits}); read by those, else they would be black"
            yield Note(file, "fewer-bits", count, text)
        if len(self) > 1 and len(self.of_size) == 1:
            (files,) = self.of_size.values()
            if len({*map(_digest, files)}) == 1:
                text = f"all {len(files)} images are the same picture: there is nothing to learn from it but itself"
                yield Note(file, "all-the-same", len(files), text)


def shared_pictures(splits: Mapping[str, ImageFacts]) -> Iterator[Note]:
    """A note for each two splits that have pictures in common, byte by byte."""
    for (first, one), (second, other) in combinations(splits.items(), 2):
        (few, fewer), (many, more) = sorted(((first, one), (second, other)), key=lambda each: len(each[1]))
        sizes = fewer.of_size.keys() & more.of_size.keys()
        known = {*map(_digest, _files(more, sizes))}
        count = sum(_digest(file) in known for file in _files(fewer, sizes))
        if count:
            share = f"all {count}" if count == len(fewer) else f"{count} of the {len(fewer)}"
            text = f"{share} images of `{few}` are in `{many}` too: trained on one, a score on the other tells little"
            yield Note(str(fewer.annotations), "in-two-splits", count, text)


def _files(facts: ImageFacts, sizes: Iterable[int]) -> Iterator[Path]:
    return (file for size in sizes for file in facts.of_size[size])


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").digest()
