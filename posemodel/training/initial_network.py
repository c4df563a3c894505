"""The network that a run starts with: random weights, those of a checkpoint, or a VGG19 backbone from ImageNet."""

import hashlib
from dataclasses import replace
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

    Weights of another skeleton give all entries whose names and shapes fit, except the heads of other parts or limbs;
    all else is new, and the note, which counts the entries that fit, says so. Raises SettingsError or CheckpointError
    if the weights that the settings name do not fit, or the network does not fit the skeleton.
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
    of_others = _of_other_maps(settings.network, network, loaded.skeleton)
    fitting = {
        key: theirs[key]
        for key, value in own.items()
        if key in theirs and theirs[key].shape == value.shape and key not in of_others
    }
    network.load_state_dict(fitting, strict=False)
    network.input_format, network.trained_size = loaded.input_format, loaded.trained_size
    new = [key for key in own if key not in fitting]
    named = ", ".join(new[:NAMED_ENTRIES]) + (f" and {len(new) - NAMED_ENTRIES} more" if new[NAMED_ENTRIES:] else "")
    text = (
        f"training starts from {len(fitting)} of {len(own)} entries of these weights; new are {named}, because the "
        f"skeleton is another: {described(loaded.skeleton)} there, {described(skeleton)} here"
    )
    if described(loaded.skeleton) == described(skeleton):
        text += f", with other {'limbs' if loaded.skeleton.parts == skeleton.parts else 'parts'}"
    return network, Note(str(weights), "other-skeleton", len(fitting), text)


def _of_other_maps(name: str, network: PoseNetwork, theirs: Skeleton) -> set[str]:
    """Return the entries of a network that make or take heatmaps of other parts, or PAFs of other limbs, than theirs.

    They are those whose shapes change with the number of parts, or of limbs; all outside the backbone, if a user's
    class cannot be built with other numbers.
    """
    own, longest = network.skeleton, max(network.skeleton.parts, key=len)
    new = f"{longest}1", f"{longest}2"
    more = replace(own, keypoints=(*own.keypoints, *new), parts=(*own.parts, *new), sigmas=(*own.sigmas, 1.0, 1.0))
    joined = replace(more, limbs=(*own.limbs, (own.num_parts, own.num_parts + 1)))
    shapes = _shapes(network)
    try:
        with_points, with_limb = (_shapes(build_network(name, skeleton=each, seed=0)) for each in (more, joined))
    except SettingsError:
        return {key for key in shapes if not key.startswith("backbone.")}
    of_parts = {key for key, shape in shapes.items() if with_points.get(key) != shape}
    of_limbs = {key for key in shapes if with_limb.get(key) != with_points.get(key)}
    return (of_parts if own.parts != theirs.parts else set()) | (of_limbs if _limbs(own) != _limbs(theirs) else set())


def _shapes(network: PoseNetwork) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in network.state_dict().items()}


def _limbs(skeleton: Skeleton) -> list[tuple[str, str]]:
    """Return the limbs of a skeleton by the names of their parts."""
    return [(skeleton.parts[start], skeleton.parts[end]) for start, end in skeleton.limbs]


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
