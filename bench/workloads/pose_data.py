"""Find or synthesise the data set of a study that trains a pose network, check that it has people, fingerprint it."""

import hashlib
import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.measure.cores import usable_cores
from bench.settings.data_files import absolute_paths, named_files
from bench.settings.layers import Setting, errors_about
from bench.storage.locks import path_lock
from bench.workloads.protocol import AWAITED, REPORT, SELECT, FoundData, MakeData, OnOpen, ProbeData
from posemodel.config import Exif
from posemodel.data.derived import is_derived
from posemodel.data.labelled_counts import ROLES
from posemodel.data.layout import DataSet, fingerprint
from posemodel.data.notes import digest_entries
from posemodel.data.open_split import PackedSplit, collect_notes, open_split
from posemodel.errors import DataError
from posemodel.synthetic import GENERATOR_VERSION, generate, read_marker, split_sizes

if TYPE_CHECKING:
    from bench.workloads.pose import PoseSettings

DATA_FOLDER = Path("data")
DEFAULT_NAME = re.compile(r"synthetic-(\d+)-seed(\d+)")
"""Name of a default synthetic set's folder: its number of images, and its seed."""
SYNTHETIC_SEED = 0
"""Seed of the default synthetic data set."""
PROBE_IMAGES = 60
"""Synthetic images made for measuring costs if the study's own are not made yet."""


def find_data(settings: Mapping[str, Setting], make_data: MakeData | None, on_open: OnOpen | None = None) -> FoundData:
    """Find the data set of `data`, or the synthetic one of `synthetic_images`; open and fingerprint it.

    ``make_data`` makes an incomplete synthetic set; None (a dry run): it is made later. ``on_open`` gets the opened
    splits. Raises DataError if a split has no labelled object, or other keypoints than `train`.
    """
    located = find_folder(settings, make_data)
    if located.awaited_images is not None:
        return located
    folder, files = located.folder, named_files(settings)
    skip_bad = "skip_bad" in settings and settings["skip_bad"].value
    exif: Exif = settings["exif"].value if "exif" in settings else "ignore"
    data = DataSet(folder, files)
    with errors_about(settings, "data", *absolute_paths(settings)):
        splits = _open_splits(data, skip_bad=skip_bad, exif=exif)
    if on_open is not None:
        on_open(splits)
    labelled = {role: len(split.labelled_only()) for role, split in zip(ROLES, splits, strict=True)}
    return FoundData(folder, data_digest(data, splits), None, located.data_s, labelled)


def find_folder(settings: Mapping[str, Setting], make_data: MakeData | None) -> FoundData:
    """Find the folder of `data`, or the synthetic one of `synthetic_images`, without opening it.

    ``make_data`` makes an incomplete synthetic set; None: it is made later. The digest of the result is `AWAITED`.
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
        elif not _is_complete(folder):
            awaited = images
    return FoundData(Path(folder).resolve(), AWAITED, awaited, data_s)


def made_again(folder: Path, make_data: MakeData) -> Path | None:
    """Make a default synthetic set, known by its folder's name, in the working folder; None if it is none.

    The same number of images and the same seed give the same bytes on every machine.
    """
    parts = DEFAULT_NAME.fullmatch(folder.name)
    if parts is None or folder.parent.name != DATA_FOLDER.name:
        return None
    make_data(DATA_FOLDER / folder.name, int(parts[1]), int(parts[2]))
    return DATA_FOLDER / folder.name


def make_in(place: Path, folder: Path) -> Path | None:
    """Make a default synthetic set, known by its folder's name, in a folder of ``place``, where it may be already; None
    if it is none.

    Processes that do this at once on one machine take turns.
    """
    parts = DEFAULT_NAME.fullmatch(folder.name)
    if parts is None or folder.parent.name != DATA_FOLDER.name:
        return None
    made = place / DATA_FOLDER / folder.name
    made.parent.mkdir(parents=True, exist_ok=True)
    with path_lock(made):
        try:
            generate(made, images=int(parts[1]), seed=int(parts[2]))
        except (FileExistsError, ValueError, RuntimeError) as error:
            raise DataError(str(error)) from error
    return made


def _is_complete(folder: Path) -> bool:
    """Return whether the default synthetic set is complete; DataError if another version of the generator made it."""
    marker = read_marker(folder)
    if marker is not None and marker.get("version") != GENERATOR_VERSION:
        raise DataError(
            f"{folder}: holds a synthetic set of generator version {marker.get('version')}, but this is version "
            f"{GENERATOR_VERSION}. Remove the folder, or use it with --data."
        )
    return marker is not None and marker.get("complete") is True


def _open_splits(data: DataSet, *, skip_bad: bool, exif: Exif) -> list[PackedSplit]:
    """Open the splits of a study, all with the skeleton of the first.

    Raises DataError if one has no labelled object, since it would have no AP, or other keypoints.
    """
    splits: list[PackedSplit] = []
    for split in ROLES:
        packed = open_split(
            data,
            split,
            skeleton=splits[0].skeleton if splits else None,
            hold_out_select=True,
            hold_out_val=is_derived(data, REPORT),
            skip_bad=skip_bad,
            exif=exif,
        )
        if not len(packed.labelled_only()):
            raise DataError(
                f"{packed.annotations}: the split `{split}` ({len(packed)} images) has no labelled {packed.noun}; a "
                "study needs some in each of train, select and report."
            )
        splits.append(packed)
    return splits


def data_digest(data: DataSet, splits: Sequence[PackedSplit]) -> str:
    """Return the fingerprint of the annotations, and of what was left out or read differently than it is written, if
    anything was.

    Repairing a bad file changes what is trained on, and with it the study; so does a version that reads an entry
    differently.
    """
    digest = fingerprint(data)
    differences = "".join(split.digest() for split in splits) if any(split.left_out for split in splits) else ""
    differences += " ".join(digest_entries(collect_notes(splits)))
    if not differences:
        return digest
    return hashlib.sha256((digest + differences).encode()).hexdigest()[: len(digest)]


@contextmanager
def probe_data(own: "PoseSettings", data: Path, awaited_images: int | None, batch_size: int) -> Iterator[ProbeData]:
    """Provide the study's images for measuring costs; if they are not made yet, a few in a temporary folder."""
    if awaited_images is None:
        data_set = DataSet(data, own.own_files())
        opened = {
            split: open_split(data_set, split, skip_bad=own.skip_bad, exif=own.exif) for split in (SELECT, REPORT)
        }
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
