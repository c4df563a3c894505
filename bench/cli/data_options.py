"""The options that name a data set beside its folder, and how its pictures are read; the same for every command."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.home import at_home

if TYPE_CHECKING:
    from posemodel.config import Exif

TrainAnnotations = Annotated[
    Path | None,
    typer.Option("--train-annotations", metavar="FILE", help="The split train, in place of the data folder's."),
]
TrainImages = Annotated[
    Path | None, typer.Option("--train-images", metavar="DIR", help="The images of --train-annotations.")
]
ValAnnotations = Annotated[
    Path | None,
    typer.Option("--val-annotations", metavar="FILE", help="The split val, in place of the data folder's."),
]
ValImages = Annotated[Path | None, typer.Option("--val-images", metavar="DIR", help="The images of --val-annotations.")]
ExifOption = Annotated[
    str | None,
    typer.Option(
        "--exif",
        help="follow: turn pictures as their EXIF orientation says; ignore: pixels as stored (the default).",
    ),
]


def exif_of(text: str | None) -> "Exif":
    """The value of `--exif`; BadParameter where it is neither."""
    if text not in (None, "ignore", "follow"):
        raise typer.BadParameter(f"{text}: give follow or ignore", param_hint="--exif")
    return text or "ignore"  # type: ignore[return-value]


def split_val_images(texts: list[str] | None) -> dict[str, Any]:
    """`--val-images` of `posebench train`: a number is how many are scored, anything else the folder that holds them.

    BadParameter where either is given twice.
    """
    values: dict[str, Any] = {}
    for text in texts or ():
        name, value = ("count", int(text)) if text.lstrip("+-").isdigit() else ("folder", at_home(Path(text)))
        if name in values:
            raise typer.BadParameter(f"two of a kind: {values[name]} and {value}", param_hint="--val-images")
        if name == "count" and int(text) < 1:
            raise typer.BadParameter(f"{text} is not in the range x>=1.", param_hint="--val-images")
        values[name] = value
    return values
