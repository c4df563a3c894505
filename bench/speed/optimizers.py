"""How long a step of each optimizer takes, and what state it keeps."""

import warnings
from functools import partial

import torch
from adabound import AdaBound

from bench.optimizers import OPTIMIZERS
from bench.speed.compare import Pair, Row, compare
from posemodel.device import synchronize
from posemodel.network import build_network
from posemodel.training_state import optimizer_state_bytes

NETWORK = "rtpose_vgg"
LR = 1e-3
GRADIENT = 1e-3
"""Standard deviation of the made-up gradients."""


def measure(device: torch.device, *, repeats: int = 10) -> list[Row]:
    """Time one step of each optimizer on the parameters of `rtpose_vgg`, against the `adabound` package's step.

    Defaults of each, fused or multi-tensor where PyTorch has it, with all the threads that PyTorch takes. AdaBound here
    is that package too: its row compares it with itself, and shows the noise.
    """
    warnings.filterwarnings("ignore", message=r"This overload of add_ is deprecated")  # by the package's own call
    package = AdaBound(_parameters(device), lr=LR)
    return [
        compare(
            name,
            "a step of the adabound package",
            [Pair(_stepper(name, device).step, package.step)],
            repeats=repeats,
            warm_up=2,
            synchronize=partial(synchronize, device),
            device=device.type,
            state_bytes=_state_bytes(name, device),
        )
        for name in OPTIMIZERS
    ]


def _stepper(name: str, device: torch.device) -> torch.optim.Optimizer:
    return OPTIMIZERS[name].factory({"lr": LR})(_parameters(device))


def _parameters(device: torch.device) -> list[torch.nn.Parameter]:
    """Of the network, with made-up gradients."""
    generator = torch.Generator().manual_seed(0)
    parameters = list(build_network(NETWORK, seed=0).to(device).parameters())
    for parameter in parameters:
        parameter.grad = (GRADIENT * torch.randn(parameter.shape, generator=generator)).to(device)
    return parameters


def _state_bytes(name: str, device: torch.device) -> int:
    optimizer = _stepper(name, device)
    optimizer.step()
    return optimizer_state_bytes(optimizer)
