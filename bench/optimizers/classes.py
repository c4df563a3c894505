"""Make entries for optimizer classes outside the registry: PyTorch's by name, any class by its dotted path."""

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch.optim import Optimizer

from bench.optimizers import optimizer_entry
from bench.optimizers.building import Construction
from bench.optimizers.entry import COMPLEMENT, EFFECTIVE_RATE, MOMENTUM, RATE, OptimizerEntry, did_you_mean
from bench.optimizers.families import Family, family_of, fitting_space
from bench.optimizers.implementation import is_of_torch
from bench.optimizers.line import constructor_line
from bench.optimizers.recognition import driven
from bench.optimizers.registry import ADAM_RATES
from bench.optimizers.signatures import Signature, signature_of
from bench.optimizers.space import Fixed, Log, Space, rate_of
from bench.optimizers.unfit import own_backward
from bench.optimizers.weight_decay import decoupling_arguments, decoupling_flags
from posemodel.dotted_paths import split_dotted_path
from posemodel.errors import SettingsError
from posemodel.training.joined import on_views

DECADES_EITHER_WAY = 100.0
"""The default range of a learning rate is from the class's default divided by this factor to the default times the
factor."""
RANGE_WITHOUT_DEFAULT = (1e-5, 1.0)
"""The range of a learning rate for classes without a default."""
SGD = "torch.optim.sgd.SGD"
"""Kind of SGD with or without momentum, but not Nesterov's, which needs one."""
DIGITS = 12
"""Significant digits of a range that is converted."""
DEFAULT_INSIDE = "sgd"
"""The optimizer inside a wrapper that names none, as in the papers on SAM and Lookahead: SGD with momentum."""

TORCH_CLASSES: dict[str, type[Optimizer]] = {
    name.lower(): value
    for name, value in vars(torch.optim).items()
    if inspect.isclass(value) and issubclass(value, Optimizer) and value is not Optimizer
}
"""Lower-case name -> class, for all optimizers of `torch.optim`."""


def class_entry(name: str, optimizer_class: type[Any], inside: str | None = None) -> OptimizerEntry:
    """Make the entry of a class: hyperparameters from its signature; space, source and schedule from its family.

    The space of a class without a family is a learning rate range around its default (`rate_space`).

    Args:
        name: The name in studies.
        optimizer_class: The class; a wrapper is made over the optimizer that ``inside`` names, or over `DEFAULT_INSIDE`
            unless a space names another.
        inside: Name of the optimizer inside, for a wrapper.

    Raises SettingsError if the arguments of the class cannot be read, or it computes its own backward pass.
    """
    path = f"{optimizer_class.__module__}.{optimizer_class.__qualname__}"
    try:
        signature = signature_of(optimizer_class)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"optimizer {name}: the arguments of the class cannot be read ({error}).") from error
    if reason := own_backward(optimizer_class, wrapper=signature.base is not None):
        raise SettingsError(f"optimizer {name}: is not supported: {reason}.")
    if signature.base is not None:
        return _wrapper_entry(name, optimizer_class, signature, path, inside)
    if inside is not None:
        raise SettingsError(f"optimizer {name}: {path} is no wrapper: it takes no other optimizer.")
    construction = Construction(name, optimizer_class, signature)
    accepted = signature.hyperparameters
    entry = OptimizerEntry(
        name,
        construction.build,
        rate_space(optimizer_class, accepted),
        path,
        path,
        accepted,
        from_training=True,
        fillable=signature.fillable,
        decoupling=decoupling_arguments(optimizer_class, accepted),
        recognise=None if is_ordinary(optimizer_class) else driven,
        line=partial(constructor_line, construction),
    )
    return of_family(entry, optimizer_class.__name__)


