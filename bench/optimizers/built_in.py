"""Build the optimizers of the registry: PyTorch's, our AdaBound, AMSBound and AdaBoundW, and the
`adabound` package's AdaBound.

Defaults are those of PyTorch and of the package. The hyperparameters that an optimizer accepts are read from its
function's signature. torch is imported only when an optimizer is built, so that names and search spaces can be read
without it.
"""

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.nn import Parameter
    from torch.optim import Optimizer


def sgd(
    parameters: Iterable["Parameter"], lr: float = 1e-3, momentum: float = 0.9, weight_decay: float = 0.0
) -> "Optimizer":
    """SGD with (heavy-ball) momentum: v = momentum * v + g; w -= lr * v."""
    return _build("SGD", parameters, lr=lr, momentum=momentum, weight_decay=weight_decay)


def nesterov(
    parameters: Iterable["Parameter"], lr: float = 1e-3, momentum: float = 0.9, weight_decay: float = 0.0
) -> "Optimizer":
    """SGD with Nesterov's momentum: v = momentum * v + g; w -= lr * (g + momentum * v)."""
    return _build("SGD", parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=True)


def adagrad(
    parameters: Iterable["Parameter"],
    lr: float = 1e-2,
    initial_accumulator_value: float = 0.0,
    eps: float = 1e-10,
    weight_decay: float = 0.0,
) -> "Optimizer":
    """Adagrad: s += g^2; w -= lr * g / (sqrt(s) + eps)."""
    return _build(
        "Adagrad",
        parameters,
        lr=lr,
        initial_accumulator_value=initial_accumulator_value,
        eps=eps,
        weight_decay=weight_decay,
    )


def adadelta(
    parameters: Iterable["Parameter"], lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0.0
) -> "Optimizer":
    """AdaDelta: steps scaled by the ratio of running means of squared updates and squared gradients."""
    return _build("Adadelta", parameters, lr=lr, rho=rho, eps=eps, weight_decay=weight_decay)


def adam(
    parameters: Iterable["Parameter"],
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled_weight_decay: bool = False,
) -> "Optimizer":
    """Adam: bias-corrected running means of the gradient and of its square; w -= lr * m / (sqrt(v) + eps).

    ``decoupled_weight_decay``: apply weight decay to the weights, as AdamW does (Loshchilov and Hutter, ICLR 2019).
    """
    return _build(
        "Adam",
        parameters,
        lr=lr,
        betas=betas,
        eps=eps,
        weight_decay=weight_decay,
        decoupled_weight_decay=decoupled_weight_decay,
    )


def adabound(
    parameters: Iterable["Parameter"],
    lr: float = 1e-3,
    final_lr: float = 0.1,
    gamma: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    scale_final_lr: bool = True,
    decoupled_weight_decay: bool = False,
) -> "Optimizer":
    """AdaBound: Adam with the step of each weight clipped to bounds that converge to ``final_lr``.

    ``scale_final_lr``, ``decoupled_weight_decay``: see `adabound.AdaBound`.
    """
    return _build(
        "AdaBound",
        parameters,
        lr=lr,
        betas=betas,
        final_lr=final_lr,
        gamma=gamma,
        eps=eps,
        weight_decay=weight_decay,
        scale_final_lr=scale_final_lr,
        decoupled_weight_decay=decoupled_weight_decay,
    )


def amsbound(
    parameters: Iterable["Parameter"],
    lr: float = 1e-3,
    final_lr: float = 0.1,
    gamma: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    scale_final_lr: bool = True,
    decoupled_weight_decay: bool = False,
) -> "Optimizer":
    """AMSBound: AdaBound with the running maximum of the second moment.

    ``scale_final_lr``, ``decoupled_weight_decay``: see `adabound.AdaBound`.
    """
    return _build(
        "AMSBound",
        parameters,
        lr=lr,
        betas=betas,
        final_lr=final_lr,
        gamma=gamma,
        eps=eps,
        weight_decay=weight_decay,
        scale_final_lr=scale_final_lr,
        decoupled_weight_decay=decoupled_weight_decay,
    )


def adaboundw(
    parameters: Iterable["Parameter"],
    lr: float = 1e-3,
    final_lr: float = 0.1,
    gamma: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    scale_final_lr: bool = True,
) -> "Optimizer":
    """AdaBound with decoupled weight decay: w *= 1 - lr * weight_decay. ``scale_final_lr``: see `adabound.AdaBound`."""
    return _build(
        "AdaBoundW",
        parameters,
        lr=lr,
        betas=betas,
        final_lr=final_lr,
        gamma=gamma,
        eps=eps,
        weight_decay=weight_decay,
        scale_final_lr=scale_final_lr,
    )


def adabound_reference(
    parameters: Iterable["Parameter"],
    lr: float = 1e-3,
    final_lr: float = 0.1,
    gamma: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> "Optimizer":
    """AdaBound of the `adabound` package, with which our AdaBound is compared."""
    # The package calls deprecated signatures (`add_(scalar, tensor)`), which warn in every run.
    warnings.filterwarnings("ignore", message=r"This overload of \w+ is deprecated", category=UserWarning)
    return _build(
        "adabound.AdaBound",
        parameters,
        lr=lr,
        betas=betas,
        final_lr=final_lr,
        gamma=gamma,
        eps=eps,
        weight_decay=weight_decay,
    )


def _build(name: str, parameters: Iterable["Parameter"], **hyperparameters: Any) -> "Optimizer":
    """Build an optimizer of one of the classes in the module `shipped`."""
    from bench.optimizers.shipped import build  # imports PyTorch, which names and spaces do not need

    return build(name, parameters, **hyperparameters)
