"""Optimizers outside the registry: PyTorch's classes by name, any class by its dotted path."""

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch.optim import Optimizer

from bench.optimizers.entry import EFFECTIVE_RATE, MOMENTUM, RATE, OptimizerEntry, did_you_mean, hyperparameters_of
from bench.optimizers.implementation import build_fastest, is_of_torch
from bench.optimizers.registry import ADAM_RATES
from bench.optimizers.space import Log, Space
from bench.optimizers.unfit import WRAPPER, wraps
from bench.settings.dotted import split
from posemodel.errors import SettingsError

DECADES_EITHER_WAY = 100.0
"""The default range of a learning rate: the class's own, divided and multiplied by this."""
WHOLE_RANGE = (1e-5, 1.0)
"""For classes that have no default learning rate."""

TORCH_CLASSES: dict[str, type[Optimizer]] = {
    name.lower(): value
    for name, value in vars(torch.optim).items()
    if inspect.isclass(value) and issubclass(value, Optimizer) and value is not Optimizer
}
"""Of `torch.optim`, by lower-case name."""


def class_entry(name: str, optimizer_class: type[Optimizer]) -> OptimizerEntry:
    """The entry of a class: hyperparameters from its signature, a learning rate range around its default."""
    try:
        accepted = inspect.signature(optimizer_class).parameters
        accepts = _accepts(optimizer_class)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"optimizer {name}: the arguments of the class cannot be read ({error}).") from error
    path = f"{optimizer_class.__module__}.{optimizer_class.__qualname__}"
    if not accepted:
        raise SettingsError(f"optimizer {name}: {path} takes no parameters to optimize.")
    space = _torch_space(accepts) if is_of_torch(optimizer_class) else _space(accepts)
    return OptimizerEntry(name, partial(build_fastest, optimizer_class), space, path, path, accepts)


def _accepts(optimizer_class: type[Optimizer]) -> dict[str, inspect.Parameter]:
    """What the class takes: `**kwargs` stand for what the next `__init__` of its bases takes."""
    accepts: dict[str, inspect.Parameter] = {}
    for kind in optimizer_class.__mro__[: optimizer_class.__mro__.index(Optimizer)]:
        init = vars(kind).get("__init__")
        if init is None:
            continue
        (_, *arguments) = inspect.signature(init).parameters.values()
        accepts = hyperparameters_of(arguments) | accepts
        if all(each.kind is not each.VAR_KEYWORD for each in arguments):
            break
    return accepts


def _space(accepted: Mapping[str, inspect.Parameter]) -> Space:
    if RATE not in accepted:
        return {}
    default = accepted[RATE].default
    return {RATE: _around(default) if isinstance(default, (int, float)) and default > 0 else Log(*WHOLE_RANGE)}


def _torch_space(accepted: Mapping[str, inspect.Parameter]) -> Space:
    """Of a class of `torch.optim`: Adam's rates for its relatives, the effective rate where momentum sums gradients.

    Of other people's classes it is not known what their momentum and betas do.
    """
    if RATE in accepted and "betas" in accepted:
        return {RATE: ADAM_RATES}
    if RATE in accepted and MOMENTUM in accepted:
        return {EFFECTIVE_RATE: _around(accepted[RATE].default / (1 - accepted[MOMENTUM].default))}
    return _space(accepted)


def _around(default: float) -> Log:
    return Log(default / DECADES_EITHER_WAY, default * DECADES_EITHER_WAY)


def class_at(path: str) -> type[Optimizer]:
    """The optimizer class at a dotted path, e.g. `my_package.Lion`; SettingsError says what is not there."""
    module_name, name = split(path)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise _import_failed(path, module_name, error) from error  # the module is there, one that it imports is not
        parent, _, last = error.name.rpartition(".")
        there = pkgutil.iter_modules(getattr(sys.modules.get(parent), "__path__", []))
        near = did_you_mean(last, [each.name for each in there])
        raise SettingsError(
            f"optimizer {path}: there is no module {error.name!r}{near} It must be installed or in the working folder."
        ) from error
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        raise _import_failed(path, module_name, error) from error
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None or inspect.ismodule(found):  # torch.optim.adamw is the module of AdamW
        near = did_you_mean(name, [n for n, value in vars(module).items() if inspect.isclass(value)])
        raise SettingsError(f"optimizer {path}: the module {module_name} has no class {name!r}{near}")
    if inspect.isclass(found) and wraps(found):
        raise SettingsError(f"optimizer {path}: {WRAPPER}.")
    if not inspect.isclass(found) or not issubclass(found, Optimizer) or found is Optimizer:
        raise SettingsError(f"optimizer {path}: is not a class derived from torch.optim.Optimizer.")
    return found


def _import_failed(path: str, module_name: str, error: BaseException) -> SettingsError:
    return SettingsError(f"optimizer {path}: importing {module_name} fails with {type(error).__name__}: {error}.")
