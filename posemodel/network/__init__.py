"""Pose networks: architectures, their initial and imported weights, and checkpoint files.

In: RGB images (B, 3, S, S). Out: heatmaps and PAFs of every stage (``Maps``). Each architecture has a file of its own
and a line in ``NETWORKS``; users' classes are found by their dotted path (``own``). Nothing here reads data sets,
trains, or decodes maps into people.
"""

import torch

from posemodel.config import MIN_SIZE, InputSettings
from posemodel.dotted_paths import is_dotted_path, with_colon
from posemodel.errors import SettingsError, did_you_mean
from posemodel.network.base import Maps, PoseNetwork
from posemodel.network.lightweight import Lightweight, Lightweight2, Lightweight3
from posemodel.network.openpose_2019 import Openpose2019
from posemodel.network.own import check_class, construct, is_own, own_class
from posemodel.network.rtpose_vgg import RtposeVgg
from posemodel.network.small import Small
from posemodel.skeleton import COCO_PERSON, Skeleton

NETWORKS: dict[str, type[PoseNetwork]] = {
    "rtpose_vgg": RtposeVgg,
    "openpose_2019": Openpose2019,
    "lightweight": Lightweight,
    "lightweight_2": Lightweight2,
    "lightweight_3": Lightweight3,
    "small": Small,
}
"""Networks by name; others are named by their dotted path.

Example:
    NETWORKS["small"].default_size  # 256
"""

__all__ = ["NETWORKS", "Maps", "PoseNetwork", "build_network", "input_geometry", "network_class", "network_geometry"]


def network_class(name: str) -> type[PoseNetwork]:
    """Return the class of a network by its name in ``NETWORKS``, or by its path.

    The path is `my_package:MyNet` or `my_package.MyNet`, of a module that can be imported or is in the working
    directory. Raises SettingsError, with the most similar name, for an unknown name, or with what is wrong with the
    class.
    """
    network_type = NETWORKS.get(name)
    if network_type is None:
        if is_dotted_path(name):
            return own_class(with_colon(name))
        raise SettingsError(
            f"network: no network is called {name!r}.{did_you_mean(name, NETWORKS)} There are: {', '.join(NETWORKS)}; "
            "and any class by its path, my_package:MyNet."
        )
    if is_own(network_type):
        check_class(network_type, name)
    return network_type


def input_geometry(name: str, size: int | None = None) -> InputSettings:
    """Return input side (None: the network's default) and stride; SettingsError for a bad side suggests a valid one."""
    return network_geometry(network_class(name), size, name=name)


def network_geometry(
    network: PoseNetwork | type[PoseNetwork], size: int | None = None, *, name: str = "this network"
) -> InputSettings:
    """Return input side and stride of a network object or class.

    Args:
        network: The network.
        size: Side of the input in pixels; None: the one that the network was trained at, else its default.
        name: Name of the network in error messages.

    Raises:
        SettingsError: The network does not take this size; the message suggests a valid one.
    """
    if size is None:
        size = network.trained_size or network.default_size
    if size % network.size_multiple:
        least = -(-MIN_SIZE // network.size_multiple)
        valid = max(round(size / network.size_multiple), least) * network.size_multiple
        raise SettingsError(f"size: {name} needs a multiple of {network.size_multiple}, got {size}. Try {valid}.")
    if size < MIN_SIZE:
        raise SettingsError(f"size: must be at least {MIN_SIZE} pixels, got {size}.")
    return InputSettings(size=size, stride=network.stride)


def build_network(name: str, *, skeleton: Skeleton = COCO_PERSON, seed: int | None = None) -> PoseNetwork:
    """Build a network with initial weights; the same ``seed`` always gives the same weights.

    Args:
        name: One of ``NETWORKS``, or the path of a class, `my_package:MyNet`.
        skeleton: Parts and limbs that its maps show.
        seed: None draws from PyTorch's global generator; with a seed, its state stays as it was.

    Example:
        network = build_network("small", seed=0)
        heatmaps, pafs = network(torch.zeros(1, 3, 256, 256, dtype=torch.uint8))[-1].complete()

    Raises:
        SettingsError: There is no such network (the message suggests the most similar name), or it cannot be built for
            this skeleton.
    """
    network_type = network_class(name)
    if seed is None:
        return construct(network_type, name, skeleton)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return construct(network_type, name, skeleton)
