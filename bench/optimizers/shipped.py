"""The classes of the registry's optimizers, by the names that `built_in` has for them."""

from collections.abc import Iterable
from typing import Any

import torch
from adabound import AdaBound as PackageAdaBound
from torch.nn import Parameter
from torch.optim import Optimizer

from bench.optimizers.adabound import AdaBound, AMSBound
from bench.optimizers.implementation import build_fastest

CLASSES: dict[str, type[Optimizer]] = {
    "SGD": torch.optim.SGD,
    "Adagrad": torch.optim.Adagrad,
    "Adadelta": torch.optim.Adadelta,
    "Adam": torch.optim.Adam,
    "AdaBound": AdaBound,
    "AMSBound": AMSBound,
    "adabound.AdaBound": PackageAdaBound,
}


def build(name: str, parameters: Iterable[Parameter], **hyperparameters: Any) -> Optimizer:
    """An optimizer of one of these classes."""
    return build_fastest(CLASSES[name], parameters, **hyperparameters)
