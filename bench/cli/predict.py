"""`posebench predict`: find people in pictures; writes COCO results, pictures with skeletons, or both."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.averaging import Flip, Scales, parse_scales
from bench.cli.data_options import exif_of
from posemodel.errors import SettingsError

MIN_SCORE, MIN_PARTS = 0.1, 3
"""Default thresholds of people to draw: a barely trained network finds dozens of lone parts that hide the rest."""


def predict(
    pictures: Annotated[
        list[Path], typer.Argument(metavar="IMAGE|DIR...", help="Pictures, or folders to search with their subfolders.")
    ],
    checkpoint: Annotated[Path, typer.Option("--checkpoint", metavar="FILE", help="Checkpoint of `posebench train`.")],
    out: Annotated[
        str | None,
        typer.Option("--json", metavar="FILE", help="File for COCO keypoint results; - prints them on stdout."),
    ] = None,
    draw: Annotated[
        Path | None,
        typer.Option("--draw", metavar="DIR", help="Folder for copies of the pictures with skeletons drawn on them."),
    ] = None,
    size: Annotated[
        int | None, typer.Option("--size", help="Side of the network's input in pixels (default: the checkpoint's).")
    ] = None,
    flip: Flip = False,
    scales: Scales = None,
    exif: Annotated[
        str | None,
        typer.Option(
            "--exif",
            help="follow: rotate pictures by their EXIF orientation; ignore: use pixels as stored (default: as in "
            "training).",
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Pictures per batch.")] = 8,
    device: Annotated[
        str, typer.Option("--device", help="Device: auto (a GPU if there is one), cuda, mps or cpu.")
    ] = "auto",
    min_score: Annotated[
        float | None,
        typer.Option("--min-score", min=0, max=1, help=f"Lowest score of a person to draw (default: {MIN_SCORE})."),
    ] = None,
    min_parts: Annotated[
        int | None,
        typer.Option(
            "--min-parts",
            min=1,
            help=f"Fewest body parts of a person to draw (default: {MIN_PARTS}, or all of a skeleton with fewer).",
        ),
    ] = None,
) -> None:
    """Find people in pictures; write COCO results or drawings.

    Pictures may have any size. Unreadable pictures are named and skipped; exits 1 if none can be read.
    """
    if out is None and draw is None:
        raise SettingsError("predict: has no output: give --json FILE, --draw DIR, or both.")
    for option, value in (("--min-score", min_score), ("--min-parts", min_parts)):
        if value is not None and draw is None:
            raise SettingsError(f"{option}: only affects drawings: give --draw DIR, or leave {option} out.")
    from bench.cli.actions.predict import find_people  # PyTorch, OpenCV: seconds that --help must not take

    find_people(
        pictures,
        checkpoint,
        out,
        draw,
        MIN_SCORE if min_score is None else min_score,
        min_parts,
        size=size,
        flip=flip,
        scales=parse_scales(scales),
        batch_size=batch_size,
        device=device,
        exif=None if exif is None else exif_of(exif),
    )
