r"""Locate the images that an annotation file names: the file of exactly that name, or the only one it can mean.

Tools write names that differ from the files': with `\` for `/`, in another case or Unicode form, with `%20` for a
space, with leading folders that the image folder already has (or without those that it has), as URLs or absolute paths.
Folders are listed only if a file is missing, each once. A matched file is always below the image folder.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posemodel.config import Exif
from posemodel.data.annotations.problems import is_inside_folder
from posemodel.data.images.files import image_path
from posemodel.data.images.names import Match, NameIndex, Parts, files_below, match_names, possible_paths, shorten
from posemodel.data.layout import DataSet, SplitFiles, require_split, split_names
from posemodel.data.notes import Note

_SHOWN = 3
"""Maximum number of folders that a message lists."""


@dataclass(frozen=True)
class Images:
    """The located image files of a split, and whether their EXIF orientation is followed."""

    folder: Path
    exif: Exif = "ignore"
    file_of_name: Mapping[str, str] = field(default_factory=dict)
    """Annotated name -> file below ``folder``, for names that are not the file's."""
    hints: Mapping[str, str] = field(default_factory=dict)
    """Name of a missing file -> similar files."""
    all_missing: str = ""
    """Message if all images are missing; else empty."""
    notes: tuple[Note, ...] = ()

    def path(self, name: str) -> Path:
        """Return the file of an image."""
        return image_path(self.folder, self.file_of_name.get(name, name))

    def with_found_names(self, document: dict[str, Any]) -> dict[str, Any]:
        """Replace names that lead out of the image folder by the matched files' names, in a parsed annotation file."""
        entries = document.get("images")
        outside = {name for name in self.file_of_name if not is_inside_folder(name)}
        if not outside or not isinstance(entries, list):
            return document
        images = [
            entry | {"file_name": self.file_of_name[entry["file_name"]]} if _name_of(entry) in outside else entry
            for entry in entries
        ]
        return document | {"images": images}


def names_aside(document: dict[str, Any]) -> dict[str, Any]:
    """Replace names that lead out of the image folder by their last part; used if images are not read."""
    entries = document.get("images")
    if not isinstance(entries, list) or all(is_inside_folder(_name_of(entry)) for entry in entries):
        return document
    images = []
    for entry in entries:
        if not is_inside_folder(name := _name_of(entry)):
            parts = next((parts for parts, _ in possible_paths(name)), ())
            entry = entry | {"file_name": parts[-1]} if parts and is_inside_folder(parts[-1]) else entry
        images.append(entry)
    return document | {"images": images}


def file_names_in(document: Mapping[str, Any]) -> list[str]:
    """Return the file names of a parsed annotation file that may be malformed."""
    images = document.get("images")
    names = map(_name_of, images) if isinstance(images, list) else ()
    return [name for name in names if name]


def _name_of(entry: Any) -> str:
    name = entry.get("file_name") if isinstance(entry, dict) else None
    return name if isinstance(name, str) else ""


def find_images(files: SplitFiles, names: Iterable[str], data: DataSet, *, exif: Exif = "ignore") -> Images:
    """Locate the images of a split; ``data`` is searched for images that are all missing."""
    wanted = dict.fromkeys(names)
    missing = dict.fromkeys(name for name in wanted if not _exists(files.images, name))
    if not missing:
        return Images(files.images, exif)
    matches, hints = match_names(missing, [name for name in wanted if name not in missing], NameIndex(files.images))
    if len(missing) == len(wanted) and not matches:
        return _find_in_other_folder(files, list(missing), data, exif, hints)
    notes = (_file_name_note(matches, files),) if matches else ()
    unmatched = [name for name in missing if name not in matches]
    if unmatched and data.search_folder is not None:
        for name, folders in _folders_with(unmatched, data.search_folder, excluded=files.images).items():
            hints.setdefault(name, f"it is in {shorten(folders)}")
    return Images(files.images, exif, {name: each.file for name, each in matches.items()}, hints, notes=notes)


def _exists(folder: Path, name: str) -> bool:
    return is_inside_folder(name) and os.path.lexists(image_path(folder, name))


