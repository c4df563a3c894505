"""Read what an optimizer class takes: its hyperparameters, and what the training itself has to give it.

A class takes what it documents, its own named arguments. `**kwargs` stands for those of its next base class that are
keywords with defaults, and for a learning rate; another required argument of the base is given by the class itself.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch.optim import Optimizer

from bench.optimizers.entry import RATE, Fillable

Role = Literal["parameters", "named_parameters", "network", "optimizer", "optimizer_class", "steps", "samples"]
"""What the training gives for an argument: parameters (with names), the network, another optimizer (its class), the
length of the run in steps, or the number of its training samples."""

PARAMETERS = ("params", "parameters", "param_groups", "groups")
NAMED_PARAMETERS = ("named_parameters", "named_params")
NETWORK = ("model", "module", "network", "net")
BASE = ("optimizer", "base_optimizer", "inner_optimizer", "base_opt", "opt", "base", "inner")
STEPS = ("num_iterations", "total_steps", "num_training_steps", "training_steps", "max_steps", "total_iterations")
SAMPLES = ("num_data", "num_samples", "dataset_size")


@dataclass(frozen=True)
class Signature:
    """The arguments of an optimizer class."""

    hyperparameters: Mapping[str, inspect.Parameter]
    """Arguments that a space may hold, by name."""
    from_training: Mapping[str, Role]
    """Arguments that the training gives, by name, in the order of the class."""
    positional: bool
    """Whether the parameters are given by position: the class does not name them."""

    @property
    def base(self) -> str | None:
        """Name of the argument that is another optimizer or its class; None if there is none."""
        return next(
            (name for name, role in self.from_training.items() if role in ("optimizer", "optimizer_class")), None
        )

    @property
    def fillable(self) -> dict[str, Fillable]:
        """Hyperparameters that the training fills in if the space leaves them out."""
        return {name: role for name, role in self.from_training.items() if role == "steps" or role == "samples"}


def signature_of(optimizer_class: type[Any]) -> Signature:
    """Read the signature of a class; TypeError or ValueError if it cannot be read."""
    accepted: dict[str, inspect.Parameter] = {}
    by_position = False
    for depth, kind in enumerate(_constructed_by(optimizer_class)):
        (_, *arguments) = inspect.signature(vars(kind)["__init__"]).parameters.values()
        named = [each for each in arguments if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
        own = {each.name: each for each in named if depth == 0 or each.default is not each.empty or each.name == RATE}
        accepted |= {name: each for name, each in own.items() if name not in accepted}
        by_position = by_position or any(each.kind is each.POSITIONAL_ONLY for each in arguments)
        if depth == 0 and not arguments:
            raise ValueError("it takes no parameters to optimize")
        if all(each.kind is not each.VAR_KEYWORD for each in arguments):
            break
    from_training: dict[str, Role] = {}
    takes_parameters = by_position or any(name in PARAMETERS for name in accepted)
    for position, each in enumerate(accepted.values()):
        role = _role(each, takes_parameters=takes_parameters, first=position == 0)
        if role is not None:
            from_training[each.name] = role
    positional = by_position or not any(
        role in ("parameters", "named_parameters", "network", "optimizer") for role in from_training.values()
    )
    fillable = ("steps", "samples")
    hyperparameters = {name: each for name, each in accepted.items() if from_training.get(name, "steps") in fillable}
    return Signature(hyperparameters, from_training, positional)


def _constructed_by(optimizer_class: type[Any]) -> list[type[Any]]:
    """Return the classes with an `__init__` of their own, from the class on, without PyTorch's base class."""
    bases = optimizer_class.__mro__
    end = bases.index(Optimizer) if Optimizer in bases else len(bases) - 1
    return [kind for kind in bases[:end] if "__init__" in vars(kind)]


def _role(argument: inspect.Parameter, *, takes_parameters: bool, first: bool) -> Role | None:
    """Return what the training gives for an argument; None if it is a hyperparameter."""
    name, required = argument.name, argument.default is argument.empty
    if not required:
        return None
    if name in PARAMETERS:
        return "parameters"
    if name in NAMED_PARAMETERS:
        return "named_parameters"
    if name in NETWORK:
        return "network"
    if name in BASE or "optimizer" in name:
        annotation = str(argument.annotation).lower()
        says_class = any(word in annotation for word in ("type[", "optimizertype", "callable"))
        is_class = says_class or (argument.annotation is argument.empty)
        return "optimizer_class" if takes_parameters and is_class else "optimizer"
    if name in STEPS:
        return "steps"
    if name in SAMPLES:
        return "samples"
    return "parameters" if first and not takes_parameters else None
