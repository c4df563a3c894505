"""What a training run and the factory of its optimizer tell each other: the run's numbers, and how to drive the result.

Unlike `driving.py`, this module does not import PyTorch.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from posemodel.errors import SettingsError

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from posemodel.training.parameter_groups import Parameters

ClosureUse = Literal["unused", "after_gradients", "only"]


@dataclass(frozen=True)
class Driving:
    """What an optimizer needs of the loop; the default is an ordinary `step()` after the backward pass."""

    closure: ClosureUse = "unused"
    """`after_gradients`: gradients first, then `step(closure)`, which calls it at other weights (SAM). `only`:
    `step(closure)` calls it for the first gradients too (LBFGS)."""
    graph: bool = False
    """Gradients keep their graph (`backward(create_graph=True)`), for products of the Hessian with vectors."""
    modes: bool = False
    """`train()` and `eval()` switch the weights between those that are trained and those that are judged."""
    away: bool = False
    """`step(closure)` calls the closure at other weights than those that stand between steps, and these are judged
    (schedule-free methods without modes)."""

    @property
    def ordinary(self) -> bool:
        """Whether a step is the ordinary one; the weights may still have two modes."""
        return self.closure == "unused" and not self.graph

    @property
    def stale_statistics(self) -> bool:
        """Whether batch norm tracks its statistics at other weights than those that are judged."""
        return self.modes or self.away


ORDINARY = Driving()


@dataclass(frozen=True)
class Training:
    """What a run knows when it makes its optimizer."""

    parameters: "Parameters"
    """The parameters to train, plain or in groups."""
    network: "nn.Module | None" = None
    """The network; None where only parameters are known."""
    steps: int | None = None
    """Length of the run in gradient evaluations; None if its budget is a time."""
    samples: int | None = None
    """Number of training samples."""


@dataclass(frozen=True)
class OptimizerMaker:
    """A factory of optimizers that says how they are driven.

    Example:
        maker = OptimizerMaker(lambda training: Adahessian(training.parameters, lr=0.1), Driving(graph=True))
        train(settings, maker)
    """

    build: "Callable[[Training], Optimizer]"
    driving: Driving = ORDINARY
    on_made: "Callable[[Optimizer], object] | None" = None
    """Called with each optimizer that is made."""

    def __call__(self, parameters: "Parameters") -> "Optimizer":
        """Make the optimizer from parameters alone, for loops that only call `step()`.

        Raises SettingsError if such a loop would not drive it as it needs.
        """
        if not self.driving.ordinary or self.driving.modes:
            raise SettingsError(
                "optimizer: it needs more than `step()`: a closure, gradients with their graph, or train() and eval(). "
                "Drive it by `make_driven` and `Driver` of posemodel.training.driving, as `train_steps` does."
            )
        return self.make(Training(parameters))

    def make(self, training: Training) -> "Optimizer":
        """Make the optimizer of a run, in training mode if it has modes."""
        optimizer = self.build(training)
        if self.driving.modes:
            optimizer.train()  # type: ignore[attr-defined]
        if self.on_made is not None:
            self.on_made(optimizer)
        return optimizer

    def noting(self, on_made: "Callable[[Optimizer], object]") -> "OptimizerMaker":
        """Return the same factory with a function that is called with each optimizer that it makes."""
        return replace(self, on_made=on_made)


def has_modes(optimizer: object) -> bool:
    """Return whether an optimizer has `train()` and `eval()`."""
    return callable(getattr(optimizer, "train", None)) and callable(getattr(optimizer, "eval", None))
