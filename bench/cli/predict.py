"""`posebench predict`: find the people in pictures; as COCO results, as pictures with skeletons, or both."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.averaging import Flip, Scales, parse_scales
from bench.cli.data_options import exif_of
from posemodel.errors import SettingsError

MIN_SCORE, MIN_PARTS = 0.1, 3
"""Of a person who is drawn: a beginner's network finds dozens of lone parts, and they would hide all else."""


def predict(
    pictures: Annotated[
        list[Path], typer.Argument(metavar="IMAGE|DIR...", help="Pictures, or folders searched with all below them.")
    ],
    checkpoint: Annotated[Path, typer.Option("--checkpoint", metavar="FILE", help="A checkpoint of posebench train.")],
    out: Annotated[
        str | None,
        typer.Option("--json", metavar="FILE", help="Write COCO keypoint results; - writes them to stdout."),
    ] = None,
    draw: Annotated[
        Path | None, typer.Option("--draw", metavar="DIR", help="Write each picture with its people drawn on it.")
    ] = None,
    size: Annotated[int | None, typer.Option("--size", help="Input side (default: the checkpoint's).")] = None,
    flip: Flip = False,
    scales: Scales = None,
    exif: Annotated[
        str | None,
        typer.Option(
            "--exif", help="follow: turn pictures as their EXIF orientation says; ignore (default: as was trained)."
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1)] = 8,
    device: Annotated[str, typer.Option("--device", help="auto, cuda, mps or cpu.")] = "auto",
    min_score: Annotated[
        float | None,
        typer.Option("--min-score", min=0, max=1, help=f"Draw people of at least this score (default: {MIN_SCORE})."),
    ] = None,
    min_parts: Annotated[
        int | None,
        typer.Option("--min-parts", min=1, max=18, help=f"Draw people of at least so many parts ({MIN_PARTS})."),
    ] = None,
) -> None:
    """Find people in pictures of any size; pixels as stored, unless --exif or the network's training turns them.

    A picture that cannot be read is named and skipped; exits 1 if none can be.
    """
    if out is None and draw is None:
        raise SettingsError("predict: say what to make of the people: --json FILE, --draw DIR, or both.")
    for option, value in (("--min-score", min_score), ("--min-parts", min_parts)):
        if value is not None and draw is None:
            raise SettingsError(f"{option}: is about what is drawn; give --draw DIR, or leave it out.")
    from bench.cli.actions.predict import find_people  # PyTorch, OpenCV: seconds that --help must not take

    find_people(
        pictures,
        checkpoint,
        out,
        draw,
        (MIN_SCORE if min_score is None else min_score, MIN_PARTS if min_parts is None else min_parts),
        size=size,
        flip=flip,
        scales=parse_scales(scales),
        batch_size=batch_size,
        device=device,
        exif=None if exif is None else exif_of(exif),
    )
