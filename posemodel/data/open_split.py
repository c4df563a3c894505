"""Open one split of a COCO keypoint data set: from its folder to packed arrays.

An annotation file that is valid and in COCO's form is parsed and checked in bulk; any other is converted entry by entry
(see ``reading``). If no entry has a problem, the arrays of a file that is not small are stored in ``index_cache`` under
the hash of its content, and are only memory-mapped the next time. A file with a problem is read in full each time.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from posemodel.config import Exif
from posemodel.data import index_cache
from posemodel.data.annotations.categories import numbered_names, order_of
from posemodel.data.annotations.document import parse_fast, paused_collector, read_document, release_unused_memory
from posemodel.data.annotations.reading import read_entry_by_entry
from posemodel.data.annotations.skeletons import NO_CHOICE, SkeletonChoice, read_choice, with_chosen_sigmas
from posemodel.data.annotations.soundness import proven_sound
from posemodel.data.derived import SELECT, derived_split, is_derived, without_derived_splits
from posemodel.data.images.inspection import orientation_notes, with_checked_images, with_image_paths
from posemodel.data.images.matching import Images, file_names_in, find_images, names_aside
from posemodel.data.layout import Data, DataSet, SplitFiles, find_split, require_split
from posemodel.data.left_out import NOTHING_LEFT_OUT, LeftOut, sound_part, sum_left_out
from posemodel.data.notes import Note, distinct, from_bytes, to_bytes
from posemodel.data.packed_split import NOTES, STORED_NAMES, Arrays, PackedSplit, people_from_coco, people_to_coco
from posemodel.data.packing import pack_truth, packed_arrays
from posemodel.errors import DataError
from posemodel.skeleton import Skeleton

__all__ = [
    "PackedSplit",
    "collect_notes",
    "count_left_out",
    "open_split",
    "pack_truth",
    "people_from_coco",
    "people_to_coco",
    "read_document",
]

_SHOWN_NAMES = 8
"""Maximum number of keypoint names that an error lists."""
SMALLEST_CACHED = 1 << 20
"""Minimum size in bytes of an annotation file whose arrays are cached; a smaller one is parsed in some 0.05 s."""


def open_split(
    data: Data,
    split: str,
    *,
    skeleton: Skeleton | None = None,
    hold_out_select: bool = False,
    hold_out_val: bool = False,
    skip_bad: bool = False,
    look_at_images: bool = True,
    exif: Exif = "ignore",
) -> PackedSplit:
    """Read one split of a data set: a folder in one of the layouts of ``layout``, or explicitly named files.

    ``split`` is `train`, `val`, `select`, `report` or any other name with an annotation file. `select` and `val`
    without files of their own are fixed tenths of `train` that share no image; ``hold_out_select`` and ``hold_out_val``
    take these out of `train`. ``skeleton`` is one that the split must have: its annotations are brought into that
    order; None: the file's own, with what it leaves open derived. Every image's header and end marker are checked,
    unless ``look_at_images`` is False (for uses that need no pixels); ``exif`` `follow` turns pixels by their EXIF
    orientation, and compares sizes after that. ``skip_bad`` leaves bad images and annotations out (see ``sound_part``)
    and counts them in ``left_out``. Raises DataError with the first bad entries and their number, or if the keypoints
    are not those of ``skeleton``.

    Example:
        split = open_split("coco", "val")
        image, people = split.read_image(0), split.people(0)
    """
    data = DataSet.of(data)
    derived = is_derived(data, split) and (split == SELECT or find_split(data, "train") is not None)
    files = require_split(data, "train" if derived else split)
    choice = read_choice(data)
    packed = _open_sound_file(files, choice)
    if packed is not None:
        packed = replace(packed, exif=exif)
        packed = with_checked_images(packed, files, data) if look_at_images else packed
    if packed is None:
        packed = _open_file_with_problems(
            files, data, choice, skip_bad=skip_bad, look_at_images=look_at_images, exif=exif
        )
    release_unused_memory()
    if skeleton is not None:
        packed = with_skeleton(packed, skeleton, choice)
    packed = replace(packed, skip_bad=skip_bad, notes=(*files.notes, *packed.notes))
    if derived:
        return derived_split(packed, split)
    return without_derived_splits(packed, files, data, select=hold_out_select, val=hold_out_val)


def count_left_out(splits: Iterable[PackedSplit]) -> LeftOut:
    """Sum what was left out of the annotation files behind some splits, each file counted once."""
    return sum_left_out({split.annotations: split.left_out for split in splits}.values())


def collect_notes(splits: Iterable[PackedSplit]) -> tuple[Note, ...]:
    """Return the notes on the files behind some splits, each once."""
    return distinct(note for split in splits for note in split.notes)


def with_skeleton(packed: PackedSplit, skeleton: Skeleton, choice: SkeletonChoice = NO_CHOICE) -> PackedSplit:
    """Return the split with this skeleton and the OKS sigmas that the user chose, its annotations in that order.

    Keypoints without names are taken in the skeleton's order. Raises DataError if the annotations have other keypoints,
    or have them in another order and the sigmas are without names.
    """
    order = keypoint_order(packed.annotations, packed.skeleton.keypoints, skeleton.keypoints)
    if choice.sigmas is not None and order != tuple(range(len(order))):
        raise DataError(
            f"{choice.sigmas_file}: sigmas: are without names, but {packed.annotations} lists its keypoints in another "
            "order than `train` or the network: give a table of names and numbers."
        )
    return packed.in_order(with_chosen_sigmas(skeleton, choice), order)


def keypoint_order(annotations: str | Path, own: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[int, ...]:
    """Return the index of each of the ``wanted`` keypoints among a file's ``own``; those without names are in order.

    Raises DataError if they are others.
    """
    order = tuple(range(len(own))) if own == numbered_names(len(wanted)) else order_of(wanted, own)
    if order is None:
        raise DataError(
            f"{annotations}: its keypoints are not those needed: it has {_shown_names(own)}; needed are "
            f"{_shown_names(wanted)}. Give annotations with these names, in any order, or choose another category with "
            "--category."
        )
    return order


def _shown_names(names: tuple[str, ...]) -> str:
    more = ", ..." if len(names) > _SHOWN_NAMES else ""
    return f"{len(names)} ({', '.join(names[:_SHOWN_NAMES])}{more})"


def _open_sound_file(files: SplitFiles, choice: SkeletonChoice) -> PackedSplit | None:
    """Open the split of an annotation file without problems; None if it has any, or cannot be read."""
    try:
        arrays, mapped_from = _load_or_build_arrays(files.annotations, choice)
    except OSError:
        return None
    if arrays is None:
        return None
    notes = from_bytes(arrays[NOTES], str(files.annotations))
    return _make_split(arrays, files, notes=notes, mapped_from=mapped_from)


def _load_or_build_arrays(annotations: Path, choice: SkeletonChoice) -> tuple[Arrays | None, str | None]:
    """Return the arrays of an annotation file, with its notes, and the cache file that they are mapped from.

    The arrays are None if the file has a problem; the cache file is None if they are not mapped from one.
    """
    use_cache = annotations.stat().st_size >= SMALLEST_CACHED
    if use_cache:
        file = index_cache.cache_file(_cache_key(index_cache.digest_of_file(annotations), choice))
        arrays = None if file is None else index_cache.load(file, STORED_NAMES)
        if arrays is not None:
            return arrays, str(file)
    raw = annotations.read_bytes()
    file = index_cache.cache_file(_cache_key(hashlib.sha256(raw).hexdigest(), choice)) if use_cache else None
    with paused_collector():
        document = parse_fast(raw)
        del raw
        arrays = _arrays_without_problems(document, annotations, choice)
        del document
    if arrays is None or file is None:
        return arrays, None
    index_cache.store(file, arrays)  # if it fails, another process may have stored them
    mapped = index_cache.load(file, STORED_NAMES)  # memory shared with every process that maps the file
    return (arrays, None) if mapped is None else (mapped, str(file))


def _cache_key(digest: str, choice: SkeletonChoice) -> str:
    """Return a digest of an annotation file's content and of all that the user chose."""
    return hashlib.sha256(f"{digest} {choice.digest}".encode()).hexdigest() if choice.digest else digest


