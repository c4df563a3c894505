"""Files that are no weights, named for what they are: by their content, with what to do about it. Nothing is unpickled.

What stands where a checkpoint should: a pointer of Git LFS, the page that a download server showed instead, half a
file, an archive that is still packed, another framework's model.
"""

import json
import re
import struct
import zipfile
from pathlib import Path

HEAD_BYTES = 2048
LENGTH_BYTES = 8
"""Of a safetensors file: the length of the JSON header that follows."""
MOST_HEADER = 100_000_000
"""Bytes of a header, at most: safetensors' own limit."""
POINTERS = {
    b"version https://git-lfs.github.com/spec": ("Git LFS", "`git lfs pull`"),
    b"/annex/objects/": ("git-annex", "`git annex get FILE`"),
}
PACKED = {
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x28\xb5\x2f\xfd": "a Zstandard archive",
}
FRAMEWORKS = {
    b"\x89HDF": "an HDF5 file, as Keras writes them",
    b"\x93NUMPY": "a NumPy array",
    b"TFL3": "a TFLite model",
}
BY_SUFFIX = {
    ".onnx": "an ONNX model",
    ".caffemodel": "a Caffe model",
    ".pb": "a TensorFlow graph",
    ".tflite": "a TFLite model",
    ".engine": "a TensorRT engine",
}
STATE_DICT = "Give a file of torch.save(model.state_dict(), FILE), or its safetensors file."
FETCH_AGAIN = "Fetch it again, and compare its size with what its source says."
IMPORT = (
    "Weights of another program become a checkpoint by `posebench weights import {path} --format FORMAT --out "
    "FILE.safetensors`."
)


def misfit(path: Path) -> str:
    """What a file is that holds no weights, and what to do; empty where its content looks like weights.

    A sentence or two without the path. Both PyTorch's files and safetensors look like weights.
    """
    if path.is_dir():
        inside = sorted(found.name for pattern in ("*.safetensors", "*.pt*") for found in path.glob(pattern))
        return f"is a folder. Give the file in it: {', '.join(inside[:3]) or 'there are no weights there'}."
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
    """Whether a file begins as those of `torch.save` do: a zip archive, or, in old versions, a pickle."""
    try:
        with path.open("rb") as file:
            head = file.read(LENGTH_BYTES + 1)
    except OSError:
        return False
    return head.startswith((b"PK\x03\x04", b"\x80")) and not _begins_as_safetensors(head)


def _begins_as_safetensors(head: bytes) -> bool:
    """A length that a header may have, and the header's first character.

    The length's first byte may be any: 128 is also what a pickle begins with.
    """
    return head[LENGTH_BYTES : LENGTH_BYTES + 1] == b"{" and struct.unpack("<Q", head[:LENGTH_BYTES])[0] <= MOST_HEADER


def _pointer(head: bytes) -> str:
    for begin, (name, remedy) in POINTERS.items():
        if head.startswith(begin):
            return f"is a pointer of {name}: the weights themselves were not fetched. {remedy} in its repository does."
    return ""


def _text(head: bytes) -> str:
    """A page, a message or a document, where weights were asked for."""
    begins = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if begins.startswith((b"<!doctype html", b"<html", b"<head", b"<script")):
        title = re.search(rb"<title[^>]*>\s*(.*?)\s*</title>", head, re.IGNORECASE | re.DOTALL)
        named = f" ({title[1].decode('utf-8', 'replace')!r})" if title else ""
        return f"is a web page{named}: the server showed it instead of the file. Download the file itself."
    if begins.startswith((b"<?xml", b"<error", b"{")) and _is_text(head):
        first = head.decode("utf-8", "replace").strip().splitlines()[0][:80]
        return f"is a text, beginning {first!r}: perhaps the error message of a server. {FETCH_AGAIN}"
    if _is_text(head):
        first = head.decode("utf-8", "replace").strip().splitlines()
        return f"is a text, beginning {(first[0] if first else '')[:80]!r}. {STATE_DICT}"
    return ""


def _is_text(head: bytes) -> bool:
    """Printable bytes alone; a cut in the middle of a character is none of its faults."""
    try:
        text = head[:-4].decode() if len(head) == HEAD_BYTES else head.decode()
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character in "\t\r\n\f" for character in text)


def _other(path: Path, head: bytes) -> str:
    if head[257:262] == b"ustar":
        return "is a tar archive. Unpack it, and give the file of weights in it."
    for magic, what in PACKED.items():
        if head.startswith(magic):
            return f"is {what}. Unpack it, and give the file of weights in it."
    for magic, what in FRAMEWORKS.items():
        if head.startswith(magic) or head[4:8] == magic:
            return f"is {what}, no weights of PyTorch. {STATE_DICT}"
    if path.suffix.lower() in BY_SUFFIX and not is_pytorch(path):
        return f"is {BY_SUFFIX[path.suffix.lower()]}, no weights of PyTorch. {STATE_DICT}"
    return ""


def _safetensors(path: Path, head: bytes, size: int) -> str:
    """A safetensors file that ends before its tensors do."""
    (length,) = struct.unpack("<Q", head[:LENGTH_BYTES])
    needed = LENGTH_BYTES + length
    if needed <= size:
        with path.open("rb") as file:
            needed += _tensor_bytes(file.read(needed)[LENGTH_BYTES:])
    return f"is cut off: it has {size:,} of {needed:,} bytes. {FETCH_AGAIN}" if size < needed else ""


def _tensor_bytes(header: bytes) -> int:
    """Bytes of the tensors that a header tells of; 0 where it cannot be read."""
    try:
        document = json.loads(header)
        ends = [int(each["data_offsets"][1]) for name, each in document.items() if name != "__metadata__"]
        return max(ends, default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError):
        return 0


def _zip(path: Path, head: bytes, size: int) -> str:
    """A zip archive that is cut off, or holds something else than what `torch.save` writes."""
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
        return f"is an archive of NumPy arrays, no weights of PyTorch. {STATE_DICT}"
    return f"is a zip archive ({', '.join(names[:3])} ...). Unpack it, and give the file of weights in it."
