"""Where a data set's files are: the layouts that are known, the names of splits, and files that are named outright.

In the order in which they are looked for, below the data set's folder, for a split `train`:

1. COCO's: `annotations/person_keypoints_train2017.json` (or `..._train.json`) with `images/train2017/`, or with
   `train2017/` as COCO's archives unpack; CVAT's export is the same with a split `default`;
2. Roboflow's: `train/_annotations.coco.json` beside its images;
3. a single file, `annotations.json`, `result.json` or `_annotations.coco.json`, with `images/` or beside its images.

`valid` and `validation` serve as `val`, `training` as `train`, in any case; the only split of a data set serves as
`train`, unless its name says that it is for scoring. What is named outright (``DataFiles``) comes before the folder.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from posemodel.config import DataFiles
from posemodel.data.notes import Note
from posemodel.errors import DataError

SELECT_SHARE = 10
"""One train image in ten (by hash of its id) is the `select` split where a data set has no such split of its own, and
another one in ten stands in for `val`."""
_SELECT, _VAL = 0, 1
"""Remainders of the hash: the two tenths share no image."""

_CHUNK = 1 << 20
"""Bytes of an annotation file that are in memory at once for its digest."""
_PREFIX, _YEAR = "person_keypoints_", "2017"
_SINGLE = ("annotations.json", "result.json", "_annotations.coco.json")
_BESIDE = "_annotations.coco.json"
SYNONYMS = {"train": ("training",), "val": ("valid", "validation"), "report": ("val", "valid", "validation")}
"""Names that serve as a split where it is not there by its own, in any case."""
_FOR_SCORING = ("val", "valid", "validation", "test", "testing", "select", "report")
"""Names of splits that are never trained on for want of another."""
_SHOWN = 5
"""Files that an error lists."""


@dataclass(frozen=True)
class SplitFiles:
    """The annotation file and the image folder of one split."""

    name: str
    annotations: Path
    images: Path
    notes: tuple[Note, ...] = ()
    """Why these files were taken, where others could have been."""


NO_FILES = DataFiles()


@dataclass(frozen=True)
class DataSet:
    """A data set: a folder in one of the layouts, and the files that are named outright.

    ``folder`` may be one of the named annotation files, which then says that there is no folder: whoever stores a data
    set as one path has one even so.
    """

    folder: Path
    files: DataFiles = NO_FILES

    @classmethod
    def of(cls, data: "Data | None", files: DataFiles | None = None) -> "DataSet":
        """A data set of a path, or of none where files are named. Raises DataError where nothing is named at all."""
        if isinstance(data, DataSet):
            return data
        files = files or DataFiles()
        folder = data if data is not None else files.first_annotations
        if folder is None:
            raise DataError("data: give the folder of a data set, or train_annotations with train_images.")
        return cls(Path(folder), files)

    @property
    def named(self) -> dict[str, SplitFiles]:
        """Splits whose files are named outright."""
        files = self.files
        pairs = {
            "train": (files.train_annotations, files.train_images),
            "val": (files.val_annotations, files.val_images),
        }
        return {
            name: SplitFiles(name, annotations, images)
            for name, (annotations, images) in pairs.items()
            if annotations is not None and images is not None
        }

    @property
    def searched(self) -> Path | None:
        """The folder in which other splits are looked for; None where there are only named files."""
        annotations = (self.files.train_annotations, self.files.val_annotations)
        return None if self.folder in annotations else self.folder

    def hidden(self, name: str) -> bool:
        """Whether a split of the folder is none of this data set, since files that are named take its place."""
        named = self.named
        return ("train" in named and _serves_as(name, "train", "select")) or (
            "val" in named and _serves_as(name, "val", "report")
        )


Data = Path | DataSet
"""A data set, or its folder."""


def _serves_as(name: str, *splits: str) -> bool:
    return any(name == split or name.lower() in (split, *SYNONYMS.get(split, ())) for split in splits)


def _annotation_file(root: Path, folder_name: str) -> Path:
    return root / "annotations" / f"{_PREFIX}{folder_name}.json"


def split_names(data: Data) -> list[str]:
    """Names of the splits that have an annotation file (`train2017` is `train`), sorted."""
    data = DataSet.of(data)
    below = _below(data.searched) if data.searched is not None else {}
    return sorted({*data.named, *(name for name in below if not data.hidden(name))})


def _below(root: Path) -> dict[str, list[SplitFiles]]:
    """Every split below a folder by its name; of one that is there several times, the one to take comes first.

    Raises DataError where the folder cannot be looked into.
    """
    try:
        return _looked_for(root)
    except OSError as error:
        raise DataError(f"{error.filename or root}: cannot be read ({error.strerror}).") from error


def _looked_for(root: Path) -> dict[str, list[SplitFiles]]:
    found: dict[str, list[SplitFiles]] = {}

    def add(name: str, annotations: Path, images: Path) -> None:
        found.setdefault(name, []).append(SplitFiles(name, annotations, images))

    # `train2017` comes before `train`, as it always has.
    stems = [file.stem.removeprefix(_PREFIX) for file in (root / "annotations").glob(f"{_PREFIX}*.json")]
    for stem in sorted(stems, key=lambda stem: (not stem.endswith(_YEAR), stem)):
        add(stem.removesuffix(_YEAR), _annotation_file(root, stem), _image_folder(root, stem))
    for file in sorted(root.glob(f"*/{_BESIDE}")):
        add(file.parent.name.removesuffix(_YEAR), file, file.parent)
    for name in _SINGLE:
        if (file := root / name).is_file() and _holds_object(file):
            add("train", file, root / "images" if (root / "images").is_dir() else root)
    return found


def _holds_object(file: Path) -> bool:
    """Whether a JSON file holds an object: COCO's results, often of the same name, are a list."""
    try:
        with file.open("rb") as opened:
            return not opened.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    except OSError:
        return True  # who reads it says so


