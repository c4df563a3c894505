"""Options shared by all commands that read a data set: its files, category, keypoints and EXIF orientation."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.home_paths import expand_home

if TYPE_CHECKING:
    from posemodel.config import Exif

TrainAnnotations = Annotated[
    Path | None,
    typer.Option(
        "--train-annotations", metavar="FILE", help="COCO annotations of the split train, instead of the folder's."
    ),
]
TrainImages = Annotated[
    Path | None, typer.Option("--train-images", metavar="DIR", help="Folder of the images in --train-annotations.")
]
ValAnnotations = Annotated[
    Path | None,
    typer.Option(
        "--val-annotations", metavar="FILE", help="COCO annotations of the split val, instead of the folder's."
    ),
]
ValImages = Annotated[
    Path | None, typer.Option("--val-images", metavar="DIR", help="Folder of the images in --val-annotations.")
]
Category = Annotated[
    str | None,
    typer.Option("--category", metavar="NAME", help="Category to use, if several with other keypoints are annotated."),
]
SkeletonFile = Annotated[
    Path | None,
    typer.Option(
        "--skeleton-file",
        metavar="FILE",
        help="TOML file with limbs, mirror pairs, sigmas or names of the keypoints (default: DIR's skeleton.toml).",
    ),
]
Sigmas = Annotated[
    Path | None,
    typer.Option("--sigmas", metavar="FILE", help="OKS sigmas of the keypoints: JSON, TOML or a number a line."),
]
KEYPOINT_OPTIONS = ("category", "skeleton_file", "sigmas")
DATA_OPTIONS = ("train_annotations", "train_images", "val_annotations", "val_images", *KEYPOINT_OPTIONS)
"""Options that are fields of `posemodel.config.DataFiles`, which is not imported here, so that `--help` is fast."""
ExifOption = Annotated[
    str | None,
    typer.Option(
        "--exif",
        help="follow: rotate pictures by their EXIF orientation; ignore (default): use pixels as stored.",
    ),
]


def data_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a command's options that are fields of ``DataFiles``."""
    return {name: options[name] for name in DATA_OPTIONS}


def exif_of(text: str | None) -> "Exif":
    """Return the value of `--exif`, or `ignore` if it was not given; BadParameter for any other word."""
    if text not in (None, "ignore", "follow"):
        raise typer.BadParameter(f"{text}: give follow or ignore", param_hint="--exif")
    return text or "ignore"  # type: ignore[return-value]


def split_val_images(texts: list[str] | None) -> dict[str, Any]:
    """Split `--val-images` of `posebench train` into `count` (a number: images to score) and `folder` (anything else).

    BadParameter if either is given twice.
    """
    values: dict[str, Any] = {}
    for text in texts or ():
        name, value = ("count", int(text)) if text.lstrip("+-").isdigit() else ("folder", expand_home(Path(text)))
        if name in values:
            raise typer.BadParameter(
                f"the {name} is given twice: {values[name]} and {value}", param_hint="--val-images"
            )
        if name == "count" and int(text) < 1:
            raise typer.BadParameter(f"{text} is not in the range x>=1.", param_hint="--val-images")
        values[name] = value
    return values
