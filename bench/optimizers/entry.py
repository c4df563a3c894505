"""One optimizer by name: what it accepts, how it is built, and a proof that it can train a network.

A hyperparameter may be given as itself or by its complement: `one_minus_momentum` 0.1 is `momentum` 0.9. Spaces are
over complements because 0.9 and 0.99 are as far apart as 0.99 and 0.999. A tuple may be given whole or by component:
`beta1` is the first of `betas`.

Of an optimizer with `lr` and `momentum` the rate may be given as `effective_lr` = lr / (1 - momentum): momentum sums
gradients, and what is learned goes by that sum (`docs/explained.md`).
"""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

from bench.optimizers.space import Space, Value
from posemodel.errors import SettingsError

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from posemodel.training.parameter_groups import Parameters

COMPLEMENT = "one_minus_"
WEIGHT_DECAY = "weight_decay"
RATE, MOMENTUM, EFFECTIVE_RATE = "lr", "momentum", "effective_lr"
CHOSEN_HERE = ("foreach", "fused", "capturable", "differentiable", "maximize")
"""Arguments of PyTorch's optimizers that say how a step is computed, and which way it goes: no hyperparameters."""
ANNOTATED = {"bool": bool, "str": str, "int": int, "float": float}
"""Annotations as text, in modules that postpone them."""
NEAR = 0.6
"""Likeness from which a name is worth suggesting: difflib's own cutoff."""


@dataclass(frozen=True)
class OptimizerEntry:
    """One optimizer: ``build(parameters, **hyperparameters)``, its tuning space, its defaults and its source."""

    name: str
    build: Callable[..., "Optimizer"]
    space: Space
    source: str
    kind: str
    """The class that is built, by its dotted path, with what is fixed of it: entries of one kind are one optimizer."""
    accepts: Mapping[str, inspect.Parameter] | None = None
    """Of an optimizer outside the registry: what its class takes (None: what ``build`` takes)."""

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Accepted names with their defaults (``inspect.Parameter.empty`` where a value is required)."""
        return {name: parameter.default for name, parameter in self._accepted().items()}

    @property
    def components(self) -> dict[str, tuple[str, int]]:
        """Names of the components of tuples: beta1 is ("betas", 0)."""
        accepted = self._accepted()
        return {
            component: (name, place)
            for name, parameter in accepted.items()
            if isinstance(parameter.default, (tuple, list)) and name.endswith("s") and name != "eps"
            for place in range(len(parameter.default))
            if (component := f"{name.removesuffix('s')}{place + 1}") not in accepted
        }

    def resolve(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments for ``build``: complements, components and the effective rate undone.

        SettingsError says what is wrong with a value.

        A weight decay of 0 (that of all optimizers of a study) is left out where there is no such hyperparameter.
        """
        accepted, components = self._accepted(), self.components
        resolved: dict[str, Any] = {}
        parts: dict[str, dict[int, float]] = {}
        effective: float | None = None
        for name, value in given.items():
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
            whole, place = components.get(plain, (plain, None))
            if plain in resolved or whole in resolved or (place is None and whole in parts):
                raise SettingsError(f"optimizer {self.name}: {whole} is given twice, the second time by {name}.")
            if place is None:
                resolved[plain] = self._fit(name, value, accepted[plain])
            elif place in parts.setdefault(whole, {}):
                raise SettingsError(f"optimizer {self.name}: {plain} is given twice, the second time by {name}.")
            else:
                parts[whole][place] = self._number(name, value)
        for whole, values in parts.items():
            resolved[whole] = tuple(values.get(i, default) for i, default in enumerate(accepted[whole].default))
        if effective is not None:
            if RATE in resolved:
                raise SettingsError(f"optimizer {self.name}: {RATE} is given twice, as itself and by {EFFECTIVE_RATE}.")
            resolved[RATE] = effective * self._one_minus_momentum(resolved)
        missing = [n for n, p in accepted.items() if p.default is inspect.Parameter.empty and n not in resolved]
        if missing:
            raise SettingsError(f"optimizer {self.name}: {', '.join(missing)} must be given.")
        return resolved

    def factory(self, given: Mapping[str, Any]) -> Callable[["Parameters"], "Optimizer"]:
        """A function from parameters to the optimizer; SettingsError if a hyperparameter is unknown.

        What the class itself refuses is raised as it is by that function; `unfit.check_trains` puts it into words.
        """
        arguments = self.resolve(given)

        def make(parameters: "Parameters") -> "Optimizer":
            return self.build(parameters, **arguments)

        return make

    def takes_number(self, name: str) -> bool:
        """Whether a hyperparameter is one number, by its default; False for one that it does not have."""
        accepted = self._accepted()
        plain = name if name in accepted else name.removeprefix(COMPLEMENT)
        if plain in self.components or (name == EFFECTIVE_RATE and self.takes_effective_rate):
            return True
        default = accepted[plain].default if plain in accepted else None
        return isinstance(default, (int, float)) and not isinstance(default, bool)

    @property
    def takes_effective_rate(self) -> bool:
        """Whether its rate can be given as `effective_lr`: it has `lr` and `momentum`, and no such argument itself."""
        accepted = self._accepted()
        return RATE in accepted and MOMENTUM in accepted and EFFECTIVE_RATE not in accepted

    def no_weight_decay(self, asked: str) -> SettingsError:
        """The error of a study whose weight decay, ``asked``, this optimizer does not have."""
        return SettingsError(
            f"optimizer {self.name}: has no weight_decay, and the weight decay of all is {asked}. "
            "Set it to 0, or leave this optimizer out."
        )

    def _accepted(self) -> dict[str, inspect.Parameter]:
        accepts = self.accepts
        if accepts is None:
            accepts = hyperparameters_of(inspect.signature(self.build).parameters.values())
        return {name: parameter for name, parameter in accepts.items() if name not in CHOSEN_HERE}

    def _unknown(self, name: str, plain: str) -> str:
        accepted = self._accepted()
        if plain in CHOSEN_HERE:
            return f"{name} is chosen here (the fastest exact implementation, downhill): leave it out."
        effective = (EFFECTIVE_RATE,) if self.takes_effective_rate else ()
        near = did_you_mean(plain, (*accepted, *self.components, *effective))  # at a tie the whole, not its component
        return f"there is no hyperparameter {name!r}{near} It takes: {', '.join(accepted)}."

    def _one_minus_momentum(self, resolved: Mapping[str, Any]) -> float:
        """What an effective rate is multiplied with; SettingsError where momentum is no number under 1."""
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
        """The value in the type of the default (or of the annotation, where there is no default)."""
        default = parameter.default
        annotation = ANNOTATED.get(parameter.annotation, parameter.annotation)
        kind = annotation if default is inspect.Parameter.empty else type(default)
        if kind in (bool, str) and not isinstance(value, kind):
            wanted = "true or false" if kind is bool else "a word"
            raise SettingsError(f"optimizer {self.name}: {name} must be {wanted}, got {value!r}.")
        if kind in (tuple, list):
            if not isinstance(value, (tuple, list)) or len(value) != len(default):
                raise SettingsError(f"optimizer {self.name}: {name} must be {len(default)} numbers, got {value!r}.")
            return tuple(self._number(name, each) for each in value)
        if kind in (int, float):
            number = self._number(name, value)
            if kind is int and number == int(number):
                return int(number)  # spaces hold floats: a count stays a count
            if annotation is int:
                raise SettingsError(f"optimizer {self.name}: {name} must be a whole number, got {value!r}.")
            return number
        return tuple(value) if isinstance(value, list) else value


