"""Preparation of a network, wrapped network or checkpoint: load it, move it to a device, find its input geometry."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import nn

from posemodel.config import Device, InputSettings
from posemodel.device import choose_device
from posemodel.errors import SettingsError
from posemodel.network import PoseNetwork, network_geometry
from posemodel.network.own import check_output
from posemodel.network.weights import load_network

_WRAPPED = ("_orig_mod", "module")
"""Attributes that hold the inner network: in modules of torch.compile, and in DistributedDataParallel or DataParallel.
"""


def prepare_network(
    network: nn.Module | Path | str, *, size: int | None = None, device: Device = "auto"
) -> tuple[PoseNetwork, InputSettings]:
    """Return the network, loaded and on its device, and the geometry of its input.

    Args:
        network: A network, a wrapper (torch.compile's or DistributedDataParallel, say) whose inner network is used, or
            the file of a checkpoint.
        size: Side of the input in pixels; None: the one at which the weights were trained, or the network's default if
            they were not.
        device: With auto, a network stays on its device and a checkpoint is loaded onto the best device.

    Raises:
        CheckpointError: The checkpoint cannot be used.
        SettingsError: The device does not exist; the network does not take the size, is not a PoseNetwork, or returns
            maps that do not fit its skeleton.
    """
    if isinstance(network, (str, os.PathLike)):
        loaded, info = load_network(Path(network), choose_device(device))
        return loaded, network_geometry(loaded, size, name=info.network)
    unwrapped = _unwrapped(network)
    if device != "auto":
        unwrapped.to(choose_device(device))
    geometry = network_geometry(unwrapped, size)
    check_output(unwrapped, geometry.size, type(unwrapped).__name__)
    return unwrapped, geometry


def _unwrapped(network: nn.Module) -> PoseNetwork:
    unwrapped: object = network
    while isinstance(unwrapped, nn.Module) and not isinstance(unwrapped, PoseNetwork):
        attribute = next((name for name in _WRAPPED if isinstance(getattr(unwrapped, name, None), nn.Module)), None)
        unwrapped = getattr(unwrapped, attribute) if attribute is not None else None
    if not isinstance(unwrapped, PoseNetwork):
        raise SettingsError(
            f"network: is a {type(network).__name__}; give a PoseNetwork, a wrapper of one, or a checkpoint's file."
        )
    return unwrapped


@contextmanager
def evaluation_mode(network: PoseNetwork) -> Iterator[None]:
    """Set a network to evaluation mode within the block, and restore its mode afterwards."""
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)
