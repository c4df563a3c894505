"""Find the files of a data set: known folder layouts, names of splits, and explicitly named files.

Layouts in the order in which they are tried, below the data set's folder, for a split `train`:

1. COCO's: `annotations/person_keypoints_train2017.json` (or `..._train.json`) with `images/train2017/`, or with
   `train2017/` as COCO's archives unpack; CVAT's export is the same with a split `default`;
2. Roboflow's: `train/_annotations.coco.json` beside its images;
3. a single file, `annotations.json`, `result.json` or `_annotations.coco.json`, with `images/` or beside its images.

`valid` and `validation` serve as `val`, `training` as `train`, in any case; the only split of a data set serves as
`train`, unless its name says that it is for scoring. Explicitly named files (``DataFiles``) come before the folder.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from posemodel.config import DataFiles
from posemodel.data.annotations.skeleton_choice import SKELETON_FILE, read_choice
from posemodel.data.notes import Note
from posemodel.errors import DataError

SELECT_SHARE = 10
"""One train image in this many (by hash of its id) forms `select` in a data set that has no such split.

The same share, other images, stands in for a missing `val`.
"""
_SELECT, _VAL = 0, 1
"""Remainders of the hash that select the images of the two tenths, which therefore share no image."""

_CHUNK = 1 << 20
"""Bytes of an annotation file that are read at a time for its digest."""
_PREFIX, _YEAR = "person_keypoints_", "2017"
_SINGLE = ("annotations.json", "result.json", "_annotations.coco.json")
_BESIDE = "_annotations.coco.json"
SYNONYMS = {"train": ("training",), "val": ("valid", "validation"), "report": ("val", "valid", "validation")}
"""Missing split -> names, in any case, of splits that serve as it."""
_FOR_SCORING = ("val", "valid", "validation", "test", "testing", "select", "report")
"""Names of splits that never serve as `train`, even if a data set has no other split."""
_SHOWN = 5
"""Maximum number of files that an error lists."""


@dataclass(frozen=True)
class SplitFiles:
    """The annotation file and the image folder of one split."""

    name: str
    annotations: Path
    images: Path
    notes: tuple[Note, ...] = ()
    """Notes on why these files were chosen among several."""


NO_FILES = DataFiles()


@dataclass(frozen=True)
class DataSet:
    """A data set: a folder in one of the layouts, and explicitly named files.

    If there is no folder, ``folder`` is one of the named annotation files, because a data set is stored as a single
    path in some places.
    """

    folder: Path
    files: DataFiles = NO_FILES

    @classmethod
    def of(cls, data: "Data | None", files: DataFiles | None = None) -> "DataSet":
        """Return the data set of a path, or of named files only. Raises DataError if neither is given."""
        if isinstance(data, DataSet):
            return data
        files = files or DataFiles()
        folder = data if data is not None else files.first_annotations
        if folder is None:
            raise DataError("data: give the folder of a data set, or train_annotations with train_images.")
        return cls(Path(folder), files)

    @property
    def named_splits(self) -> dict[str, SplitFiles]:
        """Splits whose files are explicitly named."""
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
    def search_folder(self) -> Path | None:
        """The folder that is searched for other splits; None if all files are explicitly named."""
        annotations = (self.files.train_annotations, self.files.val_annotations)
        return None if self.folder in annotations else self.folder

    def hides(self, name: str) -> bool:
        """Return whether explicitly named files replace a split of the folder, so that the latter is not used."""
        named_splits = self.named_splits
        return ("train" in named_splits and _serves_as(name, "train", "select")) or (
            "val" in named_splits and _serves_as(name, "val", "report")
        )


Data = Path | DataSet
"""A data set, or its folder."""


def _serves_as(name: str, *splits: str) -> bool:
    return any(name == split or name.lower() in (split, *SYNONYMS.get(split, ())) for split in splits)


def folder_of(annotations: Path) -> Path:
    """Return the folder of the data set that an annotation file is part of, by the layouts above.

    It is the file's own folder in any layout, if that has a skeleton file.
    """
    folder = annotations.absolute().parent
    is_below = folder.name == "annotations" or annotations.name == _BESIDE
    return folder.parent if is_below and not (folder / SKELETON_FILE).is_file() else folder


def _annotation_file(root: Path, folder_name: str) -> Path:
    return root / "annotations" / f"{_PREFIX}{folder_name}.json"


def split_names(data: Data) -> list[str]:
    """Return the sorted names of the splits that have an annotation file (`train2017` is `train`)."""
    data = DataSet.of(data)
    splits = _splits_below(data.search_folder) if data.search_folder is not None else {}
    return sorted({*data.named_splits, *(name for name in splits if not data.hides(name))})


def _splits_below(root: Path) -> dict[str, list[SplitFiles]]:
    """Return name -> files of every split below a folder, the preferred ones first.

    Raises DataError if the folder cannot be read.
    """
    try:
        return _scan_folder(root)
    except OSError as error:
        raise DataError(f"{error.filename or root}: cannot be read ({error.strerror}).") from error


def _scan_folder(root: Path) -> dict[str, list[SplitFiles]]:
    splits: dict[str, list[SplitFiles]] = {}

    def add(name: str, annotations: Path, images: Path) -> None:
        splits.setdefault(name, []).append(SplitFiles(name, annotations, images))

    # `train2017` comes before `train`, as in earlier versions.
    stems = [file.stem.removeprefix(_PREFIX) for file in (root / "annotations").glob(f"{_PREFIX}*.json")]
    for stem in sorted(stems, key=lambda stem: (not stem.endswith(_YEAR), stem)):
        add(stem.removesuffix(_YEAR), _annotation_file(root, stem), _image_folder(root, stem))
    for file in sorted(root.glob(f"*/{_BESIDE}")):
        add(file.parent.name.removesuffix(_YEAR), file, file.parent)
    for name in _SINGLE:
        if (file := root / name).is_file() and _holds_object(file):
            add("train", file, root / "images" if (root / "images").is_dir() else root)
    return splits


def _holds_object(file: Path) -> bool:
    """Return whether a JSON file holds an object; COCO's results files, often of the same name, hold a list."""
    try:
        with file.open("rb") as opened:
            return not opened.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    except OSError:
        return True  # reading it raises the error


