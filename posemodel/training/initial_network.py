"""The network that a run starts with: fresh weights, a checkpoint's, or fresh ones on a VGG19 front from ImageNet."""

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
    """In training mode on ``device``; the seed decides fresh weights. Raises SettingsError or CheckpointError."""
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
    return network.to(device, memory_format=torch.channels_last).train()


def origin_of(weights: Path | None) -> dict[str, Any]:
    """What a run's record says of the checkpoint that it started from: name and digest, wherever the file lies."""
    if weights is None:
        return {}
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"initial_weights": {"file": weights.name, "sha256": digest}}
