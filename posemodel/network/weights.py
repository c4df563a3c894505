"""Checkpoints, which are safetensors files of weights with JSON metadata; each is written completely or not at all."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from posemodel.atomic_write import atomic_path
from posemodel.config import Exif
from posemodel.dotted_paths import is_dotted_path
from posemodel.errors import CheckpointError, SettingsError
from posemodel.network import NETWORKS, PoseNetwork, build_network
from posemodel.network.input_format import IMAGENET, format_from_document
from posemodel.network.own import check_output
from posemodel.network.weight_file_problems import IMPORT, is_pytorch, weights_problem
from posemodel.skeleton import COCO_PERSON, Skeleton

_METADATA = "posebench"
"""Key of the JSON document in a checkpoint's metadata."""

CATEGORY_ID = "category_id"
"""Key in the record of a training on another skeleton than COCO's person: the category's id, for results files."""


@dataclass(frozen=True)
class CheckpointInfo:
    """Metadata of a checkpoint.

    Example:
        save_weights("small.safetensors", network, CheckpointInfo("small", 256, {"data": "coco"}))
    """

    network: str
    """Name of the network, one of ``NETWORKS``, or the path of a class, `my_package:MyNet`."""
    size: int
    """Side of the network's input in pixels."""
    training: dict[str, Any]
    """Record of the training, as JSON values."""


def save_weights(path: Path | str, network: PoseNetwork, info: CheckpointInfo) -> None:
    """Write weights and metadata to ``path``, completely or not at all.

    Example:
        save_weights("small.safetensors", network, CheckpointInfo("small", 256, {}))
    """
    document = {
        "network": info.network,
        "size": info.size,
        "stride": network.stride,
        "input_format": network.input_format.as_document(),
        "parts": network.skeleton.parts,
        "limbs": network.skeleton.limbs,
        "training": info.training,
    }
    if network.skeleton != COCO_PERSON:
        document["skeleton"] = network.skeleton.as_document()
    _write(Path(path), network.state_dict(), document)


def save_backbone(path: Path, front: Mapping[str, torch.Tensor], training: dict[str, Any]) -> None:
    """Write the entries of VGG19's front and their origin (``training``) to ``path``, for `--backbone-weights`."""
    document = {"backbone": "vgg19", "input_format": IMAGENET.as_document(), "training": training}
    _write(path, front, document)


def _write(path: Path, state: Mapping[str, torch.Tensor], document: dict[str, Any]) -> None:
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    with atomic_path(path) as temporary:
        # save_file would make files that only their owner may read.
        temporary.write_bytes(save(tensors, metadata={_METADATA: json.dumps(document)}))


def checkpoint_info(path: Path | str) -> CheckpointInfo:
    """Read a checkpoint's metadata without its tensors; raise CheckpointError if it is not one of a known network."""
    path = Path(path)
    return _info_in(path, _read(path, tensors=False)[0])


def load_network(path: Path | str, device: torch.device) -> tuple[PoseNetwork, CheckpointInfo]:
    """Load a checkpoint's network, in evaluation mode on ``device``, and its metadata.

    A class that is named by its path is imported. The checkpoint sets the network's skeleton (COCO's person if it names
    none), input format (RGB with ImageNet's statistics if an older file has none), ``trained_size`` and
    ``trained_exif``.

    Example:
        network, info = load_network("small.safetensors", torch.device("cpu"))

    Raises:
        CheckpointError: The file cannot be read, or does not fit; the message says which entry.
    """
    path = Path(path)
    document, state = _read(path, tensors=True)
    info = _info_in(path, document)
    try:
        input_format = format_from_document(document["input_format"]) if "input_format" in document else IMAGENET
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: its posebench metadata cannot be read ({error!r}).") from error
    name = info.network
    try:
        network = build_network(name, skeleton=_skeleton_in(path, document))
        check_output(network, info.size, name)
    except SettingsError as error:
        raise CheckpointError(f"{path}: its network cannot be built: {str(error).removeprefix('network: ')}") from error
    own = network.state_dict()
    for key, value in own.items():
        if key not in state or state[key].shape != value.shape:
            shape = tuple(state[key].shape) if key in state else "missing"
            raise CheckpointError(f"{path}: {key} is {shape}, {name} needs {tuple(value.shape)}.")
    surplus = sorted(state.keys() - own.keys())
    if surplus:
        raise CheckpointError(f"{path}: has {surplus[0]}, which {name} does not have.")
    network.load_state_dict(state)
    network.input_format = input_format
    network.trained_size = info.size
    network.trained_exif = _exif_in(document)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks the keyword
    return network.eval(), info


def _read(path: Path, *, tensors: bool) -> tuple[Any, dict[str, torch.Tensor]]:
    """Return the metadata and, with ``tensors``, all tensors; CheckpointError if the file is no checkpoint."""
    problem = weights_problem(path)
    if not problem and is_pytorch(path):
        problem = f"is a PyTorch file, no checkpoint of posebench. {IMPORT.format(path=path)}"
    if problem:
        raise CheckpointError(f"{path}: {problem}")
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            names = file.keys() if tensors else ()
            state = {key: file.get_tensor(key) for key in names}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: cannot be read as a safetensors checkpoint ({error}).") from error
    if _METADATA not in metadata:
        raise CheckpointError(
            f"{path}: has no posebench metadata, so its network is unknown. {IMPORT.format(path=path)}"
        )
    try:
        return json.loads(metadata[_METADATA]), state
    except ValueError as error:
        raise CheckpointError(f"{path}: its posebench metadata cannot be read ({error!r}).") from error


def _info_in(path: Path, document: Any) -> CheckpointInfo:
    try:
        if "backbone" in document:
            raise CheckpointError(f"{path}: holds a backbone alone; give it as --backbone-weights to train a network.")
        info = CheckpointInfo(document["network"], document["size"], document["training"])
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: its posebench metadata cannot be read ({error!r}).") from error
    if not isinstance(info.network, str) or not (info.network in NETWORKS or is_dotted_path(info.network)):
        raise CheckpointError(f"{path}: is of network {info.network!r}, which this version does not have.")
    return info


def _exif_in(document: Any) -> Exif:
    """Return the EXIF setting in a checkpoint's metadata; `ignore`, as in earlier versions, if there is none."""
    training = document.get("training") if isinstance(document, dict) else None
    return "follow" if isinstance(training, dict) and training.get("exif") == "follow" else "ignore"


def _skeleton_in(path: Path, document: dict[str, Any]) -> Skeleton:
    """Return the skeleton in a checkpoint's metadata; COCO's person, if there is none.

    Raises CheckpointError if it cannot be read, or if parts or limbs contradict it: maps would be decoded wrongly.
    """
    try:
        skeleton = Skeleton.from_document(document["skeleton"]) if "skeleton" in document else COCO_PERSON
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: its skeleton cannot be read ({error!r}): the file is damaged, or of another version."
        ) from error
    whose = "its skeleton's" if "skeleton" in document else "this version's"
    for field, own in (("parts", skeleton.parts), ("limbs", skeleton.limbs)):
        expected = json.loads(json.dumps(own))
        stored = document.get(field, expected)  # older checkpoints lack these fields, and have COCO's person
        if stored != expected:
            raise CheckpointError(f"{path}: its {field} are {stored!r}, {whose} are {expected!r}.")
    return skeleton
