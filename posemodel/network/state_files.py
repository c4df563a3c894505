"""Reading of other programs' weight files: a state dict, possibly in a container and with prefixed keys."""

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
from posemodel.network.weight_file_problems import FETCH_AGAIN, STATE_DICT, is_pytorch, weights_problem

CONTAINERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network")
"""Entries under which training programs store a network's state dict, beside their optimizer's."""
PREFIXES = ("module.", "model.", "_orig_mod.")
"""Prefixes of all keys that DataParallel, a wrapper's attribute `model`, and torch.compile add."""


@dataclass(frozen=True)
class StateFile:
    """State dict of a file, with the prefix that all keys share removed."""

    path: Path
    prefix: str
    """Prefix of all keys in the file; may be empty."""
    tensors: Mapping[str, torch.Tensor]
    """Tensors by key, without the prefix."""

    def original_key(self, key: str) -> str:
        """Return the key as it is in the file, for error messages."""
        return self.prefix + key


def read_state(path: Path) -> StateFile:
    """Read a PyTorch or safetensors file's state dict; CheckpointError if there is none, or reading would run code."""
    problem = weights_problem(path)
    if problem:
        raise CheckpointError(f"{path}: {problem}")
    content: Any = _read_safetensors(path) if _is_safetensors(path) else _read_pytorch(path)
    while isinstance(content, Mapping):
        inner = next((content[name] for name in CONTAINERS if isinstance(content.get(name), Mapping)), None)
        if inner is None:
            break
        content = inner
    if not isinstance(content, Mapping) or not content:
        kind = "an empty state dict" if isinstance(content, Mapping) else f"a {type(content).__name__}, no state dict"
        raise CheckpointError(f"{path}: holds {kind}. Give a file of torch.save(model.state_dict(), FILE).")
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise CheckpointError(
                f"{path}: entry {key!r} is a {type(value).__name__}, not a tensor. "
                f"Give a state dict, alone or under {' or '.join(CONTAINERS)}."
            )
    prefix = ""
    while step := next((each for each in PREFIXES if all(key.startswith(prefix + each) for key in content)), ""):
        prefix += step
    return StateFile(path, prefix, {key.removeprefix(prefix): value for key, value in content.items()})


def _is_safetensors(path: Path) -> bool:
    """Return whether the content is safetensors: eight bytes of a length, then JSON. The file's name does not count."""
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
            warnings.simplefilter("ignore", UserWarning)  # about pickle protocols: such a file is refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises nearly anything on a damaged file
        if not _needs_code(path, error):
            cause = f"is cut off or damaged. {FETCH_AGAIN}" if is_pytorch(path) else f"is no state dict. {STATE_DICT}"
            raise CheckpointError(f"{path}: cannot be read ({type(error).__name__}): it {cause}") from error
        name = re.search(r"GLOBAL (\S+)", str(error))
        raise CheckpointError(
            f"{path}: is a pickle of more than tensors{f' ({name[1]})' if name else ''} and is not loaded: rebuilding "
            "such objects runs code that the file names. If you trust the file, load it in the program that wrote "
            "it and write its weights alone, with torch.save(model.state_dict(), FILE)."
        ) from error


def _needs_code(path: Path, error: Exception) -> bool:
    """Return whether PyTorch refused to run the file's code, rather than failing to parse the file."""
    with path.open("rb") as file:
        begins_as_pickle = file.read(2)[:1] in (b"\x80", b"P")  # a pickle of its own, or in a zip archive
    return isinstance(error, pickle.UnpicklingError) and begins_as_pickle