def _wrapper_entry(
    name: str, optimizer_class: type[Any], signature: Signature, path: str, inside: str | None
) -> OptimizerEntry:
    """Make the entry of a wrapper: its own hyperparameters, and those of the optimizer inside."""
    from_name = inside is not None
    inner = optimizer_entry(inside or DEFAULT_INSIDE)
    construction = Construction(name, optimizer_class, signature, inner)
    names = {own: here for here, own in construction.names_inside().items()}
    base = signature.base or ""
    accepted = construction.accepts()
    if not from_name:
        accepted[base] = inspect.Parameter(base, inspect.Parameter.KEYWORD_ONLY, default=DEFAULT_INSIDE)

    def over(other: str) -> OptimizerEntry:
        entry = class_entry(name, optimizer_class, other)
        return replace(entry, accepts={**(entry.accepts or {}), base: accepted[base]})

    inner_space = inner.space
    if EFFECTIVE_RATE in inner_space and names.get(MOMENTUM) != MOMENTUM:  # the momentum of that name is the wrapper's
        inner_space = _rates_without_momentum(inner, family_of(optimizer_class.__name__))
    space: Space = {_renamed(each, names): dimension for each, dimension in inner_space.items()}
    over_pair = "+" in inner.kind  # a pair trains matrices: the wrapper must see the same weights
    entry = OptimizerEntry(
        name,
        on_views(construction.build, matrices=True) if over_pair else construction.build,
        space,
        path,
        f"{path}({inner.kind})",
        accepted,
        from_training=True,
        fillable=signature.fillable | {names[name]: kind for name, kind in inner.fillable.items()},
        decoupling=frozenset(
            (
                *decoupling_arguments(optimizer_class, signature.hyperparameters),
                *(names[each] for each in decoupling_flags(inner)),
            )
        ),
        recognise=driven,
        over=None if from_name else (base, over),
        line=partial(constructor_line, construction),
    )
    entry = of_family(entry, optimizer_class.__name__)
    return replace(entry, schedule=entry.schedule or inner.schedule)


def plain_rates(entry: OptimizerEntry) -> Space:
    """Return the space of an optimizer with the range of `effective_lr`, if there is one, as one of `lr`.

    The factor is 1 - momentum at the default momentum, or at the nearest one that is searched.
    """
    space = dict(entry.space)
    effective, momentum = space.pop(EFFECTIVE_RATE, None), entry.hyperparameters.get(MOMENTUM)
    if not isinstance(effective, Log) or momentum is None:
        return entry.space
    factor, complements = 1 - momentum, space.get(COMPLEMENT + MOMENTUM)
    if isinstance(complements, Log):
        factor = min(max(factor, complements.low), complements.high)
    return {RATE: _times(effective, factor, factor), **space}


def _rates_without_momentum(inner: OptimizerEntry, family: Family | None) -> Space:
    """Return the space of an optimizer inside a wrapper that has a momentum of its own: `lr`, and not its own momentum.

    A wrapper that replaces SGD's momentum has SGD's rates times the factors of its ``family``.
    """
    space = {name: each for name, each in plain_rates(inner).items() if name.removeprefix(COMPLEMENT) != MOMENTUM}
    rates = plain_rates(optimizer_entry("sgd"))[RATE]
    if family is None or family.times_sgd is None or inner.kind != SGD or not isinstance(rates, Log):
        return space
    return {**space, RATE: _times(rates, *family.times_sgd), MOMENTUM: Fixed(0.0)}


def _times(rates: Log, low: float, high: float) -> Log:
    """Return a range times factors, without the rounding of binary numbers: 0.003 for 0.03 * (1 - 0.9)."""
    return Log(*(float(f"{value:.{DIGITS}g}") for value in (rates.low * low, rates.high * high)))


def _renamed(name: str, names: Mapping[str, str]) -> str:
    """Return a hyperparameter of the optimizer inside by its name here, also as a complement or a component."""
    plain = name.removeprefix(COMPLEMENT)
    return name.removesuffix(plain) + names.get(plain, plain)


def of_family(entry: OptimizerEntry, class_name: str) -> OptimizerEntry:
    """Return an entry with the space, source and schedule of the family of a class name, if that is known.

    A family's space without a rate is beside the entry's own rate, unless the method sets its rate itself; an optimizer
    that has no rate and no family is fixed.
    """
    family = family_of(class_name)
    if family is None:
        return replace(entry, schedule=None if RATE in entry.hyperparameters else "fixed")
    space = fitting_space(family, entry.takes)
    if family.space is None or (family.schedule != "fixed" and rate_of(space) is None):
        space = {**entry.space, **space}
    return replace(entry, space=space, source=family.source, schedule=family.schedule, earlier_space=entry.space)


