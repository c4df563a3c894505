"""Statistics of batch norm for weights that were not trained with them, computed from batches of the training.

Schedule-free methods judge a network at other weights than those that they train, and its statistics belong to the
latter (Defazio et al., The Road Less Scheduled, NeurIPS 2024).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from posemodel.training.batch_norm import averaging, tracking_norms


@contextmanager
def own_statistics(network: nn.Module) -> Iterator[None]:
    """After the block the statistics are exactly as before it."""
    kept = [(buffer, buffer.clone()) for norm in tracking_norms(network) for buffer in norm.buffers()]
    try:
        yield
    finally:
        for buffer, before in kept:
            buffer.copy_(before)


def recompute_statistics(network: nn.Module, passes: Sequence[Callable[[], object]]) -> None:
    """Replace the statistics by their means over ``passes``, each a forward pass over a batch; weights do not change.

    The network is left in training mode. Global random numbers are left as they are.
    """
    norms = tracking_norms(network)
    if not norms or not passes:
        return
    network.train()
    device = next(network.parameters()).device
    devices = [device] if device.type == "cuda" else []
    with averaging(norms), torch.random.fork_rng(devices=devices), torch.no_grad():
        for each in passes:
            each()
