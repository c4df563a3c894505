"""COCO keypoint annotations: from a data set's folder to the packed arrays of one split.

A sound annotation file is parsed and checked in bulk, and what it was packed into is kept in ``index_cache`` under the
hash of its content: the next time the arrays are only mapped. What has any fault goes the long way, from entry to
entry, each time.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from posemodel.data import index_cache
from posemodel.data.document import give_back_memory, parsed_quickly, paused_collector, read_document
from posemodel.data.layout import SplitFiles, find_split, id_hash, in_select, require_split
from posemodel.data.left_out import LeftOut, sound_part, summed
from posemodel.data.packed import ARRAY_NAMES, Arrays, PackedSplit, people_from_coco, people_to_coco
from posemodel.data.packing import packed_arrays, truth_of
from posemodel.data.soundness import proven_sound
from posemodel.errors import DataError

__all__ = [
    "PackedSplit",
    "left_out_of",
    "open_split",
    "people_from_coco",
    "people_to_coco",
    "read_document",
    "truth_of",
]

SMALLEST_CACHED = 1 << 20
"""Bytes of the smallest annotation file whose index is kept: a smaller one is parsed in some 0.05 s."""


def open_split(
    root: Path, split: str, *, hold_out_select: bool = False, skip_bad: bool = False, look_at_images: bool = True
) -> PackedSplit:
    """Read one split of a data set in COCO's standard layout.

    ``split`` is `train`, `val`, `select`, `report` or any other name with an annotation file. `select` without a file
    of its own is a fixed tenth of `train`; with ``hold_out_select`` that tenth is taken out of `train`.
    Every image file is looked at, header and end marker, unless ``look_at_images`` is False (to score what needs no
    pixels). ``skip_bad`` leaves bad images and annotations out (see ``sound_part``) and says so in ``left_out``.
    Raises DataError that lists the first bad entries and says how many there are.
    """
    files = find_split(root, split)
    derived = files is None and split == "select"
    if derived:
        files = require_split(root, "train")
    elif files is None:
        files = require_split(root, split)
    packed = _of_sound_file(files)
    if packed is None or (look_at_images and packed.has_bad_file()):
        packed = _of_any_file(files, skip_bad=skip_bad, look_at_images=look_at_images)
    give_back_memory()
    if derived:
        return replace(packed.subset(sorted(select_positions(packed))), name="select")
    train_files = find_split(root, "train")
    is_train = train_files is not None and files.annotations == train_files.annotations
    if is_train and hold_out_select and find_split(root, "select") is None:
        held_out = select_positions(packed)
        packed = packed.subset(p for p in range(len(packed)) if p not in held_out)
    return packed


def left_out_of(splits: Iterable[PackedSplit]) -> LeftOut:
    """What was left out of all annotation files behind some splits, each file counted once."""
    return summed({split.annotations: split.left_out for split in splits}.values())


def select_positions(train: PackedSplit) -> set[int]:
    """Positions of the derived `select` split in all of `train`: the images whose id's hash falls into a tenth.

    In a set so small that none of these has a labelled person, the labelled image of smallest hash joins them.
    """
    chosen = {position for position, image_id in enumerate(train.image_ids.tolist()) if in_select(image_id)}
    labelled = np.flatnonzero(np.diff(train.person_start)).tolist()
    if labelled and chosen.isdisjoint(labelled):
        chosen.add(min(labelled, key=lambda p: id_hash(train.image_id(p))))
    return chosen


def _of_sound_file(files: SplitFiles) -> PackedSplit | None:
    """The split of an annotation file without faults; None where it has any, or cannot be read."""
    try:
        arrays, mapped_from = _index(files.annotations)
    except OSError:
        return None
    return None if arrays is None else _split(arrays, files, mapped_from=mapped_from)


def _index(annotations: Path) -> tuple[Arrays | None, str | None]:
    """The arrays of a sound annotation file, and the file of the cache from which they are mapped, if there is one."""
    cached = annotations.stat().st_size >= SMALLEST_CACHED
    if cached:
        file = index_cache.cache_file(index_cache.digest_of_file(annotations))
        arrays = None if file is None else index_cache.load(file, ARRAY_NAMES)
        if arrays is not None:
            return arrays, str(file)
    raw = annotations.read_bytes()
    file = index_cache.cache_file(hashlib.sha256(raw).hexdigest()) if cached else None
    with paused_collector():
        document = parsed_quickly(raw)
        del raw
        arrays = packed_arrays(document) if proven_sound(document) else None
        del document
    if arrays is None or file is None:
        return arrays, None
    index_cache.store(file, arrays)  # where it cannot, another process may have
    mapped = index_cache.load(file, ARRAY_NAMES)  # shared with every process that maps it too
    return (arrays, None) if mapped is None else (mapped, str(file))


def _of_any_file(files: SplitFiles, *, skip_bad: bool, look_at_images: bool) -> PackedSplit:
    """The split of an annotation file that may have faults, or whose images may have; see ``open_split``."""
    folder = files.images if look_at_images else None
    document = read_document(files.annotations)
    document, left_out = sound_part(document, files.annotations, folder=folder, skip_bad=skip_bad)
    packed = _split(packed_arrays(document), files, left_out=left_out)
    if left_out and not len(packed.person_rows):
        raise DataError(f"{files.annotations}: no labelled person is left; left out as bad: {left_out}.")
    return packed


def _split(arrays: Arrays, files: SplitFiles, **others: Any) -> PackedSplit:
    return PackedSplit.of_arrays(
        arrays, name=files.name, annotations=str(files.annotations), folder=str(files.images), **others
    )
