"""An optimizer entry: the hyperparameters that an optimizer accepts, its tuning space, and how it is built.

A hyperparameter may be given directly or as its complement: `one_minus_momentum` 0.1 is `momentum` 0.9. Spaces use
complements because 0.9 and 0.99 are as far apart as 0.99 and 0.999. A tuple may be given in full or by component:
`beta1` is the first of `betas`.

For an optimizer with `lr` and `momentum` the rate may be given as `effective_lr` = lr / (1 - momentum): momentum sums
gradients, and the speed of learning depends on that sum (`docs/explained.md`).
"""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from bench.optimizers.space import Space, Value
from posemodel.errors import SettingsError
from posemodel.training.optimizer_maker import OptimizerMaker, Training

if TYPE_CHECKING:
    from torch.optim import Optimizer

Fillable = Literal["steps", "samples"]
COMPLEMENT = "one_minus_"
WEIGHT_DECAY = "weight_decay"
RATE, MOMENTUM, EFFECTIVE_RATE = "lr", "momentum", "effective_lr"
CHOSEN_HERE = ("foreach", "fused", "capturable", "differentiable", "maximize")
"""Arguments of PyTorch's optimizers for the implementation and direction of a step: chosen by this package, so that
they are no hyperparameters."""
ANNOTATED = {"bool": bool, "str": str, "int": int, "float": float}
"""Type names in annotations -> types, for modules with postponed evaluation of annotations."""
VISIBLE_RATE = 1e-2
"""A learning rate at which a few steps change weights by more than rounding."""
MIN_SIMILARITY = 0.6
"""Similarity from which a name is suggested: the default cutoff of difflib."""


