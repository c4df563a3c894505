"""Weights as other programs leave them in files: a state dict, perhaps in a container, perhaps under a prefix."""

import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from posemodel.errors import CheckpointError
from posemodel.network.file_kinds import FETCH_AGAIN, STATE_DICT, is_pytorch, misfit

CONTAINERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network")
"""Entries that training programs put a network's state dict under, beside their optimizer's."""
PREFIXES = ("module.", "model.", "_orig_mod.")
"""What DataParallel, a network held as `self.model`, and torch.compile put before every key."""


@dataclass(frozen=True)
class StateFile:
    """The entries of a state dict, by keys without the ``prefix`` that all of them have in the file."""

    path: Path
    prefix: str
    tensors: Mapping[str, torch.Tensor]

    def named(self, key: str) -> str:
        """The key as the file has it: what an error should show."""
        return self.prefix + key


def read_state(path: Path) -> StateFile:
    """The state dict of a PyTorch or safetensors file, on the CPU; CheckpointError if it is none, or needs code."""
    told = misfit(path)
    if told:
        raise CheckpointError(f"{path}: {told}")
    found: Any = _read_safetensors(path) if _is_safetensors(path) else _read_pytorch(path)
    while isinstance(found, Mapping):
        inside = next((found[name] for name in CONTAINERS if isinstance(found.get(name), Mapping)), None)
        if inside is None:
            break
        found = inside
    if not isinstance(found, Mapping) or not found:
        held = "an empty state dict" if isinstance(found, Mapping) else f"a {type(found).__name__}, no state dict"
        raise CheckpointError(f"{path}: holds {held}. Give a file of torch.save(model.state_dict(), FILE).")
    for key, value in found.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise CheckpointError(
                f"{path}: entry {key!r} is a {type(value).__name__}, not a tensor. "
                f"Give a state dict, alone or under {' or '.join(CONTAINERS)}."
            )
    prefix = ""
    while step := next((each for each in PREFIXES if all(key.startswith(prefix + each) for key in found)), ""):
        prefix += step
    return StateFile(path, prefix, {key.removeprefix(prefix): value for key, value in found.items()})


def _is_safetensors(path: Path) -> bool:
    """By content, not by name: eight bytes of a length, then JSON."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        with safe_open(str(path), framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (safe_open is not iterable)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: cannot be read as a safetensors file ({error}).") from error


def _read_pytorch(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of pickle protocols: such a file is refused below anyway
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises nearly anything on a damaged file
        if not _needs_code(path, error):
            what = f"is cut off or damaged. {FETCH_AGAIN}" if is_pytorch(path) else f"is no state dict. {STATE_DICT}"
            raise CheckpointError(f"{path}: cannot be read ({type(error).__name__}): it {what}") from error
        name = re.search(r"GLOBAL (\S+)", str(error))
        raise CheckpointError(
            f"{path}: is a pickle of more than tensors{f' ({name[1]})' if name else ''} and is not loaded: rebuilding "
            "such objects runs code that the file names. Where you trust the file, load it in the program that wrote "
            "it and write its weights alone, with torch.save(model.state_dict(), FILE)."
        ) from error


def _needs_code(path: Path, error: Exception) -> bool:
    """Whether PyTorch refused what the file asks for, and did not merely fail to understand it."""
    with path.open("rb") as file:
        begins_as_pickle = file.read(2)[:1] in (b"\x80", b"P")  # of its own, or in a zip archive
    return isinstance(error, pickle.UnpicklingError) and begins_as_pickle
