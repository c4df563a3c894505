"""Hashes and sizes of delivered batches, to check that compared configurations delivered the same batches."""

import re
import zlib
from collections import UserList, deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

_PLAIN = (torch.Tensor, np.ndarray, np.generic, str, bytes, bytearray, memoryview, int, float, complex, type(None))
DEEPEST = 3
"""Maximum depth of nested objects whose attributes are followed."""
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def batch_hash(batch: Any) -> int:
    """Return 32 bits (CRC) of a batch's contents: shape, type and every element of its tensors and arrays, in order.

    A batch may consist of tensors, arrays, numbers and texts in tuples, lists, sets and mappings, as PyTorch's collate
    makes them, and of objects with such attributes. Keys of mappings and nesting are not hashed; bfloat16 is hashed as
    float32, float8 as flat bytes. Any other object is hashed by its ``repr`` without memory addresses.
    """
    crc = 0
    for leaf in leaves(batch):
        if isinstance(leaf, torch.Tensor):
            leaf = _as_array(leaf)
        if isinstance(leaf, np.ndarray) and not leaf.dtype.hasobject:
            crc = zlib.crc32(f"{leaf.shape}{leaf.dtype.str}".encode(), crc)
            dense = np.ascontiguousarray(leaf)
            # An array is a buffer in every Python; NumPy's type hints say so only from 3.12 on.
            crc = zlib.crc32(dense.tobytes() if dense.dtype.kind in "mM" else dense, crc)  # type: ignore[arg-type]
        else:
            crc = zlib.crc32(_ADDRESS.sub("", repr(leaf)).encode(), crc)
    return crc


def _as_array(tensor: torch.Tensor) -> np.ndarray:
    """Return all elements of a tensor, even if NumPy does not know its layout or type."""
    tensor = tensor.detach()
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    try:
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy(force=True)
    except TypeError:  # float8, say
        return tensor.cpu().contiguous().flatten().view(torch.uint8).numpy()


def batch_bytes(batch: Any) -> int:
    """Return the bytes of a batch's tensors and arrays."""
    return sum(leaf.nbytes for leaf in leaves(batch) if isinstance(leaf, (torch.Tensor, np.ndarray)))


def batch_images(batch: Any, otherwise: int) -> int:
    """Return the number of images in a batch: the leading dimension of its first tensor or array that has dimensions;
    ``otherwise`` if there is none."""
    for leaf in leaves(batch):
        if isinstance(leaf, (torch.Tensor, np.ndarray)) and leaf.ndim:
            return int(leaf.shape[0])
    return otherwise


def leaves(batch: Any, depth: int = 0) -> Iterator[Any]:
    """Yield the tensors, arrays, numbers and texts that a batch consists of.

    Objects with attributes are followed through DEEPEST levels, each announced by the name of its class; callables and
    objects without attributes are yielded as they are.
    """
    if isinstance(batch, Mapping):
        for value in batch.values():
            yield from leaves(value, depth)
    elif isinstance(batch, (set, frozenset)):
        yield from sorted(batch, key=repr)
    elif isinstance(batch, (Sequence, UserList, deque)) and not isinstance(batch, _PLAIN):
        for value in batch:
            yield from leaves(value, depth)
    elif isinstance(batch, _PLAIN) or callable(batch):
        yield batch
    elif hasattr(batch, "__array_interface__"):  # a picture of PIL's
        yield np.asarray(batch)
    elif attributes := _attributes(batch):
        yield type(batch).__qualname__
        for _, value in sorted(attributes.items()) if depth < DEEPEST else ():
            yield from leaves(value, depth + 1)
    else:
        yield batch


def _attributes(value: Any) -> dict[str, Any]:
    """Return the attributes of an object, slots included."""
    attributes = dict(getattr(value, "__dict__", {}))
    for base in type(value).__mro__:
        slots = vars(base).get("__slots__", ())
        names = (slots,) if isinstance(slots, str) else slots
        attributes |= {name: getattr(value, name) for name in names if hasattr(value, name)}
    return attributes
