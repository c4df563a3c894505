"""Choose the fastest exact implementation of an optimizer that PyTorch has, and name it for the record.

On a CPU without a fused kernel it is the loop over tensors: `foreach` needs memory for all tensors at once, and takes
1.3 (Rprop) to 4.8 (Adamax) times as long on the parameters of `rtpose_vgg`; on small networks both take equally long.
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
from posemodel.training.joined import Joined


def build_fastest(
    optimizer_class: type[Optimizer], parameters: Iterable[Parameter], **hyperparameters: Any
) -> Optimizer:
    """Build an optimizer of any class, in the fastest exact implementation for these parameters (or groups)."""
    groups = list(parameters)
    weights = [weight for each in groups for weight in (each["params"] if isinstance(each, dict) else (each,))]
    make: Callable[..., Optimizer] = optimizer_class
    return make(groups, **hyperparameters, **fastest(optimizer_class, weights))


def fastest(optimizer_class: type[Optimizer], weights: Sequence[Tensor]) -> dict[str, bool]:
    """Return the arguments that select the fastest implementation for these weights; empty if the class is not
    PyTorch's.

    Fused if the class has a fused kernel for the device and dtypes, otherwise `foreach` on CUDA and a loop elsewhere.
    """
    if not is_of_torch(optimizer_class):
        return {}
    accepted = inspect.signature(optimizer_class).parameters
    kinds = {(weight.device.type, weight.dtype) for weight in weights}
    # mypy mistakes the class for an instance, whose hash needs `self`.
    if "fused" in accepted and all(_has_fused(optimizer_class, *kind) for kind in kinds):  # type: ignore[arg-type]
        return {"fused": True}
    return {"foreach": all(weight.is_cuda for weight in weights)} if "foreach" in accepted else {}


def implementation_of(optimizer: Optimizer) -> str:
    """Return the implementation used, e.g. "torch.optim.adam.Adam (fused)"; only the class if the implementation is
    unknown."""
    if isinstance(optimizer, Joined):
        return " with ".join(map(implementation_of, optimizer.parts))
    kind = type(optimizer)
    path = f"{kind.__module__}.{kind.__qualname__}"
    implementation = optimizer.implementation() if isinstance(optimizer, AdaBound) else _kind(optimizer)
    return f"{path} ({implementation})" if implementation else path


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
    """Return whether a class is one of PyTorch's own."""
    return optimizer_class.__module__.startswith("torch.optim.")


@cache
def _has_fused(optimizer_class: type[Optimizer], device: str, dtype: torch.dtype) -> bool:
    """Return whether a fused step works on a device and dtype, by trying one: no public API says so."""
    weight = torch.nn.Parameter(torch.zeros(1, device=device, dtype=dtype))
    weight.grad = torch.zeros_like(weight)
    make: Callable[..., Optimizer] = optimizer_class
    try:
        make([weight], fused=True).step()
    except RuntimeError:
        return False
    return True
