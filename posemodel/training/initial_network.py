"""The network that a run starts with: random weights, those of a checkpoint, or a VGG19 backbone from ImageNet."""

import hashlib
from pathlib import Path
from typing import Any

import torch

from posemodel.config import TrainSettings
from posemodel.data.notes import Note
from posemodel.errors import SettingsError
from posemodel.network import PoseNetwork, build_network, network_geometry
from posemodel.network.backbones import load_vgg19_weights
from posemodel.network.own import check_output, described, same_maps
from posemodel.network.weights import load_network
from posemodel.skeleton import COCO_PERSON, Skeleton

NAMED_ENTRIES = 3
"""Maximum number of entries that the note on a start from another skeleton's weights names."""


def initial_network(
    settings: TrainSettings, device: torch.device, skeleton: Skeleton = COCO_PERSON
) -> tuple[PoseNetwork, Note | None]:
    """Build the network of a run, in training mode on ``device``; ``settings.seed`` determines random weights.

    Weights of another skeleton give all entries whose names and shapes fit; the others are new, and the note, which
    counts the entries that fit, says so. Raises SettingsError or CheckpointError if the weights that the settings name
    do not fit, or the network does not fit the skeleton.
    """
    note = None
    if settings.weights is not None:
        network, note = _from_weights(settings.weights, settings, device, skeleton)
    else:
        network = build_network(settings.network, skeleton=skeleton, seed=settings.seed)
    geometry = network_geometry(network, settings.size, name=settings.network)
    check_output(network, geometry.size, settings.network)
    if settings.backbone_weights is not None:
        load_vgg19_weights(network.backbone, settings.backbone_weights)
    network.precision = settings.precision
    network.trained_exif = settings.exif
    network = network.to(device=device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]  # PyTorch has no stub of this
    return network, note


def _from_weights(
    weights: Path, settings: TrainSettings, device: torch.device, skeleton: Skeleton
) -> tuple[PoseNetwork, Note | None]:
    loaded, info = load_network(weights, device)
    if info.network != settings.network:
        raise SettingsError(
            f"weights: {weights} is of {info.network}, not of {settings.network}. Train {info.network}, "
            "or start from other weights."
        )
    if same_maps(loaded.skeleton, skeleton):
        loaded.skeleton = skeleton  # its name or sigmas may be others
        return loaded, None
    network = build_network(settings.network, skeleton=skeleton, seed=settings.seed)
    own, theirs = network.state_dict(), loaded.state_dict()
    fitting = {key: theirs[key] for key, value in own.items() if key in theirs and theirs[key].shape == value.shape}
    network.load_state_dict(fitting, strict=False)
    network.input_format, network.trained_size = loaded.input_format, loaded.trained_size
    new = [key for key in own if key not in fitting]
    named = ", ".join(new[:NAMED_ENTRIES]) + (f" and {len(new) - NAMED_ENTRIES} more" if new[NAMED_ENTRIES:] else "")
    what = f"new are {named}" if new else "its heads were trained for other parts"
    text = (
        f"training starts from {len(fitting)} of {len(own)} entries of these weights; {what}, because the skeleton is "
        f"another: {described(loaded.skeleton)} there, {described(skeleton)} here"
    )
    return network, Note(str(weights), "other-skeleton", len(fitting), text)


def origin_of(weights: Path | None, note: Note | None = None) -> dict[str, Any]:
    """Return name, without folder, and SHA-256 of the checkpoint that a run starts from, for its record.

    If the checkpoint is of another skeleton, the note of `initial_network` is added.
    """
    if weights is None:
        return {}
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    said = {} if note is None else {"note": note.text}
    return {"initial_weights": {"file": weights.name, "sha256": digest, **said}}
