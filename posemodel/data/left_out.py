"""Handle bad data: raise one clear error that lists it, or (``--skip-bad``) leave it out and count it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from posemodel.data.annotations.problems import Problem
from posemodel.data.annotations.reading import read
from posemodel.data.images.matching import Images
from posemodel.data.images.problems import image_problems
from posemodel.data.notes import Note
from posemodel.errors import DataError

SHOWN = 5
"""Problems that an error message lists before it only counts."""


@dataclass(frozen=True)
class LeftOut:
    """How many images and annotations of an annotation file were left out as bad."""

    reasons: tuple[tuple[str, int], ...] = ()
    """Images left out by reason, the most frequent first."""
    annotations: int = 0
    """Annotations with a fault of their own; sound ones on an image that is left out are not counted."""

    @property
    def images(self) -> int:
        """Images left out."""
        return sum(count for _, count in self.reasons)

    def __bool__(self) -> bool:
        return bool(self.reasons or self.annotations)

    def __str__(self) -> str:
        """Return `3 images (2 missing, 1 truncated), 4 annotations`, for example."""
        why = f" ({', '.join(f'{count} {reason}' for reason, count in self.reasons)})" if self.reasons else ""
        return f"{_counted(self.images, 'image')}{why}, {_counted(self.annotations, 'annotation')}"

    def as_metrics(self) -> dict[str, int]:
        """Return the two counts by the names that records, JSON documents and checkpoints use."""
        return {"skipped_images": self.images, "skipped_annotations": self.annotations}


NOTHING_LEFT_OUT = LeftOut()


class SoundPart(NamedTuple):
    """The usable part of an annotation file in COCO's form, what was left out, and the notes."""

    document: dict[str, Any]
    left_out: LeftOut
    notes: tuple[Note, ...]


def sound_part(
    document: dict[str, Any],
    path: Path,
    *,
    images: Images | None = None,
    skip_bad: bool = False,
    segments: bool = True,
) -> SoundPart:
    """Return the usable part of a parsed annotation file (see ``reading``); nothing is left out without ``skip_bad``.

    ``images``: the located images; None does not check them. ``segments=False`` ignores segmentations. ``skip_bad``
    leaves out: an image whose entry or file is bad; an image with a bad annotation of a person, since that person,
    neither labelled nor masked, would be taught and scored as background; only the annotation if its image is not
    listed. Raises DataError with the first few problems and their number; with ``skip_bad`` only for a fault of the
    whole file, and if nothing is left.
    """
    document, notes, problems = read(document, path, segments=segments)
    unusable = [p for p in problems if p.of_whole_file]
    if images is not None and not unusable:
        problems = (*problems, *image_problems(document, images, decode=False))
    fatal = unusable if skip_bad else problems
    if fatal:
        raise DataError(_message(path, fatal))
    if not problems:
        return SoundPart(document, NOTHING_LEFT_OUT, notes)
    reasons: dict[int, str] = {}
    for problem in problems:
        for position in problem.images:
            reasons.setdefault(position, problem.reason)
    bad = {problem.annotation for problem in problems if problem.annotation is not None}
    kept = [image for position, image in enumerate(document["images"]) if position not in reasons]
    ids = {image["id"] for image in kept}
    annotations = [
        annotation
        for index, annotation in enumerate(document["annotations"])
        if index not in bad and annotation["image_id"] in ids
    ]
    left_out = LeftOut(tuple(Counter(reasons.values()).most_common()), len(bad))
    if not kept:
        raise DataError(f"{_message(path, problems)}\nNothing is left without them.")
    return SoundPart(document | {"images": kept, "annotations": annotations}, left_out, notes)


def sum_left_out(parts: Iterable[LeftOut]) -> LeftOut:
    """Sum what was left out of several annotation files."""
    reasons: Counter[str] = Counter()
    annotations = 0
    for part in parts:
        reasons.update(dict(part.reasons))
        annotations += part.annotations
    return LeftOut(tuple(reasons.most_common()), annotations)


def _message(path: Path, problems: Sequence[Problem]) -> str:
    lines = [f"  {_problem_prefix(problem, path)}{problem.problem}" for problem in problems[:SHOWN]]
    more = [f"  and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
    remedy = (
        "Correct the file; `posebench data check` lists everything."
        if all(problem.of_whole_file for problem in problems)
        else "Correct or remove these entries (`posebench data check` lists all), or leave them out with --skip-bad."
    )
    return "\n".join([f"{path}: {_counted(len(problems), 'problem')}", *lines, *more, remedy])


def _problem_prefix(problem: Problem, path: Path) -> str:
    if problem.of_whole_file:
        return ""
    named = "" if problem.id is None else f"{'image' if problem.annotation is None else 'annotation'} id {problem.id}: "
    return named if problem.file == str(path) else f"{named}{problem.file}: "


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
