"""Locate and quickly check all images when a split is opened, and collect notes on their EXIF orientation tags."""

from dataclasses import replace

from posemodel.config import Exif
from posemodel.data.images.files import Examined, examine
from posemodel.data.images.headers import UPRIGHT
from posemodel.data.images.matching import Images, find_images
from posemodel.data.layout import DataSet, SplitFiles
from posemodel.data.notes import Note
from posemodel.data.packed_split import PackedSplit


class OrientationCounter:
    """Counts images with an EXIF orientation other than upright."""

    def __init__(self) -> None:
        self.count = 0
        self._first = ("", UPRIGHT)

    def add(self, name: str, examined: Examined) -> None:
        """Count an image by the result of checking it."""
        if examined.orientation != UPRIGHT:
            self._first = self._first if self.count else (name, examined.orientation)
            self.count += 1

    def notes(self, file: str, exif: Exif) -> tuple[Note, ...]:
        """Return a note if any image of the annotation file has such a tag."""
        if not self.count:
            return ()
        carry = "1 image carries" if self.count == 1 else f"{self.count} images carry"
        name, orientation = self._first
        example = f"{carry} an EXIF orientation ({name}: {orientation})"
        if exif == "follow":
            return (Note(file, "exif-followed", self.count, f"{example}, and pixels are turned by it"),)
        text = f"{example}, and pixels are read as stored; if they were annotated upright, give --exif follow"
        return (Note(file, "exif-ignored", self.count, text),)


def with_checked_images(packed: PackedSplit, files: SplitFiles, data: DataSet) -> PackedSplit | None:
    """Return the split with every image located and quickly checked, and notes; None if an image cannot be used."""
    notes = _checked_image_notes(packed)
    if notes is None:
        packed = with_image_paths(packed, find_images(files, packed.file_names(), data, exif=packed.exif))
        notes = _checked_image_notes(packed)
    return None if notes is None else replace(packed, notes=(*packed.notes, *notes))


def with_image_paths(packed: PackedSplit, images: Images) -> PackedSplit:
    """Return the split with the located image files."""
    notes = (*packed.notes, *images.notes)
    return replace(packed, folder=str(images.folder), file_of_name=images.file_of_name, exif=images.exif, notes=notes)


def orientation_notes(packed: PackedSplit) -> tuple[Note, ...]:
    """Return notes on the images' orientation tags, even if some files have other problems."""
    orientations = OrientationCounter()
    for position in range(len(packed)):
        path = packed.path(position)
        orientations.add(path.name, examine(path, *packed.size(position), decode=False, exif=packed.exif))
    return orientations.notes(packed.annotations, packed.exif)


def _checked_image_notes(packed: PackedSplit) -> tuple[Note, ...] | None:
    """Return notes on the images; None as soon as one of them cannot be used."""
    orientations = OrientationCounter()
    for position in range(len(packed)):
        path = packed.path(position)
        examined = examine(path, *packed.size(position), decode=False, exif=packed.exif)
        if examined.fault is not None:
            return None
        orientations.add(path.name, examined)
    return orientations.notes(packed.annotations, packed.exif)
