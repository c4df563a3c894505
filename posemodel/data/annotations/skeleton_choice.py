"""Read what a user says about the keypoints of a data set: `category`, a skeleton file (TOML) and a file of sigmas.

A skeleton file is named by ``DataFiles.skeleton_file``, or is the `skeleton.toml` in the data set's folder. All of its
fields are optional:

    name = "hand"
    category = "hand"
    keypoints = ["wrist", "thumb_1", "thumb_2"]    # for annotation files that name none
    limbs = [["wrist", "thumb_1"], ["thumb_1", "thumb_2"]]
    mirror = [["left_eye", "right_eye"]]           # or []: pictures are never flipped
    sigmas = { wrist = 0.03 }                      # or a list, in the keypoints' order
    [derived]
    neck = ["right_shoulder", "left_shoulder"]     # the mean of these
"""

import hashlib
import json
import re
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, ValidationError

from posemodel.config import Settings, first_problem
from posemodel.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from posemodel.data.layout import DataSet  # its digest of a data set needs this module

SKELETON_FILE = "skeleton.toml"
"""Name of a skeleton file that is found in a data set's folder by itself."""
SIGMA_FORMS = (
    "a JSON or TOML list of numbers, a table of names and numbers, or a text file with a line `NUMBER` or `NAME "
    "NUMBER` for each keypoint"
)
_BETWEEN = re.compile(r"\s*[\s,;:=]\s*")
"""What separates a name from its number, or numbers, in a text file of sigmas."""

Sigma = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
Pair = tuple[str, str]


