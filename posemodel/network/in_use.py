"""A network or its checkpoint, made ready for use: on a device, with the input that it is meant for."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import nn

from posemodel.config import Device, InputSettings
from posemodel.device import choose_device
from posemodel.errors import SettingsError
from posemodel.network import PoseNetwork, geometry_of
from posemodel.network.weights import load_network

_WRAPPED = ("_orig_mod", "module")
"""Where torch.compile's modules, and DistributedDataParallel, DataParallel and AveragedModel, hold the network."""


def network_in_use(
    network: nn.Module | Path | str, *, size: int | None = None, device: Device = "auto"
) -> tuple[PoseNetwork, InputSettings]:
    """The network and its input.

    Args:
        network: A network, a wrapper of one (of torch.compile or DistributedDataParallel, say: the network inside is
            used), or the file of a checkpoint.
        size: Side of the input in pixels; None: the one that the weights were trained at, or the network's default
            where they were not trained.
        device: For a checkpoint, auto is the best there is. A network stays where it is with auto; with another it is
            moved there.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        SettingsError: no such device here, the network does not take the size, or is none of this package's.
    """
    if isinstance(network, (str, os.PathLike)):
        loaded, info = load_network(Path(network), choose_device(device))
        return loaded, geometry_of(loaded, size, name=info.network)
    inside = _inside(network)
    if device != "auto":
        inside.to(choose_device(device))
    return inside, geometry_of(inside, size)


def _inside(network: nn.Module) -> PoseNetwork:
    """The network in its wrappers."""
    inside: object = network
    while isinstance(inside, nn.Module) and not isinstance(inside, PoseNetwork):
        held = next((name for name in _WRAPPED if isinstance(getattr(inside, name, None), nn.Module)), None)
        inside = getattr(inside, held) if held is not None else None
    if not isinstance(inside, PoseNetwork):
        raise SettingsError(
            f"network: is a {type(network).__name__}; give a PoseNetwork, a wrapper of one, or a checkpoint's file."
        )
    return inside


@contextmanager
def in_evaluation(network: PoseNetwork) -> Iterator[None]:
    """Evaluation mode; the network's own mode is put back."""
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)
