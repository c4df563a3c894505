"""`posebench predict`: find the people in pictures; as COCO results, as pictures with skeletons, or both."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.averaging import Flip, Scales, parse_scales
from bench.cli.data_options import exif_of
from bench.cli.output import log, print_json, progress_bar

if TYPE_CHECKING:
    from bench.cli.predict_files import Asked

STDOUT = "-"
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
    from bench.cli.predict_files import asked_for, check_json_file, drawings
    from posemodel.errors import DataError, SettingsError

    if out is None and draw is None:
        raise SettingsError("predict: say what to make of the people: --json FILE, --draw DIR, or both.")
    for option, value in (("--min-score", min_score), ("--min-parts", min_parts)):
        if value is not None and draw is None:
            raise SettingsError(f"{option}: is about what is drawn; give --draw DIR, or leave it out.")
    if out not in (None, STDOUT):
        check_json_file(Path(out))
    asked = asked_for(pictures, leave_out=draw)
    targets = drawings(asked, draw) if draw is not None else None
    shown = (MIN_SCORE if min_score is None else min_score, MIN_PARTS if min_parts is None else min_parts)
    results, counts = _find(
        asked,
        targets,
        shown,
        checkpoint,
        size=size,
        flip=flip,
        scales=parse_scales(scales),
        batch_size=batch_size,
        device=device,
        exif=None if exif is None else exif_of(exif),
    )
    if not counts["images"]:
        raise DataError(f"none of the {counts['skipped']} pictures could be read.")
    if out == STDOUT:
        print_json(results)
    elif out is not None:
        _write(Path(out), results)
    say = log if out == STDOUT else print
    drawn = f" ({counts['drawn']} drawn)" if draw is not None else ""
    say(
        f"{counts['images']} images, {counts['people']} people{drawn}, {counts['skipped']} skipped, "
        f"{counts['images'] / counts['seconds']:.1f} images/s"
    )


def _find(
    asked: "list[Asked]",
    targets: list[Path] | None,
    shown: tuple[float, int],
    checkpoint: Path,
    **options: Any,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """COCO results, and counts of images, people, skipped ones and people drawn."""
    from bench.cli.predict_files import Drawing
    from posemodel.errors import DataError
    from posemodel.network.in_use import network_in_use
    from posemodel.picture_prediction import iter_predictions
    from posemodel.picture_results import image_ids, results_of

    files = [each.file for each in asked]
    network, geometry = network_in_use(checkpoint, size=options.pop("size"), device=options.pop("device"))
    results: list[dict[str, Any]] = []
    counts: dict[str, Any] = {"images": 0, "people": 0, "skipped": 0, "drawn": 0}
    began = time.perf_counter()
    options["exif"] = options["exif"] or network.trained_exif
    with progress_bar() as bar, Drawing(*shown, exif=options["exif"]) as drawing:
        task = bar.add_task("finding people", total=len(files))
        found_in = iter_predictions(network, files, size=geometry.size, **options)
        for place, (file, image_id, found) in enumerate(zip(files, image_ids(files), found_in, strict=True)):
            bar.advance(task)
            if isinstance(found, DataError):
                counts["skipped"] += 1
                log(f"skipped: {found}")
                continue
            counts["images"] += 1
            counts["people"] += len(found.scores)
            results += results_of(image_id, file, found)
            if targets is not None:
                drawing.put(file, targets[place], found)
    counts["drawn"] = drawing.people
    counts["seconds"] = max(time.perf_counter() - began, 1e-9)
    return results, counts


def _write(path: Path, results: list[dict[str, Any]]) -> None:
    from posemodel.atomic_write import replacing

    with replacing(path) as temporary:
        temporary.write_text(json.dumps(results))
