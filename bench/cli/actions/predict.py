"""Action of `posebench predict`: find people in pictures, write and draw them."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.cli.actions.predict_files import Drawing, Picture, check_json_file, drawings, requested_pictures
from bench.cli.output import log, print_json, print_line, progress_bar
from posemodel.atomic_write import atomic_path
from posemodel.errors import DataError
from posemodel.inference.prediction import iter_predictions
from posemodel.inference.results import image_ids, results_of
from posemodel.network.prepare import prepare_network

STDOUT = "-"


def find_people(
    pictures: Sequence[Path],
    checkpoint: Path,
    out: str | None,
    draw: Path | None,
    shown: tuple[float, int],
    **options: Any,
) -> None:
    """Find people in pictures, write COCO results to ``out`` and drawings to the folder ``draw``.

    ``shown``: minimum score and minimum number of parts of the people who are drawn. DataError if no picture can be
    read.
    """
    if out not in (None, STDOUT):
        check_json_file(Path(out))
    requested = requested_pictures(pictures, leave_out=draw)
    drawing_files = drawings(requested, draw) if draw is not None else None
    results, counts = _predict(requested, drawing_files, shown, checkpoint, **options)
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


def _predict(
    requested: list[Picture],
    drawing_files: list[Path] | None,
    shown: tuple[float, int],
    checkpoint: Path,
    **options: Any,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return COCO results, and counts of images, people, skipped images and drawn people, with the seconds taken."""
    files = [each.file for each in requested]
    network, geometry = prepare_network(checkpoint, size=options.pop("size"), device=options.pop("device"))
    results: list[dict[str, Any]] = []
    counts: dict[str, Any] = {"images": 0, "people": 0, "skipped": 0, "drawn": 0}
    began = time.perf_counter()
    options["exif"] = options["exif"] or network.trained_exif
    with progress_bar() as bar, Drawing(*shown, exif=options["exif"]) as drawing:
        task = bar.add_task("finding people", total=len(files))
        predictions = iter_predictions(network, files, size=geometry.size, **options)
        for index, (file, image_id, prediction) in enumerate(zip(files, image_ids(files), predictions, strict=True)):
            bar.advance(task)
            if isinstance(prediction, DataError):
                counts["skipped"] += 1
                log(f"skipped: {prediction}")
                continue
            counts["images"] += 1
            counts["people"] += len(prediction.scores)
            results += results_of(image_id, file, prediction)
            if drawing_files is not None:
                drawing.put(file, drawing_files[index], prediction)
    counts["drawn"] = drawing.people
    counts["seconds"] = max(time.perf_counter() - began, 1e-9)
    return results, counts


def _write(path: Path, results: list[dict[str, Any]]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(results))