@dataclass(frozen=True)
class SkeletonChoice:
    """What a user says about the keypoints of a data set; what is None or empty is left to the annotation file."""

    name: str | None = None
    """Name of the object in texts."""
    category: str | None = None
    """Name of the category whose annotations are read."""
    keypoints: tuple[str, ...] | None = None
    """Names of the keypoints, in the annotations' order, for categories that do not list as many."""
    limbs: tuple[Pair, ...] | None = None
    mirror: tuple[Pair, ...] | None = None
    """Pairs of parts that a flip exchanges, the left one first; empty: pictures are not flipped."""
    sigmas: tuple[float, ...] | None = None
    """OKS sigmas in the annotations' order; they are refused where annotations are put into another one."""
    sigma_of: tuple[tuple[str, float], ...] = ()
    """OKS sigmas of some keypoints, by name."""
    derived: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Parts that are the mean of keypoints."""
    file: str = field(default="", compare=False)
    """The skeleton file, for errors."""
    sigmas_file: str = field(default="", compare=False)
    """The file of the sigmas, for errors."""

    digest: str = field(default="", compare=False)
    """Digest of all that is chosen, which is computed; empty if nothing is."""

    def __post_init__(self) -> None:
        chosen = {each.name: getattr(self, each.name) for each in fields(self) if each.compare}
        if chosen == {each.name: each.default for each in fields(self) if each.compare}:
            object.__setattr__(self, "digest", "")
        else:
            text = json.dumps(chosen, sort_keys=True)
            object.__setattr__(self, "digest", hashlib.sha256(text.encode()).hexdigest()[:16])


NO_CHOICE = SkeletonChoice()


class _SkeletonFile(Settings):
    """Fields of a skeleton file."""

    name: str | None = None
    category: str | None = None
    keypoints: tuple[str, ...] | None = Field(default=None, min_length=1)
    limbs: tuple[Pair, ...] | None = None
    mirror: tuple[Pair, ...] | None = None
    sigmas: Any = None
    derived: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = {}  # noqa: RUF012 (pydantic copies it)


class _SigmaList(Settings):
    sigmas: tuple[Sigma, ...]


class _SigmaTable(Settings):
    sigmas: dict[str, Sigma]


def read_choice(data: "DataSet") -> SkeletonChoice:
    """Read what is said about the keypoints of a data set: its ``files``, else the `skeleton.toml` in its folder.

    ``files.category`` and ``files.sigmas`` count more than those of a skeleton file. Raises DataError that names the
    file, the field and the remedy.
    """
    files = data.files
    path = files.skeleton_file or _file_in(data.search_folder)
    chosen = {} if path is None else _read_skeleton_file(path)
    if files.sigmas is not None:
        chosen |= {"sigmas": None, "sigma_of": ()} | _read_sigmas_file(files.sigmas)
    if files.category is not None:
        chosen["category"] = files.category
    return SkeletonChoice(**chosen)


def _file_in(folder: Path | None) -> Path | None:
    """Return the skeleton file in a folder, if there is one."""
    if folder is None:
        return None
    path = folder / SKELETON_FILE
    try:
        return path if path.is_file() else None
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror}).") from error


def _read_skeleton_file(path: Path) -> dict[str, Any]:
    document = _toml(_text_of(path), path)
    for name in document:
        if name not in _SkeletonFile.model_fields:
            known = ", ".join(_SkeletonFile.model_fields)
            raise DataError(
                f"{path}: {name}: a skeleton file has no such field.{did_you_mean(name, _SkeletonFile.model_fields)} "
                f"Fields: {known}."
            )
    try:
        read = _SkeletonFile.model_validate(document)
    except ValidationError as error:
        raise DataError(
            f"{path}: {first_problem(error)}. Keypoints are names; limbs and mirror are lists of pairs of names, as in "
            'limbs = [["wrist", "thumb_1"]]; a derived part is a list of keypoints.'
        ) from error
    chosen = {name: getattr(read, name) for name in ("name", "category", "keypoints", "limbs", "mirror")}
    chosen |= {"derived": tuple(read.derived.items()), "file": str(path)}
    return chosen | ({} if read.sigmas is None else _checked_sigmas(read.sigmas, path))


def _read_sigmas_file(path: Path) -> dict[str, Any]:
    text = _text_of(path)
    if path.suffix.lower() == ".toml":
        document: Any = _toml(text, path)
    elif text.lstrip().startswith(("[", "{")):
        try:
            document = json.loads(text)
        except ValueError as error:
            raise DataError(f"{path}: is not valid JSON ({error}). It must be {SIGMA_FORMS}.") from error
    else:
        return _checked_sigmas(_sigmas_of_lines(text, path), path)
    return _checked_sigmas(document.get("sigmas", document) if isinstance(document, dict) else document, path)


def _sigmas_of_lines(text: str, path: Path) -> list[float] | dict[str, float]:
    """Read lines of numbers, or of a name and a number; `#` begins a comment."""
    numbers: list[float] = []
    named: dict[str, float] = {}
    for count, written in enumerate(text.splitlines(), 1):
        line = written.partition("#")[0].strip().rstrip(",;")
        *before, last = _BETWEEN.split(line)
        try:
            if all(map(_is_number, before)):
                numbers += [float(each) for each in (*before, last) if each]
            else:
                named[line[: line.rindex(last)].rstrip(" \t,;:=").strip("\"'")] = float(last)
        except ValueError:
            raise DataError(
                f"{path}:{count}: sigmas: `{line[:40]}` ends in no number. It must be {SIGMA_FORMS}."
            ) from None
    if named and numbers:
        raise DataError(f"{path}: sigmas: some lines have a name and some have none: name all keypoints, or none.")
    return named or numbers


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _checked_sigmas(value: Any, path: Path) -> dict[str, Any]:
    """Return sigmas as fields of ``SkeletonChoice``."""
    try:
        if isinstance(value, dict):
            return {"sigma_of": tuple(_SigmaTable(sigmas=value).sigmas.items()), "sigmas_file": str(path)}
        return {"sigmas": _SigmaList(sigmas=value).sigmas, "sigmas_file": str(path)}
    except ValidationError as error:
        raise DataError(
            f"{path}: {first_problem(error)}. Sigmas are numbers above 0, relative to the object's size (COCO's are "
            f"0.025 to 0.107): {SIGMA_FORMS}."
        ) from error


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text: save it as UTF-8.") from error


def _toml(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"{path}: is not valid TOML ({error}).") from error
