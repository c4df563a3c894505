"""The six optimizers of the mission: PyTorch's own classes, and the `adabound` package for AdaBound.

Defaults are PyTorch's (and the package's). torch is imported when one is built: names and spaces cost no import.
"""

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.nn import Parameter
    from torch.optim import Optimizer


_FUSED_DEVICES = ("cpu", "cuda")


def _fused(weights: list["Parameter"], *, devices: tuple[str, ...] = _FUSED_DEVICES) -> bool | None:
    """True where PyTorch has one kernel for the whole step (the same rule, many times faster); None: its own choice."""
    return all(w.device.type in devices and w.is_floating_point() for w in weights) or None


def sgd(
    parameters: Iterable["Parameter"], lr: float = 1e-3, momentum: float = 0.9, weight_decay: float = 0.0
) -> "Optimizer":
    """SGD with (heavy-ball) momentum: v = momentum * v + g; w -= lr * v."""
    from torch.optim import SGD

    weights = list(parameters)
    return SGD(weights, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=_fused(weights))


def nesterov(
    parameters: Iterable["Parameter"], lr: float = 1e-3, momentum: float = 0.9, weight_decay: float = 0.0
) -> "Optimizer":
    """SGD with Nesterov's momentum: v = momentum * v + g; w -= lr * (g + momentum * v)."""
    from torch.optim import SGD

    weights = list(parameters)
    return SGD(weights, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=True, fused=_fused(weights))


def adagrad(
    parameters: Iterable["Parameter"],
    lr: float = 1e-2,
    initial_accumulator_value: float = 0.0,
    eps: float = 1e-10,
    weight_decay: float = 0.0,
) -> "Optimizer":
    """Adagrad: s += g^2; w -= lr * g / (sqrt(s) + eps)."""
    from torch.optim import Adagrad

    weights = list(parameters)
    return Adagrad(
        weights,
        lr=lr,
        initial_accumulator_value=initial_accumulator_value,
        eps=eps,
        weight_decay=weight_decay,
        fused=_fused(weights, devices=("cpu",)),
    )


def adadelta(
    parameters: Iterable["Parameter"], lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0.0
) -> "Optimizer":
    """AdaDelta: steps scaled by the ratio of running means of squared updates and squared gradients."""
    from torch.optim import Adadelta

    return Adadelta(parameters, lr=lr, rho=rho, eps=eps, weight_decay=weight_decay)


def adam(
    parameters: Iterable["Parameter"],
    lr: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> "Optimizer":
    """Adam: bias-corrected running means of the gradient and of its square; w -= lr * m / (sqrt(v) + eps)."""
    from torch.optim import Adam

    weights = list(parameters)
    return Adam(weights, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay, fused=_fused(weights))


def adabound(
    parameters: Iterable["Parameter"],
    lr: float = 1e-3,
    final_lr: float = 0.1,
    gamma: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> "Optimizer":
    """AdaBound: Adam whose per-weight step is clipped to bounds that close in on ``final_lr``."""
    from adabound import AdaBound

    # The package calls deprecated signatures (`add_(scalar, tensor)`), which would warn in every run.
    warnings.filterwarnings("ignore", message=r"This overload of \w+ is deprecated", category=UserWarning)
    return AdaBound(
        parameters,
        lr=lr,
        betas=(beta1, beta2),
        final_lr=final_lr,
        gamma=gamma,
        eps=eps,
        weight_decay=weight_decay,
    )
