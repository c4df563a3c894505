"""Time a step of each optimizer against the `adabound` package's, and count the bytes of its state."""

import inspect
import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer

from bench.measure.own_time import CheapSteps
from bench.optimizers import OPTIMIZERS, optimizer_entry
from bench.optimizers.check import driving_text
from bench.optimizers.entry import RATE, OptimizerEntry
from bench.optimizers.implementation import implementation_of
from bench.optimizers.unfit import check_trains
from bench.speed.compare import Pair, Row, compare, summarize
from posemodel.device import synchronize
from posemodel.errors import SettingsError
from posemodel.network import build_network
from posemodel.training.optimizer_state import optimizer_state_bytes

NETWORK = "rtpose_vgg"
REFERENCE = "adabound_reference"
"""The yardstick, by its name in the registry: the `adabound` package."""
YARDSTICK = "a step of the adabound package"
MAX_RATIO = {"cpu": 0.6, "cuda": 0.35}
"""Device type -> largest allowed ratio of our AdaBound to that package."""
LR = 1e-3
GRADIENT = 1e-3
"""Standard deviation of the random gradients."""
WARM_UP = 2
"""Steps of both sides that are not counted."""


def trainable(names: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Split names of optimizers into those that can train, and the reason of each other one.

    Raises SettingsError, with the reasons, if none can.
    """
    fit: list[str] = []
    reasons: dict[str, str] = {}
    for name in names:
        try:
            entry = optimizer_entry(name)
            check_trains(entry, _hyperparameters(entry))
        except SettingsError as error:
            reasons[name] = str(error)
        else:
            fit.append(name)
    if not fit:
        raise SettingsError(" ".join(reasons.values()))
    return fit, reasons


def measure(device: torch.device, *, names: Sequence[str] = tuple(OPTIMIZERS), repeats: int = 10) -> list[Row]:
    """Time one step of each optimizer on the parameters of `rtpose_vgg`, against the `adabound` package's step.

    Each has its default hyperparameters, the implementation that a study uses on this device, and PyTorch's default
    number of threads. The row of the package compares it with itself and so shows the noise.

    A step that evaluates gradients itself (`step(closure)`) counts without those evaluations; their number is the fact
    ``gradient_evaluations`` of its row.
    """
    package = optimizer_entry(REFERENCE).factory({RATE: LR})(_with_gradients(_network(device)))
    return [_compare(name, device, package, repeats) for name in names]


def _compare(name: str, device: torch.device, package: Optimizer, repeats: int) -> Row:
    entry, network = optimizer_entry(name), _network(device)
    cheap = CheapSteps(network, entry.factory(_hyperparameters(entry)))
    optimizer = cheap.optimizer
    if not cheap.driving.ordinary:
        return _compare_own_work(name, cheap, device, package, repeats)
    _with_gradients(network)
    optimizer.step()
    return compare(
        name,
        YARDSTICK,
        [Pair(optimizer.step, package.step)],
        repeats=repeats,
        max_ratio=MAX_RATIO.get(device.type) if name == "adabound" else None,
        warm_up=WARM_UP,
        synchronize=partial(synchronize, device),
        **_facts(cheap, device),
    )


def _compare_own_work(name: str, cheap: CheapSteps, device: torch.device, package: Optimizer, repeats: int) -> Row:
    """Time the own work of steps that evaluate gradients, in turns with the package's steps."""
    seconds, evaluations = np.empty((repeats, 2)), np.empty(repeats)
    for repeat in range(-WARM_UP, repeats):
        if repeat % 2:
            own, package_s = cheap.step(), _seconds(package, device)
        else:
            package_s, own = _seconds(package, device), cheap.step()
        if repeat >= 0:
            seconds[repeat], evaluations[repeat] = (own[0], package_s), own[1]
    return summarize(
        name,
        YARDSTICK,
        1000 * seconds[:, 0],
        1000 * seconds[:, 1],
        **_facts(cheap, device),
        gradient_evaluations=float(evaluations.mean()),
    )


def _seconds(optimizer: Optimizer, device: torch.device) -> float:
    synchronize(device)
    began = time.perf_counter()
    optimizer.step()
    synchronize(device)
    return time.perf_counter() - began


def _facts(cheap: CheapSteps, device: torch.device) -> dict[str, Any]:
    driving = driving_text(cheap.driving)
    return {
        "device": device.type,
        "implementation": implementation_of(cheap.optimizer),
        "state_bytes": optimizer_state_bytes(cheap.optimizer),
        **({} if driving is None else {"driving": driving}),
    }


def _hyperparameters(entry: OptimizerEntry) -> dict[str, Any]:
    """Return a learning rate for a class that has no default; the time of a step does not depend on it."""
    return {RATE: LR} if entry.hyperparameters.get(RATE) is inspect.Parameter.empty else {}


def _network(device: torch.device) -> torch.nn.Module:
    """Return the network in the memory format of training (channels last)."""
    network: torch.nn.Module = build_network(NETWORK, seed=0)
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _with_gradients(network: torch.nn.Module) -> list[torch.nn.Parameter]:
    """Return the network's parameters, with random gradients."""
    generator = torch.Generator().manual_seed(0)
    parameters = list(network.parameters())
    for parameter in parameters:
        noise = GRADIENT * torch.randn(parameter.shape, generator=generator)
        parameter.grad = torch.empty_like(parameter).copy_(noise)
    return parameters
