"""What a loader delivered, in a few bytes: configurations that are compared must have delivered the same batches."""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

ELEMENTS = 16
"""Looked at in each tensor of a batch, evenly spread, elsewhere in each batch: some 5 microseconds a tensor."""


def batch_hash(batch: Any, number: int) -> int:
    """32 bits from each tensor's shape, type and a few of its elements; ``number`` (of the batch) says which elements.

    Batches may be tensors, arrays, numbers and texts in tuples, lists and mappings, as PyTorch's collate makes them.
    Two batches that differ in order, augmentation or seed differ in nearly every pixel; a change of a few pixels would
    not be seen in one batch.
    """
    found = 0
    for leaf in leaves(batch):
        if isinstance(leaf, torch.Tensor):
            leaf = leaf.detach().cpu().numpy() if leaf.dtype != torch.bfloat16 else leaf.detach().float().cpu().numpy()
        if isinstance(leaf, np.ndarray):
            found = zlib.crc32(f"{leaf.shape}{leaf.dtype}".encode(), found)
            step = max(1, leaf.size // ELEMENTS)
            found = zlib.crc32(leaf.flat[number % step :: step].tobytes(), found)
        else:
            found = zlib.crc32(repr(leaf).encode(), found)
    return found


def batch_bytes(batch: Any) -> int:
    """Bytes of a batch's tensors and arrays."""
    return sum(leaf.nbytes for leaf in leaves(batch) if isinstance(leaf, (torch.Tensor, np.ndarray)))


def leaves(batch: Any) -> Iterator[Any]:
    """The tensors, arrays, numbers and texts that a batch consists of."""
    if isinstance(batch, Mapping):
        for value in batch.values():
            yield from leaves(value)
    elif isinstance(batch, Sequence) and not isinstance(batch, (str, bytes)):
        for value in batch:
            yield from leaves(value)
    else:
        yield batch
