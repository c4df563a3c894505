"""What `posebench predict` does."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.cli.actions.predict_files import Asked, Drawing, asked_for, check_json_file, drawings
from bench.cli.output import log, print_json, print_line, progress_bar
from posemodel.atomic_write import replacing
from posemodel.errors import DataError
from posemodel.inference.prediction import iter_predictions
from posemodel.inference.results import image_ids, results_of
from posemodel.network.in_use import network_in_use

STDOUT = "-"


def find_people(
    pictures: Sequence[Path],
    checkpoint: Path,
    out: str | None,
    draw: Path | None,
    shown: tuple[float, int],
    **options: Any,
) -> None:
    """Find people in pictures; ``shown``: the least score and number of parts of those who are drawn.

    DataError where no picture can be read.
    """
    if out not in (None, STDOUT):
        check_json_file(Path(out))
    asked = asked_for(pictures, leave_out=draw)
    targets = drawings(asked, draw) if draw is not None else None
    results, counts = _find(asked, targets, shown, checkpoint, **options)
    if not counts["images"]:
        raise DataError(f"none of the {counts['skipped']} pictures could be read.")
    if out == STDOUT:
        print_json(results)
    elif out is not None:
        _write(Path(out), results)
    say = log if out == STDOUT else print_line
    drawn = f" ({counts['drawn']} drawn)" if draw is not None else ""
    say(
        f"{counts['images']} images, {counts['people']} people{drawn}, {counts['skipped']} skipped, "
        f"{counts['images'] / counts['seconds']:.1f} images/s"
    )


def _find(
    asked: list[Asked],
    targets: list[Path] | None,
    shown: tuple[float, int],
    checkpoint: Path,
    **options: Any,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """COCO results, and counts of images, people, skipped ones and people drawn."""
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
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(results))
