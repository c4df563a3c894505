"""A user's own optimizer, which a study file names by its dotted import path."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer


class SignSGD(Optimizer):
    """Steps of one size in the direction of the gradient's signs (Bernstein et al., ICML 2018), or momentum's."""

    def __init__(self, params: Iterable[Tensor], lr: float = 1e-3, momentum: float = 0.0) -> None:
        if lr < 0 or not 0 <= momentum < 1:
            raise ValueError(f"Invalid lr {lr} or momentum {momentum}")
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                direction = weight.grad
                if group["momentum"] > 0:
                    direction = self.state[weight].setdefault("momentum_buffer", torch.zeros_like(weight))
                    direction.mul_(group["momentum"]).add_(weight.grad)
                weight.sub_(direction.sign(), alpha=group["lr"])
        return loss
