"""Actions of `posebench data show`: draw one sample, or the keypoints and limbs of a data set."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from bench.cli.actions.data_sets import data_set
from bench.cli.output import log_opened, print_line
from bench.report.sample_figure import draw_sample
from bench.report.skeleton_figure import draw_skeleton
from posemodel.config import AugmentSettings, Exif, InputSettings, first_problem
from posemodel.data.dataset import PoseDataset
from posemodel.data.open_split import PackedSplit, open_split
from posemodel.errors import SettingsError
from posemodel.network import input_geometry

NETWORK = "small"
SIZE = 368
"""Side of the input in pixels if only a stride is given: that of the published networks' training."""

EXAMINED = 2000
"""Maximum number of images that are searched for the most completely labelled object."""


def show_sample(
    directory: Path | None,
    named: Mapping[str, Any],
    index: int,
    out: Path,
    *,
    split: str,
    labelled_only: bool,
    size: int | None,
    network: str | None,
    stride: int | None,
    augment: bool,
    seed: int,
    epoch: int,
    skip_bad: bool,
    exif: Exif,
) -> None:
    """Draw sample ``index`` of a split to ``out``, which must not exist, and print which sample it is."""
    _refuse_unusable(out)
    geometry = _geometry(network, size, stride)
    packed = _opened(directory, named, split, index, labelled_only=labelled_only, skip_bad=skip_bad, exif=exif)
    settings = AugmentSettings(enabled=augment)
    sample = PoseDataset(packed, geometry, augment=settings, seed=seed)[epoch, index]
    assert sample.heatmaps is not None
    assert sample.pafs is not None
    how = f"augmented, seed {seed}, epoch {epoch}" if augment else "letterboxed"
    what = f"{split} {index}: {packed.path(index).name} (image id {packed.image_id(index)}), {how}"
    draw_sample(
        sample.images.permute(1, 2, 0).numpy(),
        sample.people.numpy(),
        sample.mask[0].numpy(),
        sample.heatmaps.float().numpy(),
        sample.pafs.float().numpy(),
        out,
        title=f"{what}; size {geometry.size}, stride {geometry.stride}",
        skeleton=packed.skeleton,
    )
    print_line(what)
    print_line(f"figure: {out}")


def show_skeleton(
    directory: Path | None,
    named: Mapping[str, Any],
    index: int | None,
    out: Path,
    *,
    split: str,
    labelled_only: bool,
    skip_bad: bool,
    exif: Exif,
) -> None:
    """Draw the keypoints and limbs of a data set on its most completely labelled object, and print which that is.

    ``index``: only objects of this image; None: of up to ``EXAMINED`` images, spread evenly over the split.
    """
    _refuse_unusable(out)
    packed = _opened(directory, named, split, index, labelled_only=labelled_only, skip_bad=skip_bad, exif=exif)
    positions = (
        [index] if index is not None else np.unique(np.linspace(0, len(packed) - 1, EXAMINED, dtype=int)).tolist()
    )
    best, number = max(
        ((position, number) for position in positions for number in range(packed.people_count(position))),
        key=lambda each: int((packed.keypoints(each[0])[each[1], :, 2] > 0).sum()),
        default=(-1, -1),
    )
    if number < 0:
        what = f"image {index} of the split" if index is not None else "the split"
        raise SettingsError(f"--skeleton: {what} `{split}` has no labelled object: give another --split or --index.")
    labelled = int((packed.keypoints(best)[number, :, 2] > 0).sum())
    skeleton = packed.skeleton
    what = (
        f"{split} {best}: {packed.path(best).name} (image id {packed.image_id(best)}), an object with {labelled} of "
        f"{skeleton.num_keypoints} keypoints labelled"
    )
    draw_skeleton(packed.read_image(best)[..., ::-1], packed.people(best)[number], skeleton, out, title=what)
    print_line(what)
    print_line(f"figure: {out}")


def _refuse_unusable(out: Path) -> None:
    """Raise SettingsError unless ``out`` is a new PNG file in an existing folder."""
    if out.suffix.lower() != ".png":
        raise SettingsError(f"--out {out}: the figure is a PNG file: end its name with .png.")
    if out.exists():
        raise SettingsError(f"--out {out}: exists; it is not overwritten. Give another name, or remove the file.")
    if not out.parent.is_dir():
        raise SettingsError(f"--out {out}: {out.parent} is not a folder; make it first.")


def _opened(
    directory: Path | None,
    named: Mapping[str, Any],
    split: str,
    index: int | None,
    *,
    labelled_only: bool,
    skip_bad: bool,
    exif: Exif,
) -> PackedSplit:
    """Open a split; SettingsError if it has no image ``index``."""
    packed = open_split(data_set(directory, named, option="DIR"), split, skip_bad=skip_bad, exif=exif)
    log_opened([packed])
    if labelled_only:
        packed = packed.labelled_only()
    if index is not None and not 0 <= index < len(packed):
        objects = "people" if packed.noun == "person" else "objects"
        what = f"images with labelled {objects}" if labelled_only else "images"
        there = f"from 0 to {len(packed) - 1}" if len(packed) else "none"
        raise SettingsError(f"--index {index}: {split} has {len(packed)} {what}; give {there}.")
    return packed


def _geometry(network: str | None, size: int | None, stride: int | None) -> InputSettings:
    if stride is None:
        return input_geometry(NETWORK if network is None else network, size)
    if network is not None:
        raise SettingsError(
            f"--stride {stride}: {network} has its own stride: give only one of --stride and --network."
        )
    try:
        return InputSettings(size=SIZE if size is None else size, stride=stride)
    except ValidationError as error:
        raise SettingsError(f"--size: {first_problem(error)}.") from error
