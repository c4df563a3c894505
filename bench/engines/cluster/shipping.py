"""The modules of the working folder, as one zip file that goes to each node of a cluster."""

import io
import os
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

from posemodel.errors import SettingsError

MOST_BYTES = 50 * 2**20
"""Largest sum of the files' sizes."""
LARGEST_BYTES = 5 * 2**20
"""Larger files are no modules, and stay."""
MOST_FILES = 5000
LEFT_OUT = frozenset(
    ("data", "reports", "mlartifacts", "mlruns", "runs", "node_modules", "__pycache__", "site-packages", "studies")
)
"""Names of folders that hold no modules."""
NO_MODULES = frozenset(
    (
        *(".db", ".db-wal", ".db-shm", ".sqlite", ".pyc", ".log"),
        *(".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"),
        *(".safetensors", ".pt", ".pth", ".ckpt", ".onnx", ".npy", ".npz", ".zip", ".tar", ".gz", ".parquet"),
    )
)
"""Ends of the names of files that are data."""


def pack(folder: Path, data: Path) -> bytes:
    """Return the files of a working folder that its own modules may need, as a zip file.

    Left out are the data set, what posebench writes, hidden files, pictures and weights, what git ignores, and files
    over `LARGEST_BYTES`.

    Raises SettingsError if the rest is too much to send to each node.
    """
    buffer, total, number = io.BytesIO(), 0, 0
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in _files(folder, data.resolve()):
            try:
                size = path.stat().st_size
            except OSError:
                continue  # it is gone
            if size > LARGEST_BYTES:
                continue
            total, number = total + size, number + 1
            if total > MOST_BYTES or number > MOST_FILES:
                raise SettingsError(
                    f"engine: {folder} holds more than {MOST_BYTES >> 20} MiB or {MOST_FILES} files that could be "
                    "modules of the study, too much to send to each node. Start the study in a folder of its own, or "
                    "name in .gitignore what is not needed."
                )
            archive.write(path, path.relative_to(folder).as_posix())
    return buffer.getvalue()


def _files(folder: Path, data: Path) -> Iterator[Path]:
    kept = _not_ignored(folder)
    for parent, folders, files in os.walk(folder):
        here = Path(parent)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name not in LEFT_OUT
            and (here / name).resolve() != data
            and not (here / name / "pyvenv.cfg").exists()
        )
        for name in sorted(files):
            path = here / name
            if name.startswith(".") or path.suffix.lower() in NO_MODULES or not path.is_file():
                continue
            if kept is None or path.relative_to(folder).as_posix() in kept:
                yield path


def _not_ignored(folder: Path) -> set[str] | None:
    """Return the files that git does not ignore, relative to the folder; None outside a repository, or without git."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=folder, capture_output=True, check=True, text=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return {*listed.stdout.split("\0")}
