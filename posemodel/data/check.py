"""Implements `data check`: count what a data set holds and list everything that is wrong with it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posemodel.config import Exif
from posemodel.data.annotations.categories import find_in, flat_keypoints
from posemodel.data.annotations.problems import Problem
from posemodel.data.annotations.reading import read
from posemodel.data.annotations.skeletons import SkeletonChoice, read_choice
from posemodel.data.derived import REPORT, derived_split, is_derived, without_derived_splits
from posemodel.data.images.facts import ImageFacts, shared_pictures
from posemodel.data.images.matching import file_names_in, find_images
from posemodel.data.images.problems import image_problems
from posemodel.data.labelled_counts import ROLES, few_images_warnings
from posemodel.data.layout import Data, DataSet, find_split, require_split, split_names
from posemodel.data.notes import Note
from posemodel.data.open_split import read_document, with_skeleton
from posemodel.data.packed_split import PackedSplit
from posemodel.data.packing import packed_arrays
from posemodel.errors import DataError
from posemodel.skeleton import Skeleton

COUNTS = ("images", "people", "crowds", "unlabelled")


@dataclass
class CheckResult:
    """Counts by split, all problems, and notes."""

    splits: dict[str, dict[str, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    """Notes on entries that are read differently than they are written, and on data that a training or a study lacks.
    """
    labelled_images: dict[str, int] = field(default_factory=dict)
    """Split -> number of images with labelled people, for the splits of a study (see ``labelled_counts.ROLES``)."""
    skeletons: dict[str, Skeleton] = field(default_factory=dict)
    """Split -> the skeleton of its annotations, for those without problems; a training uses that of `train`."""

    def as_document(self) -> dict[str, Any]:
        """Return the JSON document of `posebench data check`."""
        totals = {name: sum(counts[name] for counts in self.splits.values()) for name in COUNTS}
        rows = [problem.as_row() for problem in self.problems]
        notes = [note.as_row() for note in self.notes]
        return {
            "splits": self.splits,
            **totals,
            "labelled_images": self.labelled_images,
            "problems": rows,
            "notes": notes,
        }


def check(data: Data, *, exif: Exif = "ignore", on_split: Callable[[str], None] | None = None) -> CheckResult:
    """Check every split of a data set and its images. Raises DataError if there is no split at all.

    ``exif``: `follow` turns images by their EXIF orientation before their sizes are compared, `ignore` does not.
    """
    data = DataSet.of(data)
    choice = read_choice(data)
    names = split_names(data)
    if not names:
        require_split(data, "train")
    result = CheckResult()
    facts: dict[str, ImageFacts] = {}
    packed: dict[Path, PackedSplit] = {}
    for name in names:
        if on_split is not None:
            on_split(name)
        files = require_split(data, name)
        result.notes.extend(files.notes)
        try:
            document = read_document(files.annotations)
        except DataError as error:
            message = str(error).removeprefix(f"{files.annotations}: ")
            result.problems.append(Problem(str(files.annotations), None, message))
            result.splits[name] = dict.fromkeys(COUNTS, 0)
            continue
        images = find_images(files, file_names_in(document), data, exif=exif)
        result.notes.extend(images.notes)
        document = images.with_found_names(document)
        document, notes, problems = read(document, files.annotations, choice=choice)
        result.problems.extend(problems)
        result.notes.extend(notes)
        result.splits[name] = count(document, choice)
        if isinstance(document.get("images"), list):
            result.notes.extend(_files_listed_twice(document, files.annotations))
            facts[name] = ImageFacts(files.annotations, exif)
            result.problems.extend(image_problems(document, images, decode=True, on_examined=facts[name].add))
            result.notes.extend(facts[name].notes())
        if not problems:
            try:
                arrays = packed_arrays(document, choice)
            except DataError as error:  # the skeleton that was given does not fit
                result.problems.append(Problem(str(files.annotations), None, str(error)))
            else:
                packed[files.annotations] = PackedSplit.from_arrays(
                    arrays, name=name, annotations=str(files.annotations), folder=str(files.images)
                )
                result.skeletons[name] = packed[files.annotations].skeleton
        if not result.splits[name]["people"] and not any(problem.of_whole_file for problem in problems):
            noun = find_in(document, choice).noun
            text = f"the split `{name}` has no labelled {noun}: it can be neither learned from nor scored"
            result.notes.append(Note(str(files.annotations), "no-labelled-person", 1, text))
    result.problems.extend(_other_keypoints(data, packed, choice))
    result.notes.extend(shared_pictures(facts))
    result.notes.extend(_missing_splits(data, names))
    labelled = _labelled_splits(data, packed)
    result.labelled_images = {name: len(split) for name, split in labelled.items()}
    for name, text in few_images_warnings(result.labelled_images).items():
        result.notes.append(Note(labelled[name].annotations, "few-labelled-images", len(labelled[name]), text))
    return result


def _files_listed_twice(document: dict[str, Any], annotations: Path) -> Iterator[Note]:
    """Yield a note if several image entries with different ids name the same file; each is a sample of its own."""
    first_ids: dict[str, Any] = {}
    repeated = []
    for image in document["images"]:
        name, image_id = (image.get("file_name"), image.get("id")) if isinstance(image, dict) else (None, None)
        if isinstance(name, str) and name and first_ids.setdefault(name, image_id) != image_id:
            repeated.append((name, first_ids[name], image_id))
    if repeated:
        name, first_id, other_id = repeated[0]
        text = (
            f"{len(repeated)} image {'entry' if len(repeated) == 1 else 'entries'} of files that other ids name too "
            f"({ascii(name)[:60]}: ids {ascii(first_id)[:40]} and {ascii(other_id)[:40]}): people annotated under "
            "one id are background under the other"
        )
        yield Note(str(annotations), "file-twice", len(repeated), text)


def _other_keypoints(data: DataSet, packed: Mapping[Path, PackedSplit], choice: SkeletonChoice) -> Iterator[Problem]:
    """Yield a problem for each annotation file whose keypoints are not those of `train`."""
    train = find_split(data, "train")
    if train is None or train.annotations not in packed:
        return
    for annotations, split in packed.items():
        try:
            with_skeleton(split, packed[train.annotations].skeleton, choice)
        except DataError as error:
            yield Problem(str(annotations), None, str(error).removeprefix(f"{annotations}: "))


def _labelled_splits(data: DataSet, packed: Mapping[Path, PackedSplit]) -> dict[str, PackedSplit]:
    """Return the usable splits of a study (``labelled_counts.ROLES``), with only their labelled images."""
    splits = {}
    for role in ROLES:
        derived = is_derived(data, role)
        files = find_split(data, "train" if derived else role)
        if files is not None and files.annotations in packed:
            split = packed[files.annotations]
            if derived:
                split = derived_split(split, role)
            elif role == "train":
                split = without_derived_splits(split, files, data, select=True, val=is_derived(data, REPORT))
            splits[role] = split.labelled_only()
    return splits


def _missing_splits(data: DataSet, names: list[str]) -> Iterator[Note]:
    """Yield notes on what serves as `train` and as `val` if there are no splits of these names."""
    train = find_split(data, "train")
    if train is None:
        text = f"there is no split `train` to train on (splits here: {', '.join(names)})"
        yield Note(str(data.folder), "no-split", 1, text)
        return
    yield from (note for note in train.notes if note.kind == "only-split")
    if is_derived(data, REPORT):
        text = (
            f"there is no split `val` to report on (splits here: {', '.join(names)}): a fixed tenth of "
            f"`{train.name}`, by hash of the image id, stands in for it and is not trained on"
        )
        yield Note(str(train.annotations), "val-from-train", 1, text)


def count(document: dict[str, Any], choice: SkeletonChoice | None = None) -> dict[str, int]:
    """Count images, people (or other objects) with and without labelled keypoints, and crowds.

    Malformed entries are skipped.
    """
    images, annotations = (document.get(key) for key in ("images", "annotations"))
    counts = dict.fromkeys(COUNTS, 0)
    counts["images"] = len(images) if isinstance(images, list) else 0
    person = find_in(document, choice).ids
    for annotation in annotations if isinstance(annotations, list) else ():
        # A malformed reference may be a list, which is not hashable.
        if not isinstance(annotation, dict) or not any(annotation.get("category_id") == c for c in person):
            continue
        visibilities = (flat_keypoints(annotation.get("keypoints")) or [])[2::3]
        if annotation.get("iscrowd"):
            counts["crowds"] += 1
        elif any(isinstance(v, (int, float)) and v > 0 for v in visibilities):
            counts["people"] += 1
        else:
            counts["unlabelled"] += 1
    return counts
