"""The images of a split that is opened: found where their names do not fit, and looked at for what notes tell."""

from dataclasses import replace

from posemodel.config import Exif
from posemodel.data.images.files import Examined, examine
from posemodel.data.images.headers import UPRIGHT
from posemodel.data.images.matching import Images, find_images
from posemodel.data.layout import DataSet, SplitFiles
from posemodel.data.notes import Note
from posemodel.data.packed import PackedSplit


class Tagged:
    """Counts the images that carry an EXIF orientation other than upright."""

    def __init__(self) -> None:
        self.count = 0
        self._first = ("", UPRIGHT)

    def saw(self, name: str, examined: Examined) -> None:
        """Count an image that was examined."""
        if examined.orientation != UPRIGHT:
            self._first = self._first if self.count else (name, examined.orientation)
            self.count += 1

    def notes(self, file: str, exif: Exif) -> tuple[Note, ...]:
        """A note on the images of an annotation file, if there are any."""
        if not self.count:
            return ()
        carry = "1 image carries" if self.count == 1 else f"{self.count} images carry"
        name, orientation = self._first
        example = f"{carry} an EXIF orientation ({name}: {orientation})"
        if exif == "follow":
            return (Note(file, "exif-followed", self.count, f"{example}, and pixels are turned by it"),)
        text = f"{example}, and pixels are read as stored; if they were annotated upright, give --exif follow"
        return (Note(file, "exif-ignored", self.count, text),)


def with_images(packed: PackedSplit, files: SplitFiles, data: DataSet) -> PackedSplit | None:
    """The split with every image found and fit for use at a quick look, and notes; None where one is not."""
    notes = _looked_at(packed)
    if notes is None:
        packed = reading(packed, find_images(files, packed.file_names(), data, exif=packed.exif))
        notes = _looked_at(packed)
    return None if notes is None else replace(packed, notes=(*packed.notes, *notes))


def reading(packed: PackedSplit, images: Images) -> PackedSplit:
    """The split with its images read from where they were found."""
    notes = (*packed.notes, *images.notes)
    return replace(packed, folder=str(images.folder), found=images.found, exif=images.exif, notes=notes)


def exif_notes(packed: PackedSplit) -> tuple[Note, ...]:
    """What the images' orientation tags say, whatever else is wrong with the files."""
    tagged = Tagged()
    for position in range(len(packed)):
        path = packed.path(position)
        tagged.saw(path.name, examine(path, *packed.size(position), decode=False, exif=packed.exif))
    return tagged.notes(packed.annotations, packed.exif)


def _looked_at(packed: PackedSplit) -> tuple[Note, ...] | None:
    """Notes on the images; None as soon as one of them cannot be used."""
    tagged = Tagged()
    for position in range(len(packed)):
        path = packed.path(position)
        examined = examine(path, *packed.size(position), decode=False, exif=packed.exif)
        if examined.fault is not None:
            return None
        tagged.saw(path.name, examined)
    return tagged.notes(packed.annotations, packed.exif)