def _image_folder(root: Path, folder_name: str) -> Path:
    """Return COCO's image folder of an annotation file, or the one beside `annotations` if only that exists."""
    usual, beside = root / "images" / folder_name, root / folder_name
    return beside if beside.is_dir() and not usual.is_dir() else usual


def find_split(data: Data, split: str) -> SplitFiles | None:
    """Return the files of a split, None if it has none. `report` is `val` unless the data set has a `report`.

    Raises DataError if a folder cannot be read.
    """
    data = DataSet.of(data)
    names = [split, "val"] if split == "report" else [split]
    for name in names:
        if name in data.named_splits:
            return data.named_splits[name]
    root = data.search_folder
    if root is None:
        return None
    for name in names:
        for folder_name in (f"{name}{_YEAR}", name):
            annotations = _annotation_file(root, folder_name)
            try:
                exists = annotations.exists()  # for a folder too: reading it raises the error
            except OSError as error:
                raise DataError(f"{annotations}: cannot be read ({error.strerror}).") from error
            if exists and not data.hides(name):
                files = SplitFiles(name, annotations, _image_folder(root, folder_name))
                return _with_notes(files, _splits_below(root).get(name, []))
    splits = {name: files for name, files in _splits_below(root).items() if not data.hides(name)}
    for name in _candidates(split, names, splits):
        return _with_notes(splits[name][0], splits[name], serves_as=split)
    return None


def _candidates(split: str, names: list[str], splits: dict[str, list[SplitFiles]]) -> Iterator[str]:
    """Yield the names of the splits that can serve as ``split``, the best first."""
    yield from (name for name in names if name in splits)
    for synonym in SYNONYMS.get(split, ()):
        yield from (name for name in sorted(splits) if name.lower() == synonym)
    yield from (name for name in sorted(splits) if name.lower() == split)
    if split == "train" and len(splits) == 1:
        yield from (name for name in splits if name.lower() not in _FOR_SCORING)


