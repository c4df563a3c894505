"""The classes of the registered optimizers, apart from `built_in` because this module imports PyTorch."""

from collections.abc import Iterable
from typing import Any

import torch
from adabound import AdaBound as PackageAdaBound
from torch.nn import Parameter
from torch.optim import Optimizer

from bench.optimizers.adabound import AdaBound, AdaBoundW, AMSBound
from bench.optimizers.implementation import build_fastest

CLASSES: dict[str, type[Optimizer]] = {
    "SGD": torch.optim.SGD,
    "Adagrad": torch.optim.Adagrad,
    "Adadelta": torch.optim.Adadelta,
    "Adam": torch.optim.Adam,
    "AdaBound": AdaBound,
    "AMSBound": AMSBound,
    "AdaBoundW": AdaBoundW,
    "adabound.AdaBound": PackageAdaBound,
}


def build(name: str, parameters: Iterable[Parameter], **hyperparameters: Any) -> Optimizer:
    """Build an optimizer of the class with this name in `CLASSES`."""
    return build_fastest(CLASSES[name], parameters, **hyperparameters)
