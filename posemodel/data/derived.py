"""Derived splits: if a data set has no files for `select` or `val`, a fixed tenth of its train images stands in for it.

Networks are trained on `train` and scored during training on `val`; a study chooses settings by their scores on
`select` and reports final scores on `report`, which is `val` unless the data set has a split of that name. A tenth is
chosen by a hash of the image ids alone. The two tenths are disjoint, and both are taken out of `train` where they are
used.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from posemodel.data.layout import DataSet, SplitFiles, find_split, id_hash, in_select, in_val
from posemodel.data.notes import Note
from posemodel.data.packed_split import PackedSplit

SELECT, VAL, REPORT = "select", "val", "report"


def is_derived(data: DataSet, split: str) -> bool:
    """Return whether a tenth of `train` stands in for a split."""
    return split in (SELECT, VAL, REPORT) and find_split(data, split) is None


def derived_split(train: PackedSplit, split: str) -> PackedSplit:
    """Return the tenth of the full `train` that stands in for a split, with a note if it stands in for `val`."""
    if split == SELECT:
        return replace(train.subset(sorted(select_positions(train))), name=SELECT)
    held_out = val_positions(train)
    text = (
        f"there is no split `val`: a fixed tenth of `{train.name}` ({len(held_out)} images, by hash of the id) stands "
        "in for it and is not trained on"
    )
    note = Note(train.annotations, "val-from-train", len(held_out), text)
    return replace(train.subset(sorted(held_out)), name=VAL, notes=(*train.notes, note))


def without_derived_splits(
    train: PackedSplit, files: SplitFiles, data: DataSet, *, select: bool, val: bool
) -> PackedSplit:
    """Return ``train`` without the tenths that stand in for `select` and `val`, each if requested and really derived.

    ``files``: the files that ``train`` was read from. If they are not those of the data set's `train` split, ``train``
    is returned unchanged.
    """
    serves = find_split(data, "train")
    if serves is None or files.annotations != serves.annotations:
        return train
    held_out: set[int] = set()
    if select and is_derived(data, SELECT):
        held_out |= select_positions(train)
    if val and is_derived(data, VAL):
        held_out |= val_positions(train)
    return train.subset(p for p in range(len(train)) if p not in held_out) if held_out else train


def select_positions(train: PackedSplit) -> set[int]:
    """Return the positions in the full `train` that form the derived `select`: a tenth by hash of the image ids.

    If no image of that tenth has a labelled person (in a small data set), the labelled image of smallest hash is added.
    """
    return _positions(train, in_select, frozenset())


def val_positions(train: PackedSplit) -> set[int]:
    """Return the positions of the tenth that stands in for `val`; it shares no image with ``select_positions``."""
    return _positions(train, in_val, frozenset(select_positions(train)))


def _positions(train: PackedSplit, chosen_by: Callable[[int], bool], taken: frozenset[int]) -> set[int]:
    chosen = {p for p, image_id in enumerate(train.image_ids.tolist()) if chosen_by(image_id)} - taken
    labelled = [p for p in np.flatnonzero(np.diff(train.person_start)).tolist() if p not in taken]
    if labelled and chosen.isdisjoint(labelled):
        chosen.add(min(labelled, key=lambda p: id_hash(train.image_id(p))))
    return chosen
