"""Recognition, by content, of files that are given as weights but hold none, with advice. Nothing is unpickled.

Recognized are pointers of Git LFS and git-annex, web pages that a server sent instead of the file, truncated files,
archives that must be unpacked, and models of other frameworks.
"""

import codecs
import json
import re
import struct
import zipfile
from pathlib import Path

HEAD_BYTES = 2048
"""Bytes at the beginning of a file that are inspected."""
LENGTH_BYTES = 8
"""Bytes at the start of a safetensors file that hold the length of its JSON header."""
MAX_HEADER_BYTES = 100_000_000
"""Longest header of a safetensors file, by safetensors' own limit."""
POINTERS = {
    b"version https://git-lfs.github.com/spec": ("Git LFS", "`git lfs pull`"),
    b"/annex/objects/": ("git-annex", "`git annex get FILE`"),
}
"""First bytes of a pointer file: the program's name and the command that fetches the content."""
PACKED = {
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x28\xb5\x2f\xfd": "a Zstandard archive",
}
"""Names of archives by their first bytes."""
FRAMEWORKS = {
    b"\x89HDF": "an HDF5 file, as Keras writes them",
    b"\x93NUMPY": "a NumPy array",
    b"TFL3": "a TFLite model",
}
"""Names of other frameworks' files by their first bytes, or bytes 4 to 7."""
BY_SUFFIX = {
    ".onnx": "an ONNX model",
    ".caffemodel": "a Caffe model",
    ".pb": "a TensorFlow graph",
    ".tflite": "a TFLite model",
    ".engine": "a TensorRT engine",
}
"""Names of other frameworks' files by their suffix."""
STATE_DICT = "Give a file of torch.save(model.state_dict(), FILE), or its safetensors file."
FETCH_AGAIN = "Fetch it again, and compare its size with what its source says."
IMPORT = (
    "Convert weights of another program with `posebench weights import {path} --format FORMAT --out FILE.safetensors`."
)


def weights_problem(path: Path) -> str:
    """Say why a file cannot hold weights, and what to do; return "" if it looks like a PyTorch or safetensors file.

    The text is written to follow the file's path: "is empty. Fetch it again ...".
    """
    if path.is_dir():
        weights = sorted(file.name for pattern in ("*.safetensors", "*.pt*") for file in path.glob(pattern))
        return f"is a folder. Give the file in it: {', '.join(weights[:3]) or 'there are no weights there'}."
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except FileNotFoundError:
        return "no such file."
    except OSError as error:
        return f"cannot be read ({error.strerror})."
    if not size:
        return f"is empty. {FETCH_AGAIN}"
    if _begins_as_safetensors(head):
        return _safetensors(path, head, size)
    return _pointer(head) or _text(head) or _other(path, head) or _zip(path, head, size)


def is_pytorch(path: Path) -> bool:
    """Return whether a file begins like those of `torch.save`: as a zip archive or, in old versions, a pickle."""
    try:
        with path.open("rb") as file:
            head = file.read(LENGTH_BYTES + 1)
    except OSError:
        return False
    return head.startswith((b"PK\x03\x04", b"\x80")) and not _begins_as_safetensors(head)


def _begins_as_safetensors(head: bytes) -> bool:
    """Return whether a file begins with a valid header length and the header's first character.

    The first byte alone decides nothing: 128 also begins a pickle.
    """
    return (
        head[LENGTH_BYTES : LENGTH_BYTES + 1] == b"{"
        and struct.unpack("<Q", head[:LENGTH_BYTES])[0] <= MAX_HEADER_BYTES
    )


def _pointer(head: bytes) -> str:
    for magic, (name, command) in POINTERS.items():
        if head.startswith(magic):
            return f"is a pointer of {name}: the weights themselves were not fetched. Run {command} in its repository."
    return ""


def _text(head: bytes) -> str:
    """Describe a web page, a server's message or another text; return "" if the file is binary."""
    begins = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if begins.startswith((b"<!doctype html", b"<html", b"<head", b"<script")):
        title = re.search(rb"<title[^>]*>\s*(.*?)\s*</title>", head, re.IGNORECASE | re.DOTALL)
        named = f" ({title[1].decode('utf-8', 'replace')!r})" if title else ""
        return f"is a web page{named}: the server showed it instead of the file. Download the file itself."
    if begins.startswith((b"<?xml", b"<error", b"{")) and _is_text(head):
        line = head.decode("utf-8", "replace").strip().splitlines()[0][:80]
        return f"is a text, beginning {line!r}: perhaps the error message of a server. {FETCH_AGAIN}"
    if _is_text(head):
        lines = head.decode("utf-8", "replace").strip().splitlines()
        return f"is a text, beginning {(lines[0] if lines else '')[:80]!r}. {STATE_DICT}"
    return ""


def _is_text(head: bytes) -> bool:
    """Return whether all bytes are printable UTF-8; a character cut off at the end of ``head`` is ignored."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < HEAD_BYTES)
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character in "\t\r\n\f" for character in text)


def _other(path: Path, head: bytes) -> str:
    if head[257:262] == b"ustar":
        return "is a tar archive. Unpack it, and give the file of weights in it."
    for magic, kind in PACKED.items():
        if head.startswith(magic):
            return f"is {kind}. Unpack it, and give the file of weights in it."
    for magic, kind in FRAMEWORKS.items():
        if head.startswith(magic) or head[4:8] == magic:
            return f"is {kind}, not weights of PyTorch. {STATE_DICT}"
    if path.suffix.lower() in BY_SUFFIX and not is_pytorch(path):
        return f"is {BY_SUFFIX[path.suffix.lower()]}, not weights of PyTorch. {STATE_DICT}"
    return ""


def _safetensors(path: Path, head: bytes, size: int) -> str:
    """Describe a safetensors file that ends before its tensors do; return "" if it is complete."""
    (length,) = struct.unpack("<Q", head[:LENGTH_BYTES])
    needed = LENGTH_BYTES + length
    if needed <= size:
        with path.open("rb") as file:
            needed += _tensor_bytes(file.read(needed)[LENGTH_BYTES:])
    return f"is cut off: it has {size:,} of {needed:,} bytes. {FETCH_AGAIN}" if size < needed else ""


def _tensor_bytes(header: bytes) -> int:
    """Return the bytes of all tensors that a header lists; 0 if it cannot be read."""
    try:
        document = json.loads(header)
        ends = [int(each["data_offsets"][1]) for name, each in document.items() if name != "__metadata__"]
        return max(ends, default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError):
        return 0


def _zip(path: Path, head: bytes, size: int) -> str:
    """Describe a zip archive that is truncated, or was not written by `torch.save`; return "" for any other file."""
    if not head.startswith(b"PK\x03\x04"):
        return ""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return f"is cut off: the end of its archive is missing ({size:,} bytes are there). {FETCH_AGAIN}"
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
        return f"is a TorchScript program, no state dict. {STATE_DICT}"
    if any(name.endswith("data.pkl") for name in names):
        return ""
    if names and all(name.endswith(".npy") for name in names):
        return f"is an archive of NumPy arrays, not weights of PyTorch. {STATE_DICT}"
    return f"is a zip archive ({', '.join(names[:3])} ...). Unpack it, and give the file of weights in it."
