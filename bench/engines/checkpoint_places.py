"""Places for checkpoints that all workers share: a folder, or a folder of a file system of fsspec."""

import os
import re
import shutil
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from fsspec.core import url_to_fs

from bench.storage.masking import masked
from posemodel.errors import SettingsError

OBJECT_STORES = frozenset(("abfs", "abfss", "adl", "az", "gcs", "gs", "oci", "oss", "s3", "s3a"))
"""Schemes whose objects appear whole or not at all, and cannot be renamed without copying them."""
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_HALF_A_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/?(?!/)")
_PART = ".part"
"""End of the name of an incomplete file."""


class Place(Protocol):
    """Files in a shared place; paths are relative to it."""

    def read(self, path: str, copy: Path) -> bool:
        """Copy a file to a local one; False if there is none."""

    def write(self, path: str, file: Path) -> None:
        """Copy a local file, which replaces an existing one as a whole."""

    def remove(self, path: str) -> None:
        """Remove a file, if there is one, and what broken-off copies of it have left."""

    def names(self, folder: str) -> list[str]:
        """Return the names of the files in a folder; none if there is no such folder."""


def open_place(text: str) -> tuple[str, Place]:
    """Return the name in messages, without passwords, and the files of a folder, or of a URL of a file system that
    fsspec knows; nothing is written.

    Raises SettingsError for something else, or if the package for that kind of URL is missing.
    """
    scheme = _SCHEME.match(text)
    if scheme is not None and scheme[1].lower() != "file":
        return masked(text, text), _open_url(text)
    return text, _Folder(_folder_of(text))


def place_anywhere(text: str) -> str:
    """Return the text of a place that means the same in each folder: a relative path is absolute in it."""
    scheme = _SCHEME.match(text)
    return text if scheme is not None and scheme[1].lower() != "file" else str(_folder_of(text))


class _Folder:
    """A folder that this process sees as one, such as on a shared file system."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, path: str, copy: Path) -> bool:
        try:
            shutil.copyfile(self.root / path, copy)
        except FileNotFoundError:
            return False
        return True

    def write(self, path: str, file: Path) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f"{target.name}.{host_and_process()}{_PART}")
        try:
            shutil.copyfile(file, temporary)
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def remove(self, path: str) -> None:
        target = self.root / path
        target.unlink(missing_ok=True)
        for leftover in target.parent.glob(f"{target.name}.*{_PART}"):  # of processes that were killed
            leftover.unlink(missing_ok=True)

    def names(self, folder: str) -> list[str]:
        try:
            return [path.name for path in (self.root / folder).iterdir()]
        except FileNotFoundError:
            return []


class _Remote:
    """A folder of a file system of fsspec."""

    def __init__(self, files: Any, root: str) -> None:
        self.files, self.root = files, root.rstrip("/")
        schemes = {files.protocol} if isinstance(files.protocol, str) else {*files.protocol}
        self.is_object_store = bool(schemes & OBJECT_STORES)

    def read(self, path: str, copy: Path) -> bool:
        self.files.invalidate_cache()  # another machine may have written it
        try:
            self.files.get_file(f"{self.root}/{path}", str(copy))
        except FileNotFoundError:
            return False
        return True

    def write(self, path: str, file: Path) -> None:
        target = f"{self.root}/{path}"
        if self.is_object_store:
            self.files.put_file(str(file), target)
            return
        self.files.makedirs(target.rpartition("/")[0], exist_ok=True)
        temporary = f"{target}.{host_and_process()}{_PART}"
        try:
            self.files.put_file(str(file), temporary)
            self.files.mv(temporary, target)
        except BaseException:
            with suppress(Exception):  # the error that is raised says more
                self.files.rm_file(temporary)
            raise

    def remove(self, path: str) -> None:
        target = f"{self.root}/{path}"
        with suppress(FileNotFoundError):
            self.files.rm_file(target)
        if self.is_object_store:
            return
        folder, _, name = path.rpartition("/")
        with suppress(Exception):  # of processes that were killed: nobody misses these files
            for leftover in self.names(folder):
                if leftover.startswith(f"{name}.") and leftover.endswith(_PART):
                    self.files.rm_file(f"{target}{leftover.removeprefix(name)}")

    def names(self, folder: str) -> list[str]:
        self.files.invalidate_cache()
        try:
            paths = self.files.ls(f"{self.root}/{folder}", detail=False)
        except FileNotFoundError:
            return []
        return [path.rstrip("/").rpartition("/")[2] for path in paths]


def _folder_of(text: str) -> Path:
    """Return the folder that a path or a URL `file://` names."""
    if not text.strip():
        raise SettingsError("checkpoints: is empty. Give a folder or a URL.")
    if _SCHEME.match(text):
        parts = urlsplit(text)
        if parts.netloc not in ("", "localhost"):
            host = parts.netloc.rpartition("@")[2]
            raise SettingsError(f"checkpoints {masked(text)}: a folder's URL has three slashes, file:///{host}/...")
        return Path(unquote(parts.path))
    half = _HALF_A_SCHEME.match(text)
    if half is not None and not Path(text).exists():
        url = f"{half[1]}://{text[half.end() :]}"
        public = masked(url, url)
        typed = text[: half.end()] + public.removeprefix(f"{half[1]}://")  # alone, nothing in it is like an address
        raise SettingsError(f"checkpoints {typed}: did you mean {public}?")
    return Path(text).expanduser().absolute()


def _open_url(url: str) -> _Remote:
    try:
        files, root = url_to_fs(url)
    except Exception as error:  # an unknown scheme, a missing package, a server that refuses
        raise SettingsError(
            f"checkpoints {masked(url, url)}: cannot be opened ({said(error, url)}). Give a folder, or a URL whose "
            "package is installed here and on the other workers' machines (s3fs for s3://, gcsfs for gs://)."
        ) from error
    return _Remote(files, root)


def host_and_process() -> str:
    """Return a name for this process that no other process of any machine has now."""
    return f"{socket.gethostname()}-{os.getpid()}"


def said(error: BaseException, address: str = "") -> str:
    """Return an error's message in one line without passwords, those of an address neither, or its type if it has
    none."""
    return masked(" ".join(str(error).split()) or type(error).__name__, address)
