"""Checkpoints of our own: a safetensors file of weights with JSON metadata, written whole or not at all."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from posemodel.atomic_write import replacing
from posemodel.config import Exif
from posemodel.errors import CheckpointError
from posemodel.network import NETWORKS, PoseNetwork, build_network
from posemodel.network.file_kinds import IMPORT, is_pytorch, misfit
from posemodel.network.input_format import IMAGENET, format_from_document
from posemodel.skeleton import LIMBS, PARTS

_METADATA = "posebench"


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint says of itself: the network's name, its input side and the record of its training."""

    network: str
    size: int
    training: dict[str, Any]


def save_weights(path: Path | str, network: PoseNetwork, info: CheckpointInfo) -> None:
    """Write weights and metadata to ``path``, whole or not at all."""
    document = {
        "network": info.network,
        "size": info.size,
        "stride": network.stride,
        "input_format": network.input_format.as_document(),
        "parts": PARTS,
        "limbs": LIMBS,
        "training": info.training,
    }
    _write(Path(path), network.state_dict(), document)


def save_backbone(path: Path, front: Mapping[str, torch.Tensor], training: dict[str, Any]) -> None:
    """Write the entries of VGG19's front to ``path``, with where they come from, for `--backbone-weights`."""
    document = {"backbone": "vgg19", "input_format": IMAGENET.as_document(), "training": training}
    _write(path, front, document)


def _write(path: Path, state: Mapping[str, torch.Tensor], document: dict[str, Any]) -> None:
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    with replacing(path) as temporary:
        # Not by save_file, whose files only their owner may read.
        temporary.write_bytes(save(tensors, metadata={_METADATA: json.dumps(document)}))


def checkpoint_info(path: Path | str) -> CheckpointInfo:
    """What a checkpoint says of itself, by its metadata alone; CheckpointError where it is none, or of no network."""
    path = Path(path)
    return _info_in(path, _read(path, tensors=False)[0])


def load_network(path: Path | str, device: torch.device) -> tuple[PoseNetwork, CheckpointInfo]:
    """The network of a checkpoint, in evaluation mode on ``device``; CheckpointError says what does not fit.

    The size that it was trained at is the checkpoint's, as is its input format: RGB with ImageNet's statistics where an
    older checkpoint has none.
    """
    path = Path(path)
    document, state = _read(path, tensors=True)
    info = _info_in(path, document)
    try:
        input_format = format_from_document(document["input_format"]) if "input_format" in document else IMAGENET
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: its posebench metadata cannot be read ({error!r}).") from error
    _check_skeleton(path, document)
    name = info.network
    network = build_network(name)
    own = network.state_dict()
    for key, value in own.items():
        if key not in state or state[key].shape != value.shape:
            found = tuple(state[key].shape) if key in state else "missing"
            raise CheckpointError(f"{path}: {key} is {found}, {name} needs {tuple(value.shape)}.")
    surplus = sorted(state.keys() - own.keys())
    if surplus:
        raise CheckpointError(f"{path}: has {surplus[0]}, which {name} has not.")
    network.load_state_dict(state)
    network.input_format = input_format
    network.trained_size = info.size
    network.trained_exif = _exif_in(document)
    return network.to(device, memory_format=torch.channels_last).eval(), info


def _read(path: Path, *, tensors: bool) -> tuple[Any, dict[str, torch.Tensor]]:
    """The metadata's document and, where asked for, all tensors; CheckpointError where it is no checkpoint."""
    told = misfit(path)
    if not told and is_pytorch(path):
        told = f"is a PyTorch file, no checkpoint of posebench. {IMPORT.format(path=path)}"
    if told:
        raise CheckpointError(f"{path}: {told}")
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
    if not isinstance(info.network, str) or info.network not in NETWORKS:
        raise CheckpointError(f"{path}: is of network {info.network!r}, which this version does not have.")
    return info


def trained_exif(path: Path) -> Exif:
    """How the pictures were read that a checkpoint was trained on, by its metadata alone.

    `ignore` of a file that is no checkpoint: what is wrong with it, ``load_network`` says.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            return _exif_in(json.loads((file.metadata() or {})[_METADATA]))
    except (SafetensorError, OSError, ValueError, KeyError):
        return "ignore"


def _exif_in(document: Any) -> Exif:
    """Earlier versions read pixels as stored, and imported weights do not say."""
    training = document.get("training") if isinstance(document, dict) else None
    return "follow" if isinstance(training, dict) and training.get("exif") == "follow" else "ignore"


def _check_skeleton(path: Path, document: dict[str, Any]) -> None:
    """Maps of other parts or limbs would be decoded into nonsense."""
    for field, own in (("parts", PARTS), ("limbs", LIMBS)):
        expected = json.loads(json.dumps(own))
        found = document.get(field, expected)  # checkpoints of before this was written have our skeleton
        if found != expected:
            raise CheckpointError(f"{path}: its {field} are {found!r}, this version's are {expected!r}.")
