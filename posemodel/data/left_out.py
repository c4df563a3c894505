"""Bad data: one clear error that lists it, or (``--skip-bad``) the part of an annotation file without it."""

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
    """What of an annotation file was left out as bad."""

    reasons: tuple[tuple[str, int], ...] = ()
    """Images left out by reason, the most frequent first."""
    annotations: int = 0
    """Annotations that were at fault themselves; sound ones on an image that is left out are not counted."""

    @property
    def images(self) -> int:
        """Images left out."""
        return sum(count for _, count in self.reasons)

    def __bool__(self) -> bool:
        return bool(self.reasons or self.annotations)

    def __str__(self) -> str:
        """As `3 images (2 missing, 1 truncated), 4 annotations`."""
        why = f" ({', '.join(f'{count} {reason}' for reason, count in self.reasons)})" if self.reasons else ""
        return f"{_number(self.images, 'image')}{why}, {_number(self.annotations, 'annotation')}"

    def as_metrics(self) -> dict[str, int]:
        """The two counts, by the names that records, JSON documents and checkpoints use."""
        return {"skipped_images": self.images, "skipped_annotations": self.annotations}


NOTHING = LeftOut()


class SoundPart(NamedTuple):
    """What can be used of an annotation file, as COCO would have it; what was left out and what read differently."""

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
    """What can be used of a parsed annotation file (see ``reading``); nothing is left out, unless ``skip_bad``.

    ``images``: where they are; None does not look at them. ``segments=False`` ignores segmentations.
    With ``skip_bad`` goes: an image whose entry or file is bad; an image of which a person's annotation is bad, whole,
    since that person, neither labelled nor masked, would be taught and scored as background; the annotation alone
    where it is of no listed image or of another category.
    Raises DataError: one that lists the first few problems and says how many there are, or, with ``skip_bad``, for a
    fault of the whole file and where nothing is left.
    """
    document, notes, problems = read(document, path, segments=segments)
    unusable = [p for p in problems if p.of_whole_file]
    if images is not None and not unusable:
        problems = (*problems, *image_problems(document, images, decode=False))
    wrong = unusable if skip_bad else problems
    if wrong:
        raise DataError(_message(path, wrong))
    if not problems:
        return SoundPart(document, NOTHING, notes)
    reasons: dict[int, str] = {}
    for problem in problems:
        for position in problem.images:
            reasons.setdefault(position, problem.reason)
    bad = {problem.annotation for problem in problems if problem.annotation is not None}
    kept = [image for position, image in enumerate(document["images"]) if position not in reasons]
    ids = {image["id"] for image in kept}
    annotations = [
        annotation
        for number, annotation in enumerate(document["annotations"])
        if number not in bad and annotation["image_id"] in ids
    ]
    left_out = LeftOut(tuple(Counter(reasons.values()).most_common()), len(bad))
    if not kept:
        raise DataError(f"{_message(path, problems)}\nNothing is left without them.")
    return SoundPart(document | {"images": kept, "annotations": annotations}, left_out, notes)


def summed(parts: Iterable[LeftOut]) -> LeftOut:
    """What was left out of several annotation files."""
    reasons: Counter[str] = Counter()
    annotations = 0
    for part in parts:
        reasons.update(dict(part.reasons))
        annotations += part.annotations
    return LeftOut(tuple(reasons.most_common()), annotations)


def _message(path: Path, problems: Sequence[Problem]) -> str:
    lines = [f"  {_place(problem, path)}{problem.problem}" for problem in problems[:SHOWN]]
    more = [f"  and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
    remedy = (
        "Mend the file; `posebench data check` lists everything."
        if all(problem.of_whole_file for problem in problems)
        else "Mend or remove these entries (`posebench data check` lists every one), or leave them out with --skip-bad."
    )
    return "\n".join([f"{path}: {_number(len(problems), 'problem')}", *lines, *more, remedy])


def _place(problem: Problem, path: Path) -> str:
    if problem.of_whole_file:
        return ""
    named = "" if problem.id is None else f"{'image' if problem.annotation is None else 'annotation'} id {problem.id}: "
    return named if problem.file == str(path) else f"{named}{problem.file}: "


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
