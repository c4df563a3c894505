"""What a loader delivered, in a few bytes: configurations that are compared must have delivered the same batches."""

import re
import zlib
from collections import UserList, deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

_PLAIN = (torch.Tensor, np.ndarray, np.generic, str, bytes, bytearray, memoryview, int, float, complex, type(None))
DEEPEST = 3
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def batch_hash(batch: Any) -> int:
    """32 bits (CRC) of everything in a batch: shapes, types and every element of its tensors.

    Batches may be tensors, arrays, numbers and texts in tuples, lists, sets and mappings, as PyTorch's collate makes
    them, and objects of classes that hold such. Of what holds none it is the text of its ``repr``, without addresses.
    """
    found = 0
    for leaf in leaves(batch):
        if isinstance(leaf, torch.Tensor):
            leaf = _as_array(leaf)
        if isinstance(leaf, np.ndarray) and not leaf.dtype.hasobject:
            found = zlib.crc32(f"{leaf.shape}{leaf.dtype.str}".encode(), found)
            dense = np.ascontiguousarray(leaf)
            # An array is a buffer in every Python; NumPy's types say so from 3.12 on.
            found = zlib.crc32(dense.tobytes() if dense.dtype.kind in "mM" else dense, found)  # type: ignore[arg-type]
        else:
            found = zlib.crc32(_ADDRESS.sub("", repr(leaf)).encode(), found)
    return found


def _as_array(tensor: torch.Tensor) -> np.ndarray:
    """All elements of a tensor, also of one whose layout or type NumPy does not know."""
    tensor = tensor.detach()
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    try:
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy(force=True)
    except TypeError:  # float8, say
        return tensor.cpu().contiguous().flatten().view(torch.uint8).numpy()


def batch_bytes(batch: Any) -> int:
    """Bytes of a batch's tensors and arrays."""
    return sum(leaf.nbytes for leaf in leaves(batch) if isinstance(leaf, (torch.Tensor, np.ndarray)))


def batch_images(batch: Any, otherwise: int) -> int:
    """How many images a batch holds: the leading dimension of its first tensor or array that has dimensions;
    ``otherwise`` where it holds none."""
    for leaf in leaves(batch):
        if isinstance(leaf, (torch.Tensor, np.ndarray)) and leaf.ndim:
            return int(leaf.shape[0])
    return otherwise


def leaves(batch: Any, depth: int = 0) -> Iterator[Any]:
    """The tensors, arrays, numbers and texts that a batch consists of; of objects, those that they hold, to a depth of
    DEEPEST objects in each other."""
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
    else:
        yield type(batch).__qualname__
        for _, value in sorted(_held(batch).items()) if depth < DEEPEST else ():
            yield from leaves(value, depth + 1)


def _held(value: Any) -> dict[str, Any]:
    """The attributes of an object, its own and those of slots."""
    found = dict(getattr(value, "__dict__", {}))
    for own in type(value).__mro__:
        slots = vars(own).get("__slots__", ())
        names = (slots,) if isinstance(slots, str) else slots
        found |= {name: getattr(value, name) for name in names if hasattr(value, name)}
    return found
