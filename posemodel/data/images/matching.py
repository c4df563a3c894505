"""Where the images are that an annotation file names: the names as they stand, else the files that they plainly mean.

Tools write names that are not those of the files: with `\\` for `/`, in another case or Unicode form, with `%20` for a
space, with leading folders that the image folder has already (or without those that it has), as URLs or absolute paths.
Folders are listed only where a file is missing, each once. A file that is found is always below the image folder.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posemodel.config import Exif
from posemodel.data.annotations.problems import inside
from posemodel.data.images.files import image_path
from posemodel.data.images.names import Match, NameIndex, Parts, files_below, forms, listed, match_names
from posemodel.data.layout import DataSet, SplitFiles, require_split, split_names
from posemodel.data.notes import Note

_SHOWN = 3
"""Folders that a message lists."""


@dataclass(frozen=True)
class Images:
    """The image files of a split, and how their pixels are read."""

    folder: Path
    exif: Exif = "ignore"
    found: Mapping[str, str] = field(default_factory=dict)
    """The file below ``folder`` that a name means where there is none of that name."""
    hints: Mapping[str, str] = field(default_factory=dict)
    """Of missing files: what there is instead."""
    gone: str = ""
    """Where not a single image is there: that, and where they are."""
    notes: tuple[Note, ...] = ()

    def path(self, name: str) -> Path:
        """The file of an image."""
        return image_path(self.folder, self.found.get(name, name))

    def named(self, document: dict[str, Any]) -> dict[str, Any]:
        """A parsed annotation file whose names all lie inside the image folder, where the files were found there."""
        entries = document.get("images")
        moved = {name for name in self.found if not inside(name)}
        if not moved or not isinstance(entries, list):
            return document
        images = [
            entry | {"file_name": self.found[entry["file_name"]]} if _name_of(entry) in moved else entry
            for entry in entries
        ]
        return document | {"images": images}


def names_aside(document: dict[str, Any]) -> dict[str, Any]:
    """A parsed annotation file whose images' names lie inside a folder, for who reads no image: where they are is no
    matter then."""
    entries = document.get("images")
    if not isinstance(entries, list) or all(inside(_name_of(entry)) for entry in entries):
        return document
    images = []
    for entry in entries:
        if not inside(name := _name_of(entry)):
            parts = next((parts for parts, _ in forms(name)), ())
            entry = entry | {"file_name": parts[-1]} if parts and inside(parts[-1]) else entry
        images.append(entry)
    return document | {"images": images}


def names_in(document: Mapping[str, Any]) -> list[str]:
    """The file names of a parsed annotation file that may be malformed."""
    images = document.get("images")
    names = map(_name_of, images) if isinstance(images, list) else ()
    return [name for name in names if name]


def _name_of(entry: Any) -> str:
    name = entry.get("file_name") if isinstance(entry, dict) else None
    return name if isinstance(name, str) else ""


def find_images(files: SplitFiles, names: Collection[str], data: DataSet, *, exif: Exif = "ignore") -> Images:
    """Find the images of a split. ``data``: where else to look for images that are all missing."""
    wanted = dict.fromkeys(names)
    missing = dict.fromkeys(name for name in wanted if not _is_there(files.images, name))
    if not missing:
        return Images(files.images, exif)
    found, hints = match_names(missing, [name for name in wanted if name not in missing], NameIndex(files.images))
    if len(missing) == len(wanted) and not found:
        return _elsewhere(files, list(missing), data, exif, hints)
    notes = (_note_of(found, files),) if found else ()
    lost = [name for name in missing if name not in found]
    if lost and data.searched is not None:
        for name, folders in _folders_of(lost, data.searched, but=files.images).items():
            hints.setdefault(name, f"it is in {listed(folders)}")
    return Images(files.images, exif, {name: each.file for name, each in found.items()}, hints, notes=notes)


def _is_there(folder: Path, name: str) -> bool:
    return inside(name) and os.path.lexists(image_path(folder, name))


def _note_of(found: Mapping[str, Match], files: SplitFiles) -> Note:
    count = len(found)
    why = Counter(each for match in found.values() for each in match.why).most_common()
    name, match = next(iter(found.items()))
    differ = "1 file name differs from its file's" if count == 1 else f"{count} file names differ from their files'"
    text = (
        f"{differ} ({', '.join(f'{word}: {number}' for word, number in why)}); `{name}` is read from {match.file}, "
        "for example"
    )
    return Note(str(files.annotations), "file-name", count, text)


def _elsewhere(files: SplitFiles, names: list[str], data: DataSet, exif: Exif, hints: dict[str, str]) -> Images:
    """Images of which not one is where it should be: read from the only folder that has all, if there is one."""
    per_folder = _holding(names, data.searched, but=files.images) if data.searched is not None else {}
    whole = [folder for folder, count in per_folder.items() if count == len(names)]
    if len(whole) == 1 and whole[0].resolve() not in _folders_of_others(files, data):
        what = f"all {len(names)} images are" if len(names) > 1 else "its only image is"
        text = f"{what} in {whole[0]}, not in {files.images}, and read from there"
        return Images(whole[0], exif, notes=(Note(str(files.annotations), "images-elsewhere", len(names), text),))
    state = "not one is there" if files.images.is_dir() else "no such folder"
    if files.images.is_dir() and not os.access(files.images, os.R_OK | os.X_OK):
        state = "its folder cannot be looked into (Permission denied)"
    count = len(names)
    where = [
        f"{folder} has {'it' if count == 1 else 'all' if held == count else f'{held} of them'}"
        for folder, held in sorted(per_folder.items(), key=lambda each: -each[1])[:_SHOWN]
    ]
    if count == 1:
        return Images(files.images, exif, hints={names[0]: "; ".join(where)} | hints if where else hints)
    near = f" ({names[0]}: {hints[names[0]]})" if names[0] in hints else ""
    side = "val" if files.name in ("val", "valid", "validation", "report") else "train"
    remedy = f"name it outright: --{side}-annotations {files.annotations} --{side}-images DIR"
    text = f"all {count} images are missing, {state}{near}{'; ' if where else ''}{'; '.join(where)}; {remedy}"
    return Images(files.images, exif, hints=hints, gone=text)


def _folders_of_others(files: SplitFiles, data: DataSet) -> set[Path]:
    """The image folders of the other splits: the same names in one of them are other images."""
    others = (require_split(data, name) for name in split_names(data))
    return {other.images.resolve() for other in others if other.annotations != files.annotations}


def _folders_of(names: Iterable[str], root: Path, *, but: Path) -> dict[str, list[str]]:
    """Folders below ``root`` in which missing files lie by their whole names."""
    wanted = {parts: name for name in names for parts, how in forms(name) if not how}
    lengths = {len(parts) for parts in wanted}
    found: dict[str, list[str]] = defaultdict(list)
    for place, file in _files_but(root, but):
        for length in lengths:
            if length <= len(file) and file[-length:] in wanted:
                found[wanted[file[-length:]]].append(str(place.joinpath(*file[:-length])))
    return found


def _holding(names: Collection[str], root: Path, *, but: Path) -> dict[Path, int]:
    """How many of the names each folder below ``root`` has."""
    per_name = _folders_of(names, root, but=but)
    return {Path(folder): count for folder, count in Counter(f for each in per_name.values() for f in each).items()}


def _files_but(root: Path, but: Path) -> Iterator[tuple[Path, Parts]]:
    below = but.relative_to(root).parts if but.is_relative_to(root) else None
    for file in files_below(root):
        if below is None or not below or file[: len(below)] != below:
            yield root, file
