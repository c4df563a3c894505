"""How long a step of each optimizer takes, and what state it keeps."""

from functools import partial

import torch

from bench.optimizers import OPTIMIZERS
from bench.optimizers.implementation import implementation_of
from bench.speed.compare import Pair, Row, compare
from posemodel.device import synchronize
from posemodel.network import build_network
from posemodel.training.state import optimizer_state_bytes

NETWORK = "rtpose_vgg"
REFERENCE = "adabound_reference"
"""The yardstick: the `adabound` package."""
ASKED = {"cpu": 0.6, "cuda": 0.35}
"""Of our AdaBound against that package (the design's budget)."""
LR = 1e-3
GRADIENT = 1e-3
"""Standard deviation of the made-up gradients."""


def measure(device: torch.device, *, repeats: int = 10) -> list[Row]:
    """Time one step of each optimizer on the parameters of `rtpose_vgg`, against the `adabound` package's step.

    Defaults of each, in the implementation that a study takes on this device, with all the threads that PyTorch takes.
    The package's own row compares it with itself, and shows the noise.
    """
    package = _stepper(REFERENCE, device)
    return [_compare(name, device, package, repeats) for name in OPTIMIZERS]


def _compare(name: str, device: torch.device, package: torch.optim.Optimizer, repeats: int) -> Row:
    optimizer = _stepper(name, device)
    optimizer.step()
    return compare(
        name,
        "a step of the adabound package",
        [Pair(optimizer.step, package.step)],
        repeats=repeats,
        asked=ASKED.get(device.type) if name == "adabound" else None,
        warm_up=2,
        synchronize=partial(synchronize, device),
        device=device.type,
        implementation=implementation_of(optimizer),
        state_bytes=optimizer_state_bytes(optimizer),
    )


def _stepper(name: str, device: torch.device) -> torch.optim.Optimizer:
    return OPTIMIZERS[name].factory({"lr": LR})(_parameters(device))


def _parameters(device: torch.device) -> list[torch.nn.Parameter]:
    """Of the network, laid out as in training, with made-up gradients."""
    generator = torch.Generator().manual_seed(0)
    network = build_network(NETWORK, seed=0).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    parameters = list(network.parameters())
    for parameter in parameters:
        noise = GRADIENT * torch.randn(parameter.shape, generator=generator)
        parameter.grad = torch.empty_like(parameter).copy_(noise)
    return parameters