def rate_space(optimizer_class: type[Any], accepted: Mapping[str, inspect.Parameter]) -> Space:
    """Return the space of a class without a family, from its hyperparameters: a learning rate around its default."""
    return _torch_space(accepted) if is_of_torch(optimizer_class) else _space(accepted)


def _space(accepted: Mapping[str, inspect.Parameter]) -> Space:
    if RATE not in accepted:
        return {}
    default = accepted[RATE].default
    if isinstance(default, torch.Tensor) and default.numel() == 1:
        default = default.item()
    return {
        RATE: _around(default) if isinstance(default, (int, float)) and default > 0 else Log(*RANGE_WITHOUT_DEFAULT)
    }


def _torch_space(accepted: Mapping[str, inspect.Parameter]) -> Space:
    """Return the space of a class of `torch.optim`: Adam's rates if it has betas, the effective rate if momentum.

    Only for `torch.optim`: what momentum and betas mean in other classes is not known.
    """
    if RATE in accepted and "betas" in accepted:
        return {RATE: ADAM_RATES}
    if RATE in accepted and MOMENTUM in accepted:
        return {EFFECTIVE_RATE: _around(accepted[RATE].default / (1 - accepted[MOMENTUM].default))}
    return _space(accepted)


def _around(default: float) -> Log:
    return Log(default / DECADES_EITHER_WAY, default * DECADES_EITHER_WAY)


def class_at(path: str) -> type[Any]:
    """Import the optimizer class at a dotted path, e.g. `my_package.Lion`; SettingsError says what is wrong."""
    module_name, name = split_dotted_path(path)
    try:
        with redirect_stdout(sys.stderr):  # stdout is reserved for JSON
            module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise _import_failed(path, module_name, error) from error  # a module that it imports is missing
        parent, _, last = error.name.rpartition(".")
        modules = pkgutil.iter_modules(getattr(sys.modules.get(parent), "__path__", []))
        near = did_you_mean(last, [each.name for each in modules])
        raise SettingsError(
            f"optimizer {path}: there is no module {error.name!r}{near} It must be installed or in the working folder."
        ) from error
    except (Exception, SystemExit) as error:  # the user's module may raise anything
        raise _import_failed(path, module_name, error) from error
    optimizer_class: Any = module
    for part in name.split("."):
        optimizer_class = getattr(optimizer_class, part, None)
    if optimizer_class is None or inspect.ismodule(optimizer_class):  # torch.optim.adamw is the module of AdamW
        near = did_you_mean(name, [n for n, value in vars(module).items() if inspect.isclass(value)])
        raise SettingsError(f"optimizer {path}: the module {module_name} has no class {name!r}{near}")
    if not is_optimizer_class(optimizer_class):
        raise SettingsError(f"optimizer {path}: is not a class derived from torch.optim.Optimizer.")
    chosen: type[Any] = optimizer_class
    return chosen


def is_optimizer_class(value: object) -> bool:
    """Return whether a value is an optimizer class: derived from PyTorch's, or with an optimizer's methods."""
    if not inspect.isclass(value) or value is Optimizer:
        return False
    acts_like_one = all(callable(getattr(value, name, None)) for name in ("step", "zero_grad", "state_dict"))
    return issubclass(value, Optimizer) or (acts_like_one and hasattr(value, "param_groups"))


def is_ordinary(optimizer_class: type[Any]) -> bool:
    """Return whether a class needs no probe: PyTorch's own, but for those that need a closure or are refused."""
    return is_of_torch(optimizer_class) and optimizer_class.__name__ not in ("LBFGS", "SparseAdam", "Muon")


def _import_failed(path: str, module_name: str, error: BaseException) -> SettingsError:
    return SettingsError(f"optimizer {path}: importing {module_name} fails with {type(error).__name__}: {error}.")