def default_of(entry: OptimizerEntry, name: str) -> Value | None:
    """The default of a hyperparameter by the name that a space uses: `one_minus_beta1`, `effective_lr`, `betas`.

    None: a value is required, or the default is None, or there is no such hyperparameter.
    """
    accepted = entry.hyperparameters
    if name == EFFECTIVE_RATE and entry.takes_effective_rate:
        rate, momentum = default_of(entry, RATE), default_of(entry, MOMENTUM)
        if isinstance(rate, (int, float)) and isinstance(momentum, (int, float)) and momentum < 1:
            return rate / (1 - momentum)
        return None
    plain = name if name in accepted else name.removeprefix(COMPLEMENT)
    whole, place = entry.components.get(plain, (plain, None))
    value: Any = accepted.get(whole) if place is None else accepted[whole][place]
    if plain != name:
        return 1 - value if _is_number(value) else None
    if isinstance(value, (tuple, list)):
        return tuple(value) if all(map(_is_number, value)) else None
    return value if isinstance(value, (bool, str)) or _is_number(value) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def hyperparameters_of(arguments: Iterable[inspect.Parameter]) -> dict[str, inspect.Parameter]:
    """Of a call's arguments those that have a name, but for the parameters to optimize, which come first."""
    return {
        each.name: each
        for place, each in enumerate(arguments)
        if each.kind is each.KEYWORD_ONLY or (each.kind is each.POSITIONAL_OR_KEYWORD and place > 0)
    }


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """ ", did you mean X?" with the nearest candidate in any case, the first of equals; "." where none is near."""
    likeness = {each: SequenceMatcher(None, name.casefold(), each.casefold()).ratio() for each in candidates}
    nearest = max(likeness, key=likeness.__getitem__, default="")
    return f", did you mean {nearest}?" if likeness.get(nearest, 0.0) >= NEAR else "."