@dataclass(frozen=True)
class OptimizerEntry:
    """An optimizer: ``build(parameters, **hyperparameters)``, its tuning space, and its source (a paper or a class)."""

    name: str
    build: Callable[..., "Optimizer"]
    space: Space
    source: str
    kind: str
    """Dotted path of the class that is built, with its fixed arguments; entries of one kind are the same optimizer."""
    accepts: Mapping[str, inspect.Parameter] | None = None
    """Hyperparameters of the class, for optimizers outside the registry; None: the arguments of ``build``."""
    from_training: bool = False
    """Whether ``build`` gets all that the training knows (`Training`) instead of the parameters alone."""
    fillable: Mapping[str, Fillable] = field(default_factory=dict)
    """Required hyperparameters that the training fills in if they are left out: its number of steps or of samples."""
    recognise: Callable[[OptimizerMaker, OptimizerMaker], OptimizerMaker] | None = None
    """Finds out how the optimizer is driven, by a factory at a visible learning rate, and returns the other factory so;
    None: it is an ordinary one."""
    over: "tuple[str, Callable[[str], OptimizerEntry]] | None" = None
    """For a wrapper: the hyperparameter that names the optimizer inside, and the entry over another one."""
    line: "Callable[[Mapping[str, Any]], str] | None" = None
    """Writes the line of Python that builds it, for entries outside the registry; see `line.py`."""
    decoupling: frozenset[str] = frozenset()
    """Arguments that decouple weight decay, for entries outside the registry; see `weight_decay.decoupling_flags`."""
    schedule: Literal["constant", "fixed"] | None = None
    """Schedule that the method itself fixes (`bench.optimizers.families`); None: it takes the study's."""
    earlier_space: Space | None = None
    """Tuning space of a class in versions that knew no families, with which begun studies continue; None: the same."""

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Accepted names with their defaults (``inspect.Parameter.empty`` if a value is required)."""
        return {name: parameter.default for name, parameter in self._accepted().items()}

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """Accepted names with their parameters of a signature."""
        return self._accepted()

    @property
    def components(self) -> dict[str, tuple[str, int]]:
        """Component -> (tuple, index), for hyperparameters that are tuples: beta1 -> ("betas", 0)."""
        accepted = self._accepted()
        return {
            component: (name, index)
            for name, parameter in accepted.items()
            if isinstance(parameter.default, (tuple, list)) and name.endswith("s") and name != "eps"
            for index in range(len(parameter.default))
            if (component := f"{name.removesuffix('s')}{index + 1}") not in accepted
        }

    @property
    def names_inside_by(self) -> str:
        """Name of the hyperparameter that names the optimizer inside; empty if there is none."""
        return self.over[0] if self.over is not None else ""

    def at(self, hyperparameters: Mapping[str, Any]) -> "OptimizerEntry":
        """Return the entry for these hyperparameters: of a wrapper, over the optimizer that they name."""
        name, over = self.over or ("", None)
        inside = hyperparameters.get(name)
        if over is None or inside is None:
            return self
        if not isinstance(inside, str):
            raise SettingsError(f"optimizer {self.name}: {name} must be the name of an optimizer, got {inside!r}.")
        return over(inside)

    def resolve(self, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments for ``build``: complements, components and the effective rate converted.

        A weight decay of 0, which a study gives to all optimizers, is left out if there is no such hyperparameter.
        Raises SettingsError for an unknown, missing, repeated or unsuitable value.

        Example:
            optimizer_entry("sgd").resolve({"effective_lr": 1.0, "one_minus_momentum": 0.1})
            # {"momentum": 0.9, "lr": 0.1}, but for rounding
        """
        entry = self.at(hyperparameters)
        return entry._resolve(hyperparameters)

    def _resolve(self, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
        accepted, components = self._accepted(), self.components
        resolved: dict[str, Any] = {}
        parts: dict[str, dict[int, float]] = {}
        effective: float | None = None
        for name, value in hyperparameters.items():
            if name == WEIGHT_DECAY and name not in accepted:
                if value != 0:
                    raise self.no_weight_decay(repr(value))
                continue
            if name == EFFECTIVE_RATE and self.takes_effective_rate:
                effective = self._number(name, value)
                continue
            plain = name if name in accepted else name.removeprefix(COMPLEMENT)
            if plain not in accepted and plain not in components:
                raise SettingsError(f"optimizer {self.name}: {self._unknown(name, plain)}")
            if plain != name:
                value = 1 - self._number(name, value)
            argument, index = components.get(plain, (plain, None))
            if plain in resolved or argument in resolved or (index is None and argument in parts):
                raise SettingsError(f"optimizer {self.name}: {argument} is given twice, the second time by {name}.")
            if index is None:
                resolved[plain] = self._fit(name, value, accepted[plain])
            elif index in parts.setdefault(argument, {}):
                raise SettingsError(f"optimizer {self.name}: {plain} is given twice, the second time by {name}.")
            else:
                parts[argument][index] = self._number(name, value)
        for argument, values in parts.items():
            resolved[argument] = tuple(values.get(i, default) for i, default in enumerate(accepted[argument].default))
        if effective is not None:
            if RATE in resolved:
                raise SettingsError(f"optimizer {self.name}: {RATE} is given twice, as itself and by {EFFECTIVE_RATE}.")
            resolved[RATE] = effective * self._one_minus_momentum(resolved)
        missing = [
            name
            for name, parameter in accepted.items()
            if parameter.default is parameter.empty and name not in resolved and name not in self.fillable
        ]
        if missing:
            raise SettingsError(f"optimizer {self.name}: {', '.join(missing)} must be given.")
        return resolved

    def factory(self, hyperparameters: Mapping[str, Any]) -> OptimizerMaker:
        """Return the factory of the optimizer, which says how it is driven; SettingsError as `resolve` raises it.

        An error of the class itself is raised unchanged by that factory; `unfit.check_trains` explains it.
        """
        visible, maker = self.makers(hyperparameters)
        recognise = self.at(hyperparameters).recognise
        return maker if recognise is None else recognise(visible, maker)

    def makers(self, hyperparameters: Mapping[str, Any]) -> tuple[OptimizerMaker, OptimizerMaker]:
        """Return two factories that do not say yet how the optimizer is driven, and so drive it as an ordinary one.

        The first has learning rates of at least `VISIBLE_RATE`: how an optimizer is driven must not depend on its rate.
        """
        entry = self.at(hyperparameters)
        arguments = entry.resolve(hyperparameters)
        visible = {name: VISIBLE_RATE if _is_small_rate(name, value) else value for name, value in arguments.items()}

        def build(arguments: Mapping[str, Any], training: Training) -> "Optimizer":
            return entry.build(training if entry.from_training else training.parameters, **arguments)

        return OptimizerMaker(partial(build, visible)), OptimizerMaker(partial(build, arguments))

    def takes_number(self, name: str) -> bool:
        """Return whether a hyperparameter is one number, judged by its default; False if it does not exist."""
        accepted = self._accepted()
        plain = name if name in accepted else name.removeprefix(COMPLEMENT)
        if plain in self.components or (name == EFFECTIVE_RATE and self.takes_effective_rate):
            return True
        default = accepted[plain].default if plain in accepted else None
        return isinstance(default, (int, float)) and not isinstance(default, bool)

    @property
    def takes_effective_rate(self) -> bool:
        """Whether the rate can be given as `effective_lr`: it has `lr` and `momentum`, and no argument of that name."""
        accepted = self._accepted()
        return RATE in accepted and MOMENTUM in accepted and EFFECTIVE_RATE not in accepted

    def takes(self, name: str) -> bool:
        """Return whether a hyperparameter exists under this name: itself, a component, or the complement of either."""
        accepted = self._accepted()
        plain = name if name in accepted else name.removeprefix(COMPLEMENT)
        return plain in accepted or plain in self.components or (name == EFFECTIVE_RATE and self.takes_effective_rate)

    def no_weight_decay(self, weight_decay: str) -> SettingsError:
        """Return the error for a study whose weight decay (as text) this optimizer cannot apply."""
        return SettingsError(
            f"optimizer {self.name}: has no weight_decay, and the weight decay of all is {weight_decay}. "
            "Set it to 0, or leave this optimizer out."
        )

    def _accepted(self) -> dict[str, inspect.Parameter]:
        parameters = self.accepts
        if parameters is None:
            parameters = hyperparameters_of(inspect.signature(self.build).parameters.values())
        return {name: parameter for name, parameter in parameters.items() if name not in CHOSEN_HERE}

    def _unknown(self, name: str, plain: str) -> str:
        accepted = self._accepted()
        if plain in CHOSEN_HERE:
            return f"{name} is chosen here (the fastest exact implementation, downhill): leave it out."
        effective = (EFFECTIVE_RATE,) if self.takes_effective_rate else ()
        near = did_you_mean(plain, (*accepted, *self.components, *effective))  # in a tie the tuple, not its component
        return f"there is no hyperparameter {name!r}{near} It takes: {', '.join(accepted)}."

    def _one_minus_momentum(self, resolved: Mapping[str, Any]) -> float:
        """Return the factor from an effective rate to `lr`; SettingsError unless momentum is a number under 1."""
        momentum = resolved.get(MOMENTUM, self._accepted()[MOMENTUM].default)
        if momentum is inspect.Parameter.empty:
            raise SettingsError(f"optimizer {self.name}: {MOMENTUM} must be given.")
        if self._number(MOMENTUM, momentum) >= 1:
            raise SettingsError(
                f"optimizer {self.name}: {EFFECTIVE_RATE} is lr / (1 - momentum), so that momentum must be under 1, "
                f"got {momentum:g}; give lr."
            )
        return 1 - float(momentum)

    def _number(self, name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise SettingsError(f"optimizer {self.name}: {name} must be a number, got {value!r}.")
        return value

    def _fit(self, name: str, value: Any, parameter: inspect.Parameter) -> Value:
        """Convert a value to the type of the default (or of the annotation if there is no default)."""
        default = parameter.default
        annotation = ANNOTATED.get(parameter.annotation, parameter.annotation)
        kind = annotation if default is inspect.Parameter.empty else type(default)
        if kind in (bool, str) and not isinstance(value, kind):
            expected = "true or false" if kind is bool else "a word"
            raise SettingsError(f"optimizer {self.name}: {name} must be {expected}, got {value!r}.")
        if kind in (tuple, list):
            if not isinstance(value, (tuple, list)) or len(value) != len(default):
                raise SettingsError(f"optimizer {self.name}: {name} must be {len(default)} numbers, got {value!r}.")
            return tuple(self._number(name, each) for each in value)
        if kind in (int, float):
            number = self._number(name, value)
            if kind is int and number == int(number):
                return int(number)  # spaces hold floats, but the class may need an integer
            if annotation is int:
                raise SettingsError(f"optimizer {self.name}: {name} must be a whole number, got {value!r}.")
            return number
        return tuple(value) if isinstance(value, list) else value


def default_of(entry: OptimizerEntry, name: str) -> Value | None:
    """Return the default of a hyperparameter by its name in a space: `one_minus_beta1`, `effective_lr`, `betas`.

    None if a value is required, the default is None, or there is no such hyperparameter.
    """
    accepted = entry.hyperparameters
    if name == EFFECTIVE_RATE and entry.takes_effective_rate:
        rate, momentum = default_of(entry, RATE), default_of(entry, MOMENTUM)
        if isinstance(rate, (int, float)) and isinstance(momentum, (int, float)) and momentum < 1:
            return rate / (1 - momentum)
        return None
    plain = name if name in accepted else name.removeprefix(COMPLEMENT)
    argument, index = entry.components.get(plain, (plain, None))
    value: Any = accepted.get(argument) if index is None else accepted[argument][index]
    if plain != name:
        return 1 - value if _is_number(value) else None
    if isinstance(value, (tuple, list)):
        return tuple(value) if all(map(_is_number, value)) else None
    return value if isinstance(value, (bool, str)) or _is_number(value) else None


def _is_small_rate(name: str, value: Any) -> bool:
    return (name == RATE or name.endswith(f"_{RATE}")) and _is_number(value) and 0 < value < VISIBLE_RATE


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def hyperparameters_of(arguments: Iterable[inspect.Parameter]) -> dict[str, inspect.Parameter]:
    """Return the named arguments of a call without the first one, which holds the parameters to optimize."""
    return {
        each.name: each
        for position, each in enumerate(arguments)
        if each.kind is each.KEYWORD_ONLY or (each.kind is each.POSITIONAL_OR_KEYWORD and position > 0)
    }


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return ", did you mean X?" with the most similar candidate, ignoring case; "." if none is similar."""
    similarity = {each: SequenceMatcher(None, name.casefold(), each.casefold()).ratio() for each in candidates}
    nearest = max(similarity, key=similarity.__getitem__, default="")
    return f", did you mean {nearest}?" if similarity.get(nearest, 0.0) >= MIN_SIMILARITY else "."
