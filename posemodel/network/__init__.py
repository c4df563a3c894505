"""The networks by name: one file each, one line here."""

import torch

from posemodel.config import MIN_SIZE, InputSettings
from posemodel.errors import SettingsError, nearest
from posemodel.network.base import Maps, PoseNetwork
from posemodel.network.lightweight import Lightweight, Lightweight2, Lightweight3
from posemodel.network.openpose_2019 import Openpose2019
from posemodel.network.rtpose_vgg import RtposeVgg
from posemodel.network.small import Small

NETWORKS: dict[str, type[PoseNetwork]] = {
    "rtpose_vgg": RtposeVgg,
    "openpose_2019": Openpose2019,
    "lightweight": Lightweight,
    "lightweight_2": Lightweight2,
    "lightweight_3": Lightweight3,
    "small": Small,
}

__all__ = ["NETWORKS", "Maps", "PoseNetwork", "build_network", "geometry_of", "input_geometry", "network_class"]


def network_class(name: str) -> type[PoseNetwork]:
    """The class of a network; SettingsError names the nearest."""
    if name not in NETWORKS:
        raise SettingsError(
            f"network: no network is called {name!r}.{nearest(name, NETWORKS)} There are: {', '.join(NETWORKS)}."
        )
    return NETWORKS[name]


def input_geometry(name: str, size: int | None = None) -> InputSettings:
    """Input side (None: the network's default) and stride of a network; SettingsError names the nearest valid side."""
    return geometry_of(network_class(name), size, name=name)


def geometry_of(
    network: PoseNetwork | type[PoseNetwork], size: int | None = None, *, name: str = "this network"
) -> InputSettings:
    """As ``input_geometry``, of a network itself; ``name`` is what an error calls it.

    Without a ``size`` it is the one that the network was trained at, or the default of one that was not.
    """
    if size is None:
        size = network.trained_size or network.default_size
    if size % network.size_multiple:
        nearest = max(round(size / network.size_multiple), 2) * network.size_multiple
        raise SettingsError(f"size: {name} needs a multiple of {network.size_multiple}, got {size}. Try {nearest}.")
    if size < MIN_SIZE:
        raise SettingsError(f"size: must be at least {MIN_SIZE} pixels, got {size}.")
    return InputSettings(size=size, stride=network.stride)


def build_network(name: str, *, seed: int | None = None) -> PoseNetwork:
    """A network with initial weights; the same ``seed`` gives the same weights, whatever was drawn before."""
    constructor = network_class(name)
    if seed is None:
        return constructor()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return constructor()
