"""Check an annotation file and its images: list all that is bad in one error, or (``--skip-bad``) leave it out."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from posemodel.data.annotations.problems import Problem
from posemodel.data.annotations.reading import read
from posemodel.data.annotations.skeletons import SkeletonChoice
from posemodel.data.images.matching import Images
from posemodel.data.images.problems import image_problems
from posemodel.data.notes import Note
from posemodel.errors import DataError

SHOWN = 5
"""Maximum number of problems listed in an error message; the others are only counted."""


@dataclass(frozen=True)
class LeftOut:
    """How many images and annotations of an annotation file were left out as bad."""

    reasons: tuple[tuple[str, int], ...] = ()
    """Images left out by reason, the most frequent first."""
    annotations: int = 0
    """Number of bad annotations; valid ones of an image that is left out are not counted."""

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
    choice: SkeletonChoice | None = None,
) -> SoundPart:
    """Check a parsed annotation file (see ``reading``) and return its usable part: all of it without ``skip_bad``.

    ``images``: the located images; None: image files are not checked. ``segments=False`` ignores segmentations.
    ``choice``: the category and the keypoints that the user chose. ``skip_bad`` leaves out images whose entry or file
    is bad. It also leaves out an image with a bad annotation, because that person would be taught and scored as
    background; if the annotation's image is not in the file's `images`, only the annotation is left out. Raises
    DataError with the first few problems and their number; with ``skip_bad`` only if the whole file is unusable, or
    nothing is left.
    """
    document, notes, problems = read(document, path, segments=segments, choice=choice)
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
