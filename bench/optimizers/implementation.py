"""Which implementation of an optimizer runs: the fastest exact one that PyTorch has, and its name for the record.

On a CPU, where there is no fused kernel, the loop over tensors: `foreach` needs memory for all tensors at once, and on
the parameters of `rtpose_vgg` it takes 1.3 (Rprop) to 4.8 (Adamax) times as long; on small networks the two are alike.
"""

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from bench.optimizers.adabound import AdaBound


def build_fastest(
    optimizer_class: type[Optimizer], parameters: Iterable[Parameter], **hyperparameters: Any
) -> Optimizer:
    """An optimizer of any class, in the fastest exact implementation for these parameters (or groups of them)."""
    given = list(parameters)
    weights = [weight for each in given for weight in (each["params"] if isinstance(each, dict) else (each,))]
    make: Callable[..., Optimizer] = optimizer_class
    return make(given, **hyperparameters, **fastest(optimizer_class, weights))


def fastest(optimizer_class: type[Optimizer], weights: Sequence[Tensor]) -> dict[str, bool]:
    """The arguments that choose the fastest implementation for these weights; none for classes that are not PyTorch's.

    Fused where the class has such a kernel for the device and dtypes, else `foreach` on CUDA, else a loop.
    """
    if not is_of_torch(optimizer_class):
        return {}
    accepted = inspect.signature(optimizer_class).parameters
    kinds = {(weight.device.type, weight.dtype) for weight in weights}
    # mypy takes a class for one of its instances, whose hash needs `self`.
    if "fused" in accepted and all(_has_fused(optimizer_class, *kind) for kind in kinds):  # type: ignore[arg-type]
        return {"fused": True}
    return {"foreach": all(weight.is_cuda for weight in weights)} if "foreach" in accepted else {}


def implementation_of(optimizer: Optimizer) -> str:
    """What runs, e.g. "torch.optim.adam.Adam (fused)"; only the class where its kind cannot be known."""
    kind = type(optimizer)
    path = f"{kind.__module__}.{kind.__qualname__}"
    found = optimizer.implementation() if isinstance(optimizer, AdaBound) else _kind(optimizer)
    return f"{path} ({found})" if found else path


def _kind(optimizer: Optimizer) -> str:
    groups = optimizer.param_groups
    for name in ("fused", "foreach"):
        if any(group.get(name) is True for group in groups):
            return name
    if not is_of_torch(type(optimizer)) or not any("foreach" in group for group in groups):
        return ""
    undecided = all(group.get("foreach") is None for group in groups)
    on_cuda = all(weight.is_cuda for group in groups for weight in group["params"])
    return "foreach" if undecided and on_cuda else "for-loop"  # PyTorch's own default


def is_of_torch(optimizer_class: type[Optimizer]) -> bool:
    """Whether a class is one of PyTorch's own."""
    return optimizer_class.__module__.startswith("torch.optim.")


@cache
def _has_fused(optimizer_class: type[Optimizer], device: str, dtype: torch.dtype) -> bool:
    """Whether a fused step works there: tried, as it differs by version, and PyTorch has no list that is public."""
    weight = torch.nn.Parameter(torch.zeros(1, device=device, dtype=dtype))
    weight.grad = torch.zeros_like(weight)
    make: Callable[..., Optimizer] = optimizer_class
    try:
        make([weight], fused=True).step()
    except RuntimeError:
        return False
    return True
