"""The data set of a study that trains a pose network: found, or synthesised; fingerprinted; people required."""

import hashlib
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.measure.cores import usable_cores
from bench.settings.data_files import absolute_paths, named_files
from bench.settings.layers import Setting, about
from bench.workloads.protocol import AWAITED, REPORT, SELECT, FoundData, MakeData, OnOpen, ProbeData
from posemodel.config import Exif
from posemodel.data.coco import PackedSplit, notes_of, open_split
from posemodel.data.derived import stands_in
from posemodel.data.evidence import ROLES
from posemodel.data.layout import DataSet, fingerprint
from posemodel.data.notes import acting
from posemodel.errors import DataError
from posemodel.synthetic import GENERATOR_VERSION, generate, marker_of, split_sizes

if TYPE_CHECKING:
    from bench.workloads.pose import PoseSettings

DATA_FOLDER = Path("data")
SYNTHETIC_SEED = 0
PROBE_IMAGES = 60
"""Synthetic images that are made to measure on, where the study's own are still to be made."""


def find_data(settings: Mapping[str, Setting], make_data: MakeData | None, on_open: OnOpen | None = None) -> FoundData:
    """The data set that `data` names, or the synthetic one of `synthetic_images`, made where it is not complete.

    ``make_data`` makes it; None (a dry run) leaves it to be made later. ``on_open`` gets the opened splits.
    DataError if a split has no labelled person.
    """
    placed = find_folder(settings, make_data)
    if placed.awaited_images is not None:
        return placed
    folder, files = placed.folder, named_files(settings)
    skip_bad = "skip_bad" in settings and settings["skip_bad"].value
    exif: Exif = settings["exif"].value if "exif" in settings else "ignore"
    data = DataSet(folder, files)
    with about(settings, "data", *absolute_paths(settings)):
        splits = _open_splits(data, skip_bad=skip_bad, exif=exif)
    if on_open is not None:
        on_open(splits)
    labelled = {role: len(split.labelled_only()) for role, split in zip(ROLES, splits, strict=True)}
    return FoundData(folder, data_digest(data, splits), None, placed.data_s, labelled)


def find_folder(settings: Mapping[str, Setting], make_data: MakeData | None) -> FoundData:
    """The folder that `data` names, or the synthetic one of `synthetic_images`, made where it is not complete.

    ``make_data`` None: it is left to be made later. The digest is yet to be made of what is opened there.
    """
    folder, data_s = settings["data"].value or named_files(settings).first_annotations, 0.0
    awaited: int | None = None
    if folder is None:
        images = settings["synthetic_images"].value
        folder = DATA_FOLDER / f"synthetic-{images}-seed{SYNTHETIC_SEED}"
        if make_data is not None:
            began = time.perf_counter()
            make_data(folder, images, SYNTHETIC_SEED)
            data_s = time.perf_counter() - began
        elif not _stands(folder):
            awaited = images
    return FoundData(Path(folder).resolve(), AWAITED, awaited, data_s)


def _stands(folder: Path) -> bool:
    """Whether the default synthetic set is complete; DataError if it is of another generator."""
    marker = marker_of(folder)
    if marker is not None and marker.get("version") != GENERATOR_VERSION:
        raise DataError(
            f"{folder}: holds a synthetic set of generator version {marker.get('version')}, this is version "
            f"{GENERATOR_VERSION}: remove the folder yourself, or give it with --data."
        )
    return marker is not None and marker.get("complete") is True


def _open_splits(data: DataSet, *, skip_bad: bool, exif: Exif) -> list[PackedSplit]:
    """A study chooses on `select` and reports on `report`: without labelled people there is no AP to go by."""
    splits = []
    for split in ROLES:
        packed = open_split(
            data,
            split,
            hold_out_select=True,
            hold_out_val=stands_in(data, REPORT),
            skip_bad=skip_bad,
            exif=exif,
        )
        if not len(packed.labelled_only()):
            raise DataError(
                f"{packed.annotations}: the split `{split}` ({len(packed)} images) has no labelled person; a study "
                "needs some in each of train, select and report."
            )
        splits.append(packed)
    return splits


def data_digest(data: DataSet, splits: Sequence[PackedSplit]) -> str:
    """The annotations' fingerprint; where something was left out or read differently, of what is left and read as well.

    A file that is mended between two calls changes what is trained on, and with it the study; so does a version that
    reads an entry otherwise than the one before.
    """
    digest = fingerprint(data)
    kept = "".join(split.digest() for split in splits) if any(split.left_out for split in splits) else ""
    kept += " ".join(acting(notes_of(splits)))
    if not kept:
        return digest
    return hashlib.sha256((digest + kept).encode()).hexdigest()[: len(digest)]


@contextmanager
def probe_data(own: "PoseSettings", data: Path, awaited_images: int | None, batch_size: int) -> Iterator[ProbeData]:
    """The study's own people; where they are awaited, a few synthetic ones in a temporary folder."""
    if awaited_images is None:
        whole = DataSet(data, own.own_files())
        opened = {split: open_split(whole, split, skip_bad=own.skip_bad, exif=own.exif) for split in (SELECT, REPORT)}
        yield ProbeData(data, {name: len(split) for name, split in opened.items()})
        return
    sizes = split_sizes(awaited_images)
    with tempfile.TemporaryDirectory(prefix="posebench-estimate-") as folder:
        count = min(max(PROBE_IMAGES, 2 * batch_size), awaited_images)
        began = time.perf_counter()
        generate(Path(folder, "people"), images=count, seed=0, num_workers=0)
        image_s = (time.perf_counter() - began) / count
        yield ProbeData(
            Path(folder, "people"),
            {SELECT: sizes["select"], REPORT: sizes["val"]},
            data_s=awaited_images * image_s / usable_cores(),
            trained=sizes["train"],
        )
