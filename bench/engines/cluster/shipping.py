"""The modules of the working folder, as one zip file that goes to each node of a cluster."""

import io
import os
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from posemodel.errors import SettingsError

MOST_BYTES = 50 * 2**20
"""Largest sum of the files' sizes."""
LARGEST_BYTES = 5 * 2**20
"""Larger data files stay; modules may be larger."""
MOST_FILES = 5000
NO_MODULES = frozenset(("__pycache__", "node_modules", "site-packages"))
"""Names of folders that hold no modules of one's own."""
WRITTEN = frozenset(("data", "mlartifacts", "mlruns", "reports", "runs"))
"""Names of folders at the top that hold data and results; one with a Python file in it is a package."""
MODULES = frozenset((".py", ".so"))
PACKAGE_DATA = frozenset((".cfg", ".csv", ".ini", ".json", ".toml", ".txt", ".yaml", ".yml"))
"""Ends of the names of files that a module may read from its own package."""
WHAT_IS_SENT = "the Python files of the folder that the study was started in, and small text files of its packages"
EARLIEST = (1980, 1, 1, 0, 0, 0)
"""Time of all files in the zip file: the earliest that it can hold."""


def pack(folder: Path, data: Path) -> bytes:
    """Return the modules of a working folder, and small text files of its packages, as a zip file.

    Left out are the data set, results, hidden files, virtual environments, what git ignores, and what cannot be read.

    Raises SettingsError if the rest is too much to send to each node.
    """
    buffer, total, number = io.BytesIO(), 0, 0
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, name in _files(folder, data.resolve()):
            try:
                name.encode()
                size = path.stat().st_size
                if path.suffix in PACKAGE_DATA and size > LARGEST_BYTES:
                    continue
                total, number = total + size, number + 1
                if total > MOST_BYTES or number > MOST_FILES:
                    raise SettingsError(
                        f"engine: {folder} holds more than {MOST_BYTES >> 20} MiB or {MOST_FILES} files that could be "
                        "modules of the study, too much to send to each node. Start the study in a folder of its own."
                    )
                archive.writestr(zipfile.ZipInfo(name, EARLIEST), path.read_bytes(), zipfile.ZIP_DEFLATED)
            except (OSError, UnicodeEncodeError):
                continue  # it is gone, or not to be read: whoever imports it is told there
    return buffer.getvalue()


def _files(folder: Path, data: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files that may be sent, each with its name in the zip file."""
    kept, seen = _not_ignored(folder), {folder.resolve(), data}
    pending = [folder]
    while pending:
        here = pending.pop()
        folders, files = _entries(here)
        sent = MODULES | PACKAGE_DATA if here != folder and "__init__.py" in files else MODULES
        for path in map(here.joinpath, files):
            name = path.relative_to(folder).as_posix()
            if path.suffix in sent and path.is_file() and _is_kept(name, kept):
                yield path, name
        for path in map(here.joinpath, folders):
            inside = path.resolve()
            if inside not in seen and _may_hold_modules(path, at_top=here == folder):
                seen.add(inside)
                pending.append(path)


def _entries(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of folders and of files in a folder, without hidden ones; the files of a large data set are not
    looked at one by one."""
    folders: list[str] = []
    files: list[str] = []
    with suppress(OSError), os.scandir(folder) as found:
        for each in found:
            if not each.name.startswith("."):
                (folders if each.is_dir() else files).append(each.name)
    return sorted(folders), sorted(files)


def _may_hold_modules(folder: Path, *, at_top: bool) -> bool:
    if folder.name in NO_MODULES or (folder / "pyvenv.cfg").exists():
        return False
    if folder.is_symlink():
        return (folder / "__init__.py").exists()
    return not (at_top and folder.name in WRITTEN) or any(name.endswith(".py") for name in _entries(folder)[1])


def _is_kept(name: str, kept: set[str] | None) -> bool:
    """Return whether git does not ignore a file; what is in a linked folder or a submodule it does not list."""
    return kept is None or name in kept or any(each.as_posix() in kept for each in PurePosixPath(name).parents)


def _not_ignored(folder: Path) -> set[str] | None:
    """Return the files and links that git does not ignore, relative to the folder; None outside a repository, or
    without git."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=folder, capture_output=True, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return {os.fsdecode(each) for each in listed.stdout.split(b"\0") if each}
