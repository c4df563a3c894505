"""Build optimizers of classes outside the registry: each argument from the training or the space, as the class asks."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

from torch.optim import Optimizer

from bench.optimizers.entry import WEIGHT_DECAY, OptimizerEntry
from bench.optimizers.implementation import build_fastest, is_of_torch
from bench.optimizers.signatures import Signature
from posemodel.errors import SettingsError
from posemodel.training.driving import has_modes
from posemodel.training.joined import Joined, as_groups, by_shape, with_flag
from posemodel.training.optimizer_maker import Training

MATRIX_FLAG = "use_muon"
"""Key of parameter groups that says whether a group holds matrices, in Muon (Jordan, 2024) and its relatives."""
DECAY_OF_REST = "adamw_wd"
"""The weight decay of what is no matrix in Muon's relatives: that of the matrices, unless a space says otherwise."""
PREFIX_INSIDE, PREFIX_REST = "base_", "rest_"
"""Prefixes of hyperparameters of the optimizer inside a wrapper, where both have one of that name, and of the optimizer
for what is no matrix."""
UNKNOWN = {
    "steps": "number of steps of the training, which a budget in seconds does not know: give steps, or",
    "samples": "number of training samples, which is not known here: give",
}
"""Numbers of a training that a class may ask for -> what to do where they are not known."""


@dataclass(frozen=True)
class Construction:
    """The class of an optimizer, and the entry of the optimizer inside, if it is a wrapper."""

    name: str
    optimizer_class: type[Any]
    signature: Signature
    inside: OptimizerEntry | None = None

    @property
    def by_matrix_flag(self) -> bool:
        """Whether the class asks for groups that say which of them hold matrices."""
        if self.inside is not None:
            return False
        # mypy mistakes the class for an instance, whose hash needs `self`.
        return reads_matrix_flag(self.optimizer_class)  # type: ignore[arg-type]

    def names_inside(self) -> dict[str, str]:
        """Return the hyperparameters of the optimizer inside: name here -> its own name."""
        if self.inside is None:
            return {}
        names: dict[str, str] = {}
        for own in self.inside.parameters:
            here = own
            while here in self.signature.hyperparameters or here in names:
                here = PREFIX_INSIDE + here
            names[here] = own
        return {here: own for here, own in names.items() if own != self.inside.names_inside_by}

    def accepts(self) -> dict[str, inspect.Parameter]:
        """Return all hyperparameters, those of the optimizer inside too."""
        if self.inside is None:
            return dict(self.signature.hyperparameters)
        inside = self.inside.parameters
        return {**self.signature.hyperparameters, **{here: inside[own] for here, own in self.names_inside().items()}}

    def build(self, training: Training, **arguments: Any) -> Optimizer:
        """Build the optimizer of a training."""
        parameters: Any = list(training.parameters)  # a generator is read once
        training = replace(training, parameters=parameters)
        names = self.names_inside()
        if unknown := arguments.keys() - names.keys() - self.signature.hyperparameters.keys() - {self.signature.base}:
            raise TypeError(f"{self.name} takes no {', '.join(sorted(unknown))}")
        inner = {names[name]: value for name, value in arguments.items() if name in names}
        own = {name: value for name, value in arguments.items() if name in self.signature.hyperparameters}
        if self.by_matrix_flag and WEIGHT_DECAY in own and DECAY_OF_REST in self.signature.hyperparameters:
            own.setdefault(DECAY_OF_REST, own[WEIGHT_DECAY])
        if self.inside is not None and WEIGHT_DECAY in own and WEIGHT_DECAY in self.inside.hyperparameters:
            inner.setdefault(WEIGHT_DECAY, 0.0)  # the wrapper itself applies the study's
        inside: list[Optimizer] = []
        left = {name: role for name, role in self.signature.from_training.items() if name not in own}
        supplied = {name: self._supplied(name, role, training, inner, inside) for name, role in left.items()}
        if self.signature.positional:
            optimizer = self.optimizer_class(self._parameters(training), **supplied, **own)
        elif list(self.signature.from_training.values()) == ["parameters"]:
            optimizer = build_fastest(self.optimizer_class, self._parameters(training), **own)
        else:
            optimizer = self.optimizer_class(**supplied, **own)
        hides_modes = any(map(has_modes, inside)) and not has_modes(optimizer)
        return optimizer if isinstance(optimizer, Optimizer) and not hides_modes else Joined([optimizer], inside)

    def _supplied(
        self, name: str, role: str, training: Training, inner: Mapping[str, Any], inside: list[Optimizer]
    ) -> Any:
        """Return the value of an argument; an optimizer that is made for it is added to ``inside``."""
        if role == "parameters":
            return self._parameters(training)
        if role in ("network", "named_parameters"):
            return self._from_network(role, training)
        if role in UNKNOWN:
            number: int | None = getattr(training, role)
            if number is None:
                raise SettingsError(f"optimizer {self.name}: {name} is the {UNKNOWN[role]} {name} in the space.")
            return number
        assert self.inside is not None
        if role == "optimizer_class":
            return partial(_build_inside, self.inside, training, inner, made=inside.append)
        return _build_inside(self.inside, training, inner, list(training.parameters), made=inside.append)

    def _from_network(self, role: str, training: Training) -> Any:
        if training.network is None:
            raise SettingsError(
                f"optimizer {self.name}: is made from the network, and only its parameters are known here."
            )
        if len(as_groups(training.parameters)) > 1:
            raise SettingsError(
                f"groups: optimizer {self.name} is made from the network and not from parameter groups. Remove the "
                "settings of groups, or use another optimizer."
            )
        return training.network if role == "network" else list(training.network.named_parameters())

    def _parameters(self, training: Training) -> list[Any]:
        if self.by_matrix_flag:
            return with_flag(as_groups(training.parameters), MATRIX_FLAG)
        return list(training.parameters)


