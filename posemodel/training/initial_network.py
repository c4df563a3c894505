"""The network that a run starts with: random weights, those of a checkpoint, or a VGG19 backbone from ImageNet."""

import hashlib
from pathlib import Path
from typing import Any

import torch

from posemodel.config import TrainSettings
from posemodel.errors import SettingsError
from posemodel.network import PoseNetwork, build_network
from posemodel.network.backbones import load_vgg19_weights
from posemodel.network.weights import load_network


def initial_network(settings: TrainSettings, device: torch.device) -> PoseNetwork:
    """Build the network of a run, in training mode on ``device``; ``settings.seed`` determines random weights.

    Raises SettingsError or CheckpointError if the weights that the settings name do not fit.
    """
    if settings.weights is not None:
        network, info = load_network(settings.weights, device)
        if info.network != settings.network:
            raise SettingsError(
                f"weights: {settings.weights} is of {info.network}, not of {settings.network}. Train {info.network}, "
                "or start from other weights."
            )
    else:
        network = build_network(settings.network, seed=settings.seed)
    if settings.backbone_weights is not None:
        load_vgg19_weights(network.backbone, settings.backbone_weights)
    network.precision = settings.precision
    network.trained_exif = settings.exif
    return network.to(device=device, memory_format=torch.channels_last).train()  # type: ignore[call-overload,no-any-return]  # PyTorch has no stub of this


def origin_of(weights: Path | None) -> dict[str, Any]:
    """Return name, without folder, and SHA-256 of the checkpoint that a run starts from, for its record."""
    if weights is None:
        return {}
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"initial_weights": {"file": weights.name, "sha256": digest}}
