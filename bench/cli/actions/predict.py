"""Action of `posebench predict`: find people in pictures, write and draw them."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.cli.actions.predict_files import Drawing, Picture, check_json_file, drawings, requested_pictures
from bench.cli.output import log, print_json, print_line, progress_bar
from bench.cli.predict import MIN_PARTS
from posemodel.atomic_write import atomic_path
from posemodel.errors import DataError, SettingsError
from posemodel.inference.prediction import iter_predictions
from posemodel.inference.results import PERSON_CATEGORY, image_ids, results_of
from posemodel.network.prepare import prepare_network
from posemodel.network.weights import CATEGORY_ID, checkpoint_info
from posemodel.skeleton import COCO_PERSON

STDOUT = "-"


def find_people(
    pictures: Sequence[Path],
    checkpoint: Path,
    out: str | None,
    draw: Path | None,
    min_score: float,
    min_parts: int | None,
    **options: Any,
) -> None:
    """Find people in pictures, write COCO results to ``out`` and drawings to the folder ``draw``.

    ``min_score`` and ``min_parts`` (None: `MIN_PARTS`, or all parts if the skeleton has fewer) of the people who are
    drawn. DataError if no picture can be read; SettingsError if the checkpoint's skeleton has fewer parts than
    ``min_parts``.
    """
    if out not in (None, STDOUT):
        check_json_file(Path(out))
    requested = requested_pictures(pictures, leave_out=draw)
    drawing_files = drawings(requested, draw) if draw is not None else None
    results, counts = _predict(requested, drawing_files, min_score, min_parts, checkpoint, **options)
    if not counts["images"]:
        raise DataError(f"none of the {counts['skipped']} pictures could be read.")
    if out == STDOUT:
        print_json(results)
    elif out is not None:
        _write(Path(out), results)
    say = log if out == STDOUT else print_line
    drawn = f" ({counts['drawn']} drawn)" if draw is not None else ""
    say(
        f"{counts['images']} images, {counts['people']} {counts['of']}{drawn}, {counts['skipped']} skipped, "
        f"{counts['images'] / counts['seconds']:.1f} images/s"
    )


def _predict(
    requested: list[Picture],
    drawing_files: list[Path] | None,
    min_score: float,
    min_parts: int | None,
    checkpoint: Path,
    **options: Any,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return COCO results, and counts of images, people, skipped images and drawn people, with the seconds taken.

    ``of`` is the word for the people: `people`, or the name of another checkpoint's skeleton.
    """
    files = [each.file for each in requested]
    network, geometry = prepare_network(checkpoint, size=options.pop("size"), device=options.pop("device"))
    skeleton = network.skeleton
    category = int(checkpoint_info(checkpoint).training.get(CATEGORY_ID, PERSON_CATEGORY))
    if min_parts is not None and min_parts > skeleton.num_parts:
        raise SettingsError(
            f"--min-parts {min_parts}: the skeleton of {checkpoint} ({skeleton.name}) has {skeleton.num_parts} parts; "
            f"give 1 to {skeleton.num_parts}."
        )
    least_parts = min(MIN_PARTS, skeleton.num_parts) if min_parts is None else min_parts
    of = "people" if skeleton.name == COCO_PERSON.name else f"of {skeleton.name}"
    results: list[dict[str, Any]] = []
    counts: dict[str, Any] = {"images": 0, "people": 0, "skipped": 0, "drawn": 0, "of": of}
    began = time.perf_counter()
    options["exif"] = options["exif"] or network.trained_exif
    with progress_bar() as bar, Drawing(min_score, least_parts, skeleton, exif=options["exif"]) as drawing:
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
            results += results_of(image_id, file, prediction, skeleton=skeleton, category=category)
            if drawing_files is not None:
                drawing.put(file, drawing_files[index], prediction)
    counts["drawn"] = drawing.people
    counts["seconds"] = time.perf_counter() - began
    return results, counts


def _write(path: Path, results: list[dict[str, Any]]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(results))