def _build_inside(
    entry: OptimizerEntry,
    training: Training,
    arguments: Mapping[str, Any],
    parameters: Any,
    *,
    made: Callable[[Optimizer], object] | None = None,
    **more: Any,
) -> Optimizer:
    """Build an optimizer inside another and call ``made`` with it.

    ``more`` are keywords that a wrapper passes on; those that are hyperparameters of this optimizer are taken.
    """
    known = {name: value for name, value in more.items() if name in entry.hyperparameters}
    of = replace(training, parameters=parameters) if entry.from_training else parameters
    optimizer = entry.build(of, **{**arguments, **known})
    if made is not None:
        made(optimizer)
    return optimizer


def build_by_shape(first: OptimizerEntry, rest: OptimizerEntry, training: Training, **arguments: Any) -> Optimizer:
    """Build one optimizer for matrices and another for the rest; the arguments of the second have a prefix."""
    of_rest = {name.removeprefix(PREFIX_REST): v for name, v in arguments.items() if name.startswith(PREFIX_REST)}
    of_first = {name: value for name, value in arguments.items() if not name.startswith(PREFIX_REST)}
    decays = [WEIGHT_DECAY in each.hyperparameters for each in (first, rest)]
    if all(decays):
        if WEIGHT_DECAY in of_first:
            of_rest.setdefault(WEIGHT_DECAY, of_first[WEIGHT_DECAY])
    else:  # the pair has no weight decay, so that one part must not apply its class's own
        for has, part_arguments in zip(decays, (of_first, of_rest), strict=True):
            if has:
                part_arguments.setdefault(WEIGHT_DECAY, 0.0)

    def part(entry: OptimizerEntry, chosen: Mapping[str, Any], groups: list[dict[str, Any]]) -> Optimizer:
        return _build_inside(entry, training, chosen, groups)

    return by_shape(as_groups(training.parameters), partial(part, first, of_first), partial(part, rest, of_rest))


@cache
def reads_matrix_flag(optimizer_class: type[Any]) -> bool:
    """Return whether a class, or one that it is derived from, reads the flag of Muon's parameter groups."""
    if is_of_torch(optimizer_class):
        return False
    for kind in optimizer_class.__mro__:
        if kind in (Optimizer, object):
            continue
        try:
            source = inspect.getsource(kind)
        except (OSError, TypeError):
            continue
        if f"['{MATRIX_FLAG}']" in source or f'["{MATRIX_FLAG}"]' in source:
            return True
    return False