def _arrays_without_problems(document: Any, annotations: Path, choice: SkeletonChoice) -> Arrays | None:
    notes: tuple[Note, ...] = ()
    if not proven_sound(document, choice=choice):
        if not isinstance(document, dict):
            return None
        document, notes, problems = read_entry_by_entry(document, annotations, choice=choice)
        if problems:
            return None
    return packed_arrays(document, choice) | {NOTES: to_bytes(notes)}


def _open_file_with_problems(
    files: SplitFiles, data: DataSet, choice: SkeletonChoice, *, skip_bad: bool, look_at_images: bool, exif: Exif
) -> PackedSplit:
    """Open the split of an annotation file that may have problems, in its entries or its images; see ``open_split``."""
    document = read_document(files.annotations)
    images = (
        find_images(files, file_names_in(document), data, exif=exif) if look_at_images else Images(files.images, exif)
    )
    document = images.with_found_names(document) if look_at_images else names_aside(document)
    document, left_out, notes = sound_part(
        document, files.annotations, images=images if look_at_images else None, skip_bad=skip_bad, choice=choice
    )
    arrays = packed_arrays(document, choice)
    packed = with_image_paths(_make_split(arrays, files, left_out=left_out, notes=notes), images)
    if look_at_images:
        packed = replace(packed, notes=(*packed.notes, *orientation_notes(packed)))
    if left_out and not len(packed.person_rows):
        raise DataError(f"{files.annotations}: no labelled {packed.noun} is left; left out as bad: {left_out}.")
    return packed


def _make_split(
    arrays: Arrays,
    files: SplitFiles,
    *,
    notes: tuple[Note, ...],
    left_out: LeftOut = NOTHING_LEFT_OUT,
    mapped_from: str | None = None,
) -> PackedSplit:
    return PackedSplit.from_arrays(
        arrays,
        name=files.name,
        annotations=str(files.annotations),
        folder=str(files.images),
        left_out=left_out,
        notes=notes,
        mapped_from=mapped_from,
    )
