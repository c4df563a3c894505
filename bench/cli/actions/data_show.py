"""Action of `posebench data show`: make one sample and draw it."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from bench.cli.actions.data_sets import data_set
from bench.cli.output import log_opened, print_line
from bench.report.sample_figure import draw_sample
from posemodel.config import AugmentSettings, Exif, InputSettings, first_problem
from posemodel.data.dataset import PoseDataset
from posemodel.data.open_split import open_split
from posemodel.errors import SettingsError
from posemodel.network import input_geometry

NETWORK = "small"
SIZE = 368
"""Side of the input in pixels if only a stride is given: that of the published networks' training."""


def show_sample(
    directory: Path | None,
    named: Mapping[str, Path | None],
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
    data = data_set(directory, named, option="DIR")
    if out.suffix.lower() != ".png":
        raise SettingsError(f"--out {out}: the figure is a PNG file: end its name with .png.")
    if out.exists():
        raise SettingsError(f"--out {out}: exists; it is not overwritten. Give another name, or remove the file.")
    if not out.parent.is_dir():
        raise SettingsError(f"--out {out}: {out.parent} is not a folder; make it first.")
    geometry = _geometry(network, size, stride)
    packed = open_split(data, split, skip_bad=skip_bad, exif=exif)
    log_opened([packed])
    if labelled_only:
        packed = packed.labelled_only()
    if not 0 <= index < len(packed):
        what = "images with labelled people" if labelled_only else "images"
        there = f"from 0 to {len(packed) - 1}" if len(packed) else "none"
        raise SettingsError(f"--index {index}: {split} has {len(packed)} {what}; give {there}.")
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
    )
    print_line(what)
    print_line(f"figure: {out}")


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
