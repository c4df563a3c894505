"""Folder of a synthetic data set: which files are its own, which images are finished and intact, and atomic writing."""

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from posemodel.atomic_write import TEMPORARY_SUFFIX, atomic_path, remove_temporary_files
from posemodel.synthetic.numbered import SPLITS, Entry, file_name, split_of

MARKER = "synthetic.json"
"""File that marks a folder as a synthetic set, with its parameters and whether it is complete."""
CHECKSUMS = "synthetic.checksums.json"
"""File of a complete set: size in bytes and CRC-32 of every image and annotation file."""
_PROGRESS = "synthetic.progress.jsonl"
"""File of an unfinished set: a line for each finished image, {"entry": ..., "checksum": [size, CRC-32]}."""

Checksum = list[int]
"""Size in bytes and CRC-32 of a file."""


class Store:
    """Folder of one synthetic set; only one process at a time may write to it.

    Opening raises FileExistsError if the folder holds other files, or a set with other parameters.
    """

    def __init__(self, directory: Path, parameters: dict[str, Any], image_ids: set[int]) -> None:
        self.directory = directory
        self.entries: dict[int, Entry] = {}
        """Entries of the images that are on disk and intact, by image id."""
        self._parameters = parameters
        self._checksums: dict[str, Checksum] = {}
        marked_complete = _claim(directory, parameters)
        annotations_intact = self._read_existing(image_ids)
        self.complete = marked_complete and annotations_intact and len(self.entries) == len(image_ids)
        if self.complete:
            (directory / _PROGRESS).unlink(missing_ok=True)  # left if the process was killed just before removing it

    def begin(self) -> None:
        """Mark the set as unfinished, and remove half-written files of a killed process."""
        _write_json(self.directory / MARKER, {**self._parameters, "complete": False})
        for folder in (self.directory / "annotations", *(self._image_folder(split) for split in SPLITS)):
            folder.mkdir(parents=True, exist_ok=True)
            remove_temporary_files(folder)

    def add(self, jpeg: bytes, entry: Entry) -> None:
        """Write one image; it counts as done once its line is in the progress file."""
        number = entry["image"]["id"]
        file = self._image_file(number)
        _write_bytes(file, jpeg)
        checksum = _checksum(jpeg)
        with (self.directory / _PROGRESS).open("a", encoding="utf-8") as progress:
            progress.write(json.dumps({"entry": entry, "checksum": checksum}) + "\n")
        self.entries[number] = entry
        self._checksums[self._name(file)] = checksum

    def finish(self, annotations: dict[str, dict[str, Any]]) -> None:
        """Write the annotation files (by split) and the checksums, and mark the set as complete."""
        for split, content in annotations.items():
            file = self._annotation_file(split)
            self._checksums[self._name(file)] = _write_json(file, content)
        _write_json(self.directory / CHECKSUMS, self._checksums)
        _write_json(self.directory / MARKER, {**self._parameters, "complete": True})
        (self.directory / _PROGRESS).unlink(missing_ok=True)

    # --- results of an earlier call ---------------------------------------------------------------------------------

    def _read_existing(self, image_ids: set[int]) -> bool:
        """Collect the intact images and their entries; return whether all annotation files are intact."""
        recorded = _read_json(self.directory / CHECKSUMS)
        candidates: dict[int, tuple[Entry, Checksum | None]] = {}
        annotations_intact = True
        for split in SPLITS:
            file = self._annotation_file(split)
            content = file.read_bytes() if file.is_file() else b""
            if not content or recorded.get(self._name(file)) != _checksum(content):
                annotations_intact = False
                continue
            self._checksums[self._name(file)] = _checksum(content)
            for entry in _entries(json.loads(content)):
                number = entry["image"]["id"]
                candidates[number] = (entry, recorded.get(self._name(self._image_file(number))))
        for line in self._progress():
            candidates[line["entry"]["image"]["id"]] = (line["entry"], line["checksum"])
        for number in sorted(candidates.keys() & image_ids):
            entry, checksum = candidates[number]
            file = self._image_file(number)
            # The size is compared first, without reading the file.
            if checksum and file.is_file() and file.stat().st_size == checksum[0]:
                if _checksum(file.read_bytes()) != checksum:
                    continue
                self.entries[number] = entry
                self._checksums[self._name(file)] = checksum
        return annotations_intact

    def _progress(self) -> Iterator[dict[str, Any]]:
        progress = self.directory / _PROGRESS
        if not progress.exists():
            return
        content = progress.read_bytes()
        complete_lines = content[: content.rfind(b"\n") + 1]
        if complete_lines != content:  # a line cut off by an interruption must not merge with the next
            _write_bytes(progress, complete_lines)
        for line in complete_lines.splitlines():
            try:
                yield json.loads(line)
            except ValueError:  # a power cut may leave garbage: that image is made again
                continue

    def _image_folder(self, split: str) -> Path:
        return self.directory / "images" / f"{split}2017"

    def _image_file(self, number: int) -> Path:
        return self._image_folder(split_of(number)) / file_name(number)

    def _annotation_file(self, split: str) -> Path:
        return self.directory / "annotations" / f"person_keypoints_{split}2017.json"

    def _name(self, file: Path) -> str:
        return file.relative_to(self.directory).as_posix()


def read_marker(directory: Path) -> dict[str, Any] | None:
    """Return a synthetic set's parameters (`images`, `seed`, `size`, `complete`); None for any other folder."""
    marker = _read_json(directory / MARKER)
    return marker if {"images", "seed"} <= marker.keys() else None


def _claim(directory: Path, parameters: dict[str, Any]) -> bool:
    """Check that the directory is ours to write to, if there is one; return whether its set is complete.

    Raises:
        FileExistsError: It holds other files, or a set with other parameters.
    """
    if directory.is_dir():
        if not (directory / MARKER).exists():
            if any(path.name != f"{MARKER}{TEMPORARY_SUFFIX}" for path in directory.iterdir()):
                raise FileExistsError(
                    f"{directory} already holds files that are no synthetic set (there is no {MARKER}): "
                    "choose a new or an empty folder"
                )
            return False
        marker = _read_json(directory / MARKER)
        differing = [
            f"{key} {marker.get(key)!r}, not {value!r}" for key, value in parameters.items() if marker.get(key) != value
        ]
        if differing:
            raise FileExistsError(
                f"{directory} holds a synthetic set of other parameters ({'; '.join(differing)}): "
                "choose another folder, ask for the same parameters, or remove the folder yourself"
            )
        return marker.get("complete") is True
    if directory.exists():
        raise FileExistsError(f"{directory} is a file, not a folder: choose another name")
    return False


def _entries(content: dict[str, Any]) -> Iterator[Entry]:
    by_image: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in content["images"]}
    for annotation in content["annotations"]:
        by_image[annotation["image_id"]].append(annotation)
    yield from ({"image": image, "annotations": by_image[image["id"]]} for image in content["images"])


def _checksum(content: bytes) -> Checksum:
    """Return size and CRC-32, which detect damage but not forgery."""
    return [len(content), zlib.crc32(content)]


def _read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; empty if there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write_json(path: Path, content: dict[str, Any]) -> Checksum:
    encoded = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded)
    return _checksum(encoded)


def _write_bytes(path: Path, content: bytes) -> None:
    """Write a file completely or not at all, even if the process is killed; checksums detect damage by a power cut."""
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    temporary.write_bytes(content)
    temporary.replace(path)
