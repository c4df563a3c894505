"""Check a study's networks; settle network and size by the weights that trials start from, and check these weights."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from bench.settings.layers import DEFAULT, Setting, errors_about
from bench.settings.toml_lines import KeyPath
from posemodel.errors import CheckpointError, SettingsError
from posemodel.network import build_network, network_class, network_geometry
from posemodel.network.backbones import load_vgg19_weights
from posemodel.network.own import check_output, is_own
from posemodel.network.weights import checkpoint_info, load_network
from posemodel.skeleton import Skeleton

if TYPE_CHECKING:
    from bench.workloads.pose import PoseSettings


def settle(settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """Return the settings with the checkpoint's network and size where these come from a preset or are defaults.

    Raises SettingsError if the file is no checkpoint, or if another network was given explicitly.
    """
    path = settings["weights"].value
    with errors_about(settings, "weights"):
        try:
            info = checkpoint_info(path)
        except CheckpointError as error:
            raise SettingsError(f"weights: {error}") from error
    if not _is_not_explicit(settings["network"]) and settings["network"].value != info.network:
        with errors_about(settings, "network", "weights"):
            raise SettingsError(
                f"network: {settings['network'].value} (from: {settings['network'].origin}) is not the network of "
                f"weights, {path}, which is {info.network}. Leave network out, or start from other weights."
            )
    from_checkpoint: dict[str, Any] = {"network": info.network, "size": info.size}
    settled = {
        name: Setting(value, f"checkpoint {path.name} (weights)")
        for name, value in from_checkpoint.items()
        if _is_not_explicit(settings[name])
    }
    return dict(settings) | settled


def _is_not_explicit(setting: Setting) -> bool:
    return setting.origin.startswith((DEFAULT, "preset"))


def check_weights(own: "PoseSettings", settings: Mapping[str, Setting]) -> None:
    """Raise SettingsError, which names the setting, if weights cannot be loaded into the study's network."""
    name = "weights" if own.weights is not None else "backbone_weights"
    with errors_about(settings, name):
        try:
            if own.weights is not None:
                load_network(own.weights, torch.device("cpu"))
            elif own.backbone_weights is not None:
                load_vgg19_weights(build_network(own.network, seed=0).backbone, own.backbone_weights)
        except CheckpointError as error:
            raise SettingsError(f"{name}: {error}") from error
        except SettingsError as error:
            raise SettingsError(
                f"{name}: the backbone of {own.network} is not VGG19. Leave {name} out, or train rtpose_vgg or "
                "openpose_2019."
            ) from error


def check_networks(settings: Mapping[str, Setting], skeleton: Skeleton) -> None:
    """Raise SettingsError, with file and line, if a user's network does not fit the skeleton of the data."""
    named: list[tuple[KeyPath, str]] = []
    if "network" in settings:
        named.append((("network",), settings["network"].value))
    if "networks" in settings:
        named += [(("networks", index), name) for index, name in enumerate(settings["networks"].value)]
    for path, name in named:
        if not is_own(network_class(name)):
            continue
        with errors_about(settings, path):
            network = build_network(name, skeleton=skeleton, seed=0)
            check_output(network, network_geometry(network, settings["size"].value, name=name).size, name)