def _image_folder(root: Path, folder_name: str) -> Path:
    """COCO's image folder of an annotation file, or the one beside `annotations`; the former where neither is there."""
    usual, beside = root / "images" / folder_name, root / folder_name
    return beside if beside.is_dir() and not usual.is_dir() else usual


def find_split(data: Data, split: str) -> SplitFiles | None:
    """Files of a split that exists as such, else None. `report` is `val` unless the data set has its own.

    Raises DataError where a folder cannot be looked into.
    """
    data = DataSet.of(data)
    names = [split, "val"] if split == "report" else [split]
    for name in names:
        if name in data.named:
            return data.named[name]
    root = data.searched
    if root is None:
        return None
    for name in names:
        for folder_name in (f"{name}{_YEAR}", name):
            annotations = _annotation_file(root, folder_name)
            try:
                there = annotations.exists()  # a folder too: who reads it says so
            except OSError as error:
                raise DataError(f"{annotations}: cannot be read ({error.strerror}).") from error
            if there and not data.hidden(name):
                files = SplitFiles(name, annotations, _image_folder(root, folder_name))
                return _with_others(files, _below(root).get(name, []))
    below = {name: files for name, files in _below(root).items() if not data.hidden(name)}
    for name in _candidates(split, names, below):
        return _with_others(below[name][0], below[name], serves_as=split)
    return None


def _candidates(split: str, names: list[str], below: dict[str, list[SplitFiles]]) -> Iterator[str]:
    """Names of the splits that serve as one, the best first."""
    yield from (name for name in names if name in below)
    for synonym in SYNONYMS.get(split, ()):
        yield from (name for name in sorted(below) if name.lower() == synonym)
    yield from (name for name in sorted(below) if name.lower() == split)
    if split == "train" and len(below) == 1:
        yield from (name for name in below if name.lower() not in _FOR_SCORING)


def _with_others(files: SplitFiles, there: list[SplitFiles], *, serves_as: str = "") -> SplitFiles:
    """The files with notes on others that are there by the same name, and on a split that serves as another."""
    notes = [
        Note(
            str(files.annotations),
            "layout-not-read",
            1,
            f"the split `{files.name}` is read from here; {other.annotations} is there too, and is not read",
        )
        for other in there
        if other.annotations != files.annotations
    ]
    if serves_as == "train" and not _serves_as(files.name, "train"):
        text = f"the only split here is `{files.name}`: it serves as `train`"
        notes.append(Note(str(files.annotations), "only-split", 1, text))
    return SplitFiles(files.name, files.annotations, files.images, tuple(notes))


def require_split(data: Data, split: str) -> SplitFiles:
    """Files of a split; raises DataError that says what there is instead."""
    data = DataSet.of(data)
    root = data.searched
    if root is not None and not root.is_dir():
        if root.is_file():
            state = "is no folder. An annotation file is given with the folder of its images: --train-annotations FILE "
            raise DataError(f"{root}: {state}--train-images DIR (and --val-annotations, --val-images).")
        state = "is no folder" if root.exists() else "no such folder"
        raise DataError(
            f"{root}: {state}. A data set is a folder with annotations/person_keypoints_train2017.json and "
            f"images/train2017/; `posebench data synth {root} --images 500` makes one."
        )
    files = find_split(data, split)
    if files is not None:
        return files
    names = split_names(data)
    have = ", ".join(names) or "none"
    if root is None:
        raise DataError(f"{data.folder}: there is no split `{split}`: only {have} is named, and no data folder given.")
    file = _annotation_file(root, split + _YEAR)
    text = f"{file}: no such file, so there is no split `{split}` (splits here: {have})."
    if not names:
        raise DataError(f"{text} {_what_there_is(root)}")
    role = "train" if split == "train" else "val"
    remedy = f" Its files are named outright: --{role}-annotations FILE --{role}-images DIR."
    raise DataError(text + remedy * (split in ("train", "val", "report")))


def _what_there_is(root: Path) -> str:
    """The layouts that were looked for, and JSON files that may be meant."""
    files = sorted(file for pattern in ("*.json", "*/*.json") for file in root.glob(pattern))
    there = [file.relative_to(root).as_posix() for file in files[:_SHOWN]]
    more = f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
    shown = f"JSON files here: {', '.join(there)}{more}" if there else "there is no JSON file here"
    return (
        f"Looked for COCO's layout, for train/{_BESIDE} beside its images, and for {_SINGLE[0]} with images/; {shown}. "
        "Other places are named outright: --train-annotations FILE --train-images DIR."
    )


def id_hash(image_id: int) -> int:
    """A hash of an image id that is the same on every machine."""
    return int.from_bytes(hashlib.sha256(str(image_id).encode()).digest()[:8], "big")


def in_select(image_id: int) -> bool:
    """Whether a train image belongs to the derived `select` split: a fixed tenth by hash of the image id."""
    return id_hash(image_id) % SELECT_SHARE == _SELECT


def in_val(image_id: int) -> bool:
    """Whether a train image belongs to the tenth that stands in for `val`, disjoint from the `select` tenth."""
    return id_hash(image_id) % SELECT_SHARE == _VAL


def fingerprint(data: Data) -> str:
    """A short digest of all annotation files: identifies a data set wherever its files stand."""
    digest = hashlib.sha256()
    for split in split_names(data):
        files = require_split(data, split)
        digest.update(split.encode())
        if files.annotations.is_file():
            with files.annotations.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
    return digest.hexdigest()[:16]
