"""A folder as one tar file whose every byte is checked when it is read back."""

import json
import tarfile
import zlib
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO, Any

from posemodel.errors import CheckpointError

MANIFEST = "checkpoint.json"
"""First member of a tar file: study, trial, digest of its settings, and size and CRC-32 of each other member."""
_CHUNK = 1 << 20
"""Bytes read at once."""


def pack(folder: Path, tar: Path, about: dict[str, Any]) -> None:
    """Write all files of ``folder`` to a tar file, after a manifest."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sums: dict[str, tuple[int, int]] = {}
    for path in files:
        with path.open("rb") as file:
            sums[path.relative_to(folder).as_posix()] = _sum_of(file)
    manifest = json.dumps({**about, "files": sums}).encode()
    with tarfile.open(tar, "w", dereference=True) as archive:
        member = tarfile.TarInfo(MANIFEST)
        member.size = len(manifest)
        archive.addfile(member, BytesIO(manifest))
        for name, path in zip(sums, files, strict=True):
            archive.add(path, name)


def unpack(tar: Path, folder: Path, expected: dict[str, Any]) -> None:
    """Write the files in a tar file to ``folder``; CheckpointError if it is damaged, or not the expected one's."""
    with tarfile.open(tar, "r:") as archive:
        first = archive.next()
        if first is None or first.name != MANIFEST:
            raise CheckpointError("is no checkpoint of a trial")
        manifest = json.loads(_content(archive, first).read())
        other = [f"{key} {manifest.get(key)!r}" for key, value in expected.items() if manifest.get(key) != value]
        if other:
            raise CheckpointError(f"is another one's ({', '.join(other)})")
        sums = {name: tuple(each) for name, each in manifest["files"].items()}
        while (member := archive.next()) is not None:
            _check_name(member.name)
            with _content(archive, member) as content, _new_file(folder / member.name) as file:
                if _sum_of(content, file) != sums.pop(member.name, None):
                    raise CheckpointError(f"is damaged (in {member.name})")
        if sums:
            raise CheckpointError(f"is damaged (it lacks {', '.join(sums)})")


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = archive.extractfile(member)
    if content is None:
        raise CheckpointError(f"is damaged ({member.name} is no file)")
    return content


def _check_name(name: str) -> None:
    """Raise CheckpointError for a member that would be written outside the folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or Path(name).is_absolute():
        raise CheckpointError(f"is damaged (in {name})")


def _new_file(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("wb")


def _sum_of(file: IO[bytes], copy: IO[bytes] | None = None) -> tuple[int, int]:
    """Return size and CRC-32 of a file, which is copied on the way if ``copy`` is given."""
    size = crc = 0
    while chunk := file.read(_CHUNK):
        size, crc = size + len(chunk), zlib.crc32(chunk, crc)
        if copy is not None:
            copy.write(chunk)
    return size, crc