def _with_notes(files: SplitFiles, same_name: list[SplitFiles], *, serves_as: str = "") -> SplitFiles:
    """Add notes on other files of the same split, and on a split that serves as another."""
    notes = [
        Note(
            str(files.annotations),
            "layout-not-read",
            1,
            f"the split `{files.name}` is read from here; {other.annotations} exists too, and is not read",
        )
        for other in same_name
        if other.annotations != files.annotations
    ]
    if serves_as == "train" and not _serves_as(files.name, "train"):
        text = f"the only split here is `{files.name}`: it serves as `train`"
        notes.append(Note(str(files.annotations), "only-split", 1, text))
    return SplitFiles(files.name, files.annotations, files.images, tuple(notes))


def require_split(data: Data, split: str) -> SplitFiles:
    """Return the files of a split; if there are none, raise DataError that lists the existing splits and files."""
    data = DataSet.of(data)
    root = data.search_folder
    if root is not None and not root.is_dir():
        if root.is_file():
            state = "is not a folder. Give an annotation file with its image folder: --train-annotations FILE "
            raise DataError(f"{root}: {state}--train-images DIR (and --val-annotations, --val-images).")
        state = "is not a folder" if root.exists() else "no such folder"
        raise DataError(
            f"{root}: {state}. A data set is a folder with annotations/person_keypoints_train2017.json and "
            f"images/train2017/; `posebench data synth {root} --images 500` makes one."
        )
    files = find_split(data, split)
    if files is not None:
        return files
    names = split_names(data)
    existing = ", ".join(names) or "none"
    if root is None:
        raise DataError(
            f"{data.folder}: there is no split `{split}`: only the files of {existing} are given, and no data folder."
        )
    file = _annotation_file(root, split + _YEAR)
    text = f"{file}: no such file, so there is no split `{split}` (splits here: {existing})."
    if not names:
        raise DataError(f"{text} {_layout_help(root)}")
    role = "train" if split == "train" else "val"
    remedy = f" To name its files, give --{role}-annotations FILE --{role}-images DIR."
    raise DataError(text + remedy * (split in ("train", "val", "report")))


def _layout_help(root: Path) -> str:
    """Describe the layouts that were tried, and list JSON files that the user may have meant."""
    files = sorted(file for pattern in ("*.json", "*/*.json") for file in root.glob(pattern))
    paths = [file.relative_to(root).as_posix() for file in files[:_SHOWN]]
    more = f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
    json_files = f"JSON files here: {', '.join(paths)}{more}" if paths else "there is no JSON file here"
    return (
        f"Looked for COCO's layout, for train/{_BESIDE} beside its images, and for {_SINGLE[0]} with images/; "
        f"{json_files}. To name other files, give --train-annotations FILE --train-images DIR."
    )


def id_hash(image_id: int) -> int:
    """Return a hash of an image id that is the same on every machine."""
    return int.from_bytes(hashlib.sha256(str(image_id).encode()).digest()[:8], "big")


def in_select(image_id: int) -> bool:
    """Return whether a train image belongs to the derived `select` split: a fixed tenth by hash of the image id."""
    return id_hash(image_id) % SELECT_SHARE == _SELECT


def in_val(image_id: int) -> bool:
    """Return whether a train image belongs to the tenth that stands in for `val`, disjoint from the `select` tenth."""
    return id_hash(image_id) % SELECT_SHARE == _VAL


def fingerprint(data: Data) -> str:
    """Return a short digest of all annotation files, and of what is said about their keypoints, if anything is.

    It identifies a data set wherever its files are. Raises DataError if the skeleton file or the sigmas are unusable.
    """
    data = DataSet.of(data)
    digest = hashlib.sha256()
    for split in split_names(data):
        files = require_split(data, split)
        digest.update(split.encode())
        if files.annotations.is_file():
            with files.annotations.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
    digest.update(read_choice(data).digest.encode())
    return digest.hexdigest()[:16]
