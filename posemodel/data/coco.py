"""COCO keypoint annotations: from a data set's folder to the packed arrays of one split.

A sound annotation file is parsed and checked in bulk; one that tools have written otherwise is read from entry to entry
(see ``reading``). What either was packed into is kept in ``index_cache`` under the hash of its content: the next time
the arrays are only mapped. What has any problem goes the long way each time.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from posemodel.config import Exif
from posemodel.data import index_cache
from posemodel.data.annotations.document import give_back_memory, parsed_quickly, paused_collector, read_document
from posemodel.data.annotations.reading import read_closely
from posemodel.data.annotations.soundness import proven_sound
from posemodel.data.derived import SELECT, stands_in, tenth, without_tenths
from posemodel.data.images.inspection import exif_notes, reading, with_images
from posemodel.data.images.matching import Images, find_images, names_aside, names_in
from posemodel.data.layout import Data, DataSet, SplitFiles, find_split, require_split
from posemodel.data.left_out import LeftOut, sound_part, summed
from posemodel.data.notes import Note, as_bytes, distinct, of_bytes
from posemodel.data.packed import NOTES, STORED_NAMES, Arrays, PackedSplit, people_from_coco, people_to_coco
from posemodel.data.packing import packed_arrays, truth_of
from posemodel.errors import DataError

__all__ = [
    "PackedSplit",
    "left_out_of",
    "notes_of",
    "open_split",
    "people_from_coco",
    "people_to_coco",
    "read_document",
    "truth_of",
]

SMALLEST_CACHED = 1 << 20
"""Bytes of the smallest annotation file whose index is kept: a smaller one is parsed in some 0.05 s."""


def open_split(
    data: Data,
    split: str,
    *,
    hold_out_select: bool = False,
    hold_out_val: bool = False,
    skip_bad: bool = False,
    look_at_images: bool = True,
    exif: Exif = "ignore",
) -> PackedSplit:
    """Read one split of a data set: a folder in one of the layouts of ``layout``, or files that are named outright.

    ``split`` is `train`, `val`, `select`, `report` or any other name with an annotation file. `select` and `val`
    without files of their own are fixed tenths of `train`, which share no image; with ``hold_out_select`` and
    ``hold_out_val`` these are taken out of `train`.
    Every image file is looked at, header and end marker, unless ``look_at_images`` is False (to score what needs no
    pixels); ``exif`` `follow` turns pixels as their EXIF orientation says, and compares sizes after that.
    ``skip_bad`` leaves bad images and annotations out (see ``sound_part``) and says so in ``left_out``.
    Raises DataError that lists the first bad entries and says how many there are.
    """
    data = DataSet.of(data)
    derived = stands_in(data, split) and (split == SELECT or find_split(data, "train") is not None)
    files = require_split(data, "train" if derived else split)
    packed = _of_sound_file(files)
    if packed is not None:
        packed = replace(packed, exif=exif)
        packed = with_images(packed, files, data) if look_at_images else packed
    if packed is None:
        packed = _of_any_file(files, data, skip_bad=skip_bad, look_at_images=look_at_images, exif=exif)
    give_back_memory()
    packed = replace(packed, skip_bad=skip_bad, notes=(*files.notes, *packed.notes))
    if derived:
        return tenth(packed, split)
    return without_tenths(packed, files, data, select=hold_out_select, val=hold_out_val)


def left_out_of(splits: Iterable[PackedSplit]) -> LeftOut:
    """What was left out of all annotation files behind some splits, each file counted once."""
    return summed({split.annotations: split.left_out for split in splits}.values())


def notes_of(splits: Iterable[PackedSplit]) -> tuple[Note, ...]:
    """What was read differently in all files behind some splits, each note once."""
    return distinct(note for split in splits for note in split.notes)


def _of_sound_file(files: SplitFiles) -> PackedSplit | None:
    """The split of an annotation file without problems; None where it has any, or cannot be read."""
    try:
        arrays, mapped_from = _index(files.annotations)
    except OSError:
        return None
    if arrays is None:
        return None
    notes = of_bytes(arrays[NOTES], str(files.annotations))
    return _split(arrays, files, notes=notes, mapped_from=mapped_from)


def _index(annotations: Path) -> tuple[Arrays | None, str | None]:
    """The arrays of an annotation file without problems, what was read differently among them, and the file of the
    cache from which they are mapped, if there is one.
    """
    cached = annotations.stat().st_size >= SMALLEST_CACHED
    if cached:
        file = index_cache.cache_file(index_cache.digest_of_file(annotations))
        arrays = None if file is None else index_cache.load(file, STORED_NAMES)
        if arrays is not None:
            return arrays, str(file)
    raw = annotations.read_bytes()
    file = index_cache.cache_file(hashlib.sha256(raw).hexdigest()) if cached else None
    with paused_collector():
        document = parsed_quickly(raw)
        del raw
        arrays = _arrays_without_problems(document, annotations)
        del document
    if arrays is None or file is None:
        return arrays, None
    index_cache.store(file, arrays)  # where it cannot, another process may have
    mapped = index_cache.load(file, STORED_NAMES)  # shared with every process that maps it too
    return (arrays, None) if mapped is None else (mapped, str(file))


def _arrays_without_problems(document: Any, annotations: Path) -> Arrays | None:
    notes: tuple[Note, ...] = ()
    if not proven_sound(document):
        if not isinstance(document, dict):
            return None
        document, notes, problems = read_closely(document, annotations)
        if problems:
            return None
    return packed_arrays(document) | {NOTES: as_bytes(notes)}


def _of_any_file(files: SplitFiles, data: DataSet, *, skip_bad: bool, look_at_images: bool, exif: Exif) -> PackedSplit:
    """The split of an annotation file that may have faults, or whose images may have; see ``open_split``."""
    document = read_document(files.annotations)
    images = find_images(files, names_in(document), data, exif=exif) if look_at_images else Images(files.images, exif)
    document = images.named(document) if look_at_images else names_aside(document)
    document, left_out, notes = sound_part(
        document, files.annotations, images=images if look_at_images else None, skip_bad=skip_bad
    )
    packed = reading(_split(packed_arrays(document), files, left_out=left_out, notes=notes), images)
    if look_at_images:
        packed = replace(packed, notes=(*packed.notes, *exif_notes(packed)))
    if left_out and not len(packed.person_rows):
        raise DataError(f"{files.annotations}: no labelled person is left; left out as bad: {left_out}.")
    return packed


def _split(arrays: Arrays, files: SplitFiles, **others: Any) -> PackedSplit:
    return PackedSplit.of_arrays(
        arrays, name=files.name, annotations=str(files.annotations), folder=str(files.images), **others
    )
