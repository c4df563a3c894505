"""Cost of a network: parameters and multiply-accumulates, counted by running its forward pass."""

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from posemodel.dotted_paths import with_colon
from posemodel.network import PoseNetwork, build_network, input_geometry
from posemodel.network.prepare import evaluation_mode
from posemodel.skeleton import COCO_PERSON, Skeleton


def network_cost(name: str, size: int | None = None, skeleton: Skeleton = COCO_PERSON) -> dict[str, Any]:
    """Return parameters, multiply-accumulates of one image's forward pass in 10^9 (`gmacs`), input side and stride.

    Runs on the meta device, where nothing is computed: even the largest network takes no time. A user's class that
    cannot be built or run there runs on the CPU.

    Example:
        network_cost("small", size=256)["gmacs"]
    """
    geometry = input_geometry(name, size)
    try:
        with torch.device("meta"):
            network = build_network(name, skeleton=skeleton)
        cost = cost_of(network, geometry.size)
    except Exception:  # a user's class may need numbers
        cost = cost_of(build_network(name, skeleton=skeleton, seed=0), geometry.size)
    return {"network": with_colon(name), **cost, "size": geometry.size, "stride": geometry.stride}


def cost_of(network: PoseNetwork, size: int) -> dict[str, float]:
    """Return the `parameters` and `gmacs` of a network by one forward pass on its device, at a side of ``size`` pixels.

    Its mode and statistics stay as they are.
    """
    parameters = list(network.parameters())
    device = parameters[0].device if parameters else torch.device("cpu")
    images = torch.zeros(1, 3, size, size, dtype=torch.uint8, device=device)
    with evaluation_mode(network), torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(images)
    return {
        "parameters": sum(parameter.numel() for parameter in parameters),
        "gmacs": counter.get_total_flops() / 2 / 1e9,
    }
