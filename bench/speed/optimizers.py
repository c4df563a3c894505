"""Time a step of each optimizer against the `adabound` package's, and count the bytes of its state."""

from functools import partial

import torch

from bench.optimizers import OPTIMIZERS
from bench.optimizers.implementation import implementation_of
from bench.speed.compare import Pair, Row, compare
from posemodel.device import synchronize
from posemodel.network import build_network
from posemodel.training.optimizer_state import optimizer_state_bytes

NETWORK = "rtpose_vgg"
REFERENCE = "adabound_reference"
"""The yardstick, by its name in the registry: the `adabound` package."""
MAX_RATIO = {"cpu": 0.6, "cuda": 0.35}
"""Device type -> largest allowed ratio of our AdaBound to that package."""
LR = 1e-3
GRADIENT = 1e-3
"""Standard deviation of the random gradients."""


def measure(device: torch.device, *, repeats: int = 10) -> list[Row]:
    """Time one step of each optimizer on the parameters of `rtpose_vgg`, against the `adabound` package's step.

    Each has its default hyperparameters, the implementation that a study uses on this device, and PyTorch's default
    number of threads. The row of the package compares it with itself and so shows the noise.
    """
    package = _optimizer(REFERENCE, device)
    return [_compare(name, device, package, repeats) for name in OPTIMIZERS]


def _compare(name: str, device: torch.device, package: torch.optim.Optimizer, repeats: int) -> Row:
    optimizer = _optimizer(name, device)
    optimizer.step()
    return compare(
        name,
        "a step of the adabound package",
        [Pair(optimizer.step, package.step)],
        repeats=repeats,
        max_ratio=MAX_RATIO.get(device.type) if name == "adabound" else None,
        warm_up=2,
        synchronize=partial(synchronize, device),
        device=device.type,
        implementation=implementation_of(optimizer),
        state_bytes=optimizer_state_bytes(optimizer),
    )


def _optimizer(name: str, device: torch.device) -> torch.optim.Optimizer:
    return OPTIMIZERS[name].factory({"lr": LR})(_parameters(device))


def _parameters(device: torch.device) -> list[torch.nn.Parameter]:
    """Return the network's parameters, in the memory format of training (channels last), with random gradients."""
    generator = torch.Generator().manual_seed(0)
    network = build_network(NETWORK, seed=0).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    parameters = list(network.parameters())
    for parameter in parameters:
        noise = GRADIENT * torch.randn(parameter.shape, generator=generator)
        parameter.grad = torch.empty_like(parameter).copy_(noise)
    return parameters
