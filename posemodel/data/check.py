"""`data check`: count what a data set holds and name everything that is wrong with it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posemodel.data.coco import read_document
from posemodel.data.layout import require_split, split_names
from posemodel.data.problems import Problem, annotation_problems, image_problems, person_categories
from posemodel.errors import DataError

COUNTS = ("images", "people", "crowds", "unlabelled")


@dataclass
class CheckResult:
    """Counts per split, every problem found, and what is missing."""

    splits: dict[str, dict[str, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What a training or a study will miss, though nothing that is there is wrong."""

    def as_document(self) -> dict[str, Any]:
        """The JSON contract of `posebench data check`."""
        totals = {name: sum(counts[name] for counts in self.splits.values()) for name in COUNTS}
        rows = [problem.as_row() for problem in self.problems]
        return {"splits": self.splits, **totals, "problems": rows, "notes": self.notes}


def check(root: Path, *, on_split: Callable[[str], None] | None = None) -> CheckResult:
    """Examine every split of a data set, its images included. Raises DataError if there is no split at all."""
    names = split_names(root)
    if not names:
        require_split(root, "train")
    result = CheckResult()
    for name in names:
        if on_split is not None:
            on_split(name)
        files = require_split(root, name)
        try:
            document = read_document(files.annotations)
        except DataError as error:
            message = str(error).removeprefix(f"{files.annotations}: ")
            result.problems.append(Problem(str(files.annotations), None, message))
            result.splits[name] = dict.fromkeys(COUNTS, 0)
            continue
        found = annotation_problems(document, files.annotations)
        result.problems.extend(found)
        result.splits[name] = count(document)
        if isinstance(document.get("images"), list):
            result.problems.extend(image_problems(document, files.images, decode=True))
        if not result.splits[name]["people"]:
            result.notes.append(f"the split `{name}` has no labelled person: it can be neither learned from nor scored")
    for name, purpose in (("train", "train on"), ("val", "report on")):
        if name not in names and not (name == "val" and "report" in names):
            result.notes.append(f"there is no split `{name}` to {purpose} (splits here: {', '.join(names)})")
    return result


def count(document: dict[str, Any]) -> dict[str, int]:
    """Images, people (labelled keypoints), crowds, people without a labelled keypoint; skips malformed entries."""
    images, annotations = (document.get(key) for key in ("images", "annotations"))
    counts = dict.fromkeys(COUNTS, 0)
    counts["images"] = len(images) if isinstance(images, list) else 0
    person = person_categories(document)
    for annotation in annotations if isinstance(annotations, list) else ():
        # A malformed reference may be a list, which no set can be asked for.
        if not isinstance(annotation, dict) or not any(annotation.get("category_id") == c for c in person):
            continue
        keypoints = annotation.get("keypoints")
        visibilities = keypoints[2::3] if isinstance(keypoints, list) else []
        if annotation.get("iscrowd"):
            counts["crowds"] += 1
        elif any(isinstance(v, (int, float)) and v > 0 for v in visibilities):
            counts["people"] += 1
        else:
            counts["unlabelled"] += 1
    return counts