def _file_name_note(matches: Mapping[str, Match], files: SplitFiles) -> Note:
    count = len(matches)
    reasons = Counter(each for match in matches.values() for each in match.differences).most_common()
    name, match = next(iter(matches.items()))
    differ = "1 file name differs from its file's" if count == 1 else f"{count} file names differ from their files'"
    text = (
        f"{differ} ({', '.join(f'{word}: {number}' for word, number in reasons)}); `{name}` is read from {match.file}, "
        "for example"
    )
    return Note(str(files.annotations), "file-name", count, text)


def _find_in_other_folder(
    files: SplitFiles, names: list[str], data: DataSet, exif: Exif, hints: dict[str, str]
) -> Images:
    """Locate images that are all missing from the expected folder, if exactly one other folder has them all."""
    per_folder = (
        _count_per_folder(names, data.search_folder, excluded=files.images) if data.search_folder is not None else {}
    )
    complete = [folder for folder, count in per_folder.items() if count == len(names)]
    if len(complete) == 1 and complete[0].resolve() not in _image_folders_of_other_splits(files, data):
        images_text = f"all {len(names)} images are" if len(names) > 1 else "its only image is"
        text = f"{images_text} in {complete[0]}, not in {files.images}, and read from there"
        return Images(complete[0], exif, notes=(Note(str(files.annotations), "images-elsewhere", len(names), text),))
    state = "not one is there" if files.images.is_dir() else "no such folder"
    if files.images.is_dir() and not os.access(files.images, os.R_OK | os.X_OK):
        state = "its folder cannot be looked into (Permission denied)"
    count = len(names)
    folder_texts = [
        f"{folder} has {'it' if count == 1 else 'all' if present == count else f'{present} of them'}"
        for folder, present in sorted(per_folder.items(), key=lambda each: -each[1])[:_SHOWN]
    ]
    if count == 1:
        return Images(files.images, exif, hints={names[0]: "; ".join(folder_texts)} | hints if folder_texts else hints)
    hint = f" ({names[0]}: {hints[names[0]]})" if names[0] in hints else ""
    side = "val" if files.name in ("val", "valid", "validation", "report") else "train"
    remedy = f"name their folder: --{side}-annotations {files.annotations} --{side}-images DIR"
    elsewhere = "".join(f"; {folder_text}" for folder_text in folder_texts)
    text = f"all {count} images are missing, {state}{hint}{elsewhere}; {remedy}"
    return Images(files.images, exif, hints=hints, all_missing=text)


def _image_folders_of_other_splits(files: SplitFiles, data: DataSet) -> set[Path]:
    """Return the image folders of the other splits, where files of the same name are different images."""
    others = (require_split(data, name) for name in split_names(data))
    return {other.images.resolve() for other in others if other.annotations != files.annotations}


def _folders_with(names: Iterable[str], root: Path, *, excluded: Path) -> dict[str, list[str]]:
    """Return name -> folders below ``root`` in which this file exists under its full relative path."""
    wanted = {parts: name for name in names for parts, differences in possible_paths(name) if not differences}
    lengths = {len(parts) for parts in wanted}
    folders_by_name: dict[str, list[str]] = defaultdict(list)
    for folder, file in _files_outside(root, excluded):
        for length in lengths:
            if length <= len(file) and file[-length:] in wanted:
                folders_by_name[wanted[file[-length:]]].append(str(folder.joinpath(*file[:-length])))
    return folders_by_name


def _count_per_folder(names: Collection[str], root: Path, *, excluded: Path) -> dict[Path, int]:
    """Return folder below ``root`` -> how many of the names it has."""
    per_name = _folders_with(names, root, excluded=excluded)
    return {Path(folder): count for folder, count in Counter(f for each in per_name.values() for f in each).items()}


def _files_outside(root: Path, excluded: Path) -> Iterator[tuple[Path, Parts]]:
    excluded_parts = excluded.relative_to(root).parts if excluded.is_relative_to(root) else None
    for file in files_below(root):
        if excluded_parts is None or not excluded_parts or file[: len(excluded_parts)] != excluded_parts:
            yield root, file
