"""A network or its checkpoint, made ready for use: on a device, with the input that it is meant for."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from posemodel.config import Device, InputSettings
from posemodel.device import choose_device
from posemodel.network import PoseNetwork, geometry_of
from posemodel.network.weights import load_network


def network_in_use(
    network: PoseNetwork | Path | str, *, size: int | None = None, device: Device = "auto"
) -> tuple[PoseNetwork, InputSettings]:
    """The network and its input.

    Args:
        network: A network, or the file of a checkpoint.
        size: Side of the input in pixels; None: the checkpoint's own, or the network's default.
        device: For a checkpoint, auto is the best there is. A network stays where it is with auto; with another it is
            moved there.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        SettingsError: no such device here, or the network does not take the size.
    """
    if isinstance(network, PoseNetwork):
        if device != "auto":
            network.to(choose_device(device))
        return network, geometry_of(network, size)
    loaded, info = load_network(Path(network), choose_device(device))
    return loaded, geometry_of(loaded, info.size if size is None else size, name=info.network)


@contextmanager
def in_evaluation(network: PoseNetwork) -> Iterator[None]:
    """Evaluation mode; the network's own mode is put back."""
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)
