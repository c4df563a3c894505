"""Cost of a network: parameters and multiply-accumulates, counted by running its forward pass."""

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from posemodel.network import build_network, input_geometry


def network_cost(name: str, size: int | None = None) -> dict[str, Any]:
    """Return parameters, multiply-accumulates of one image's forward pass in 10^9 (`gmacs`), input side and stride.

    Runs on the meta device, where nothing is computed: even the largest network takes no time.

    Example:
        network_cost("small", size=256)["gmacs"]
    """
    geometry = input_geometry(name, size)
    with torch.device("meta"):
        network = build_network(name).eval()
        images = torch.zeros(1, 3, geometry.size, geometry.size, dtype=torch.uint8)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(images)
    return {
        "network": name,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "gmacs": counter.get_total_flops() / 2 / 1e9,
        "size": geometry.size,
        "stride": geometry.stride,
    }
