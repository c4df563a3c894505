"""Make entries for optimizer classes outside the registry: PyTorch's by name, any class by its dotted path."""

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from functools import partial
from typing import Any

import torch
from torch.optim import Optimizer

from bench.optimizers.entry import EFFECTIVE_RATE, MOMENTUM, RATE, OptimizerEntry, did_you_mean, hyperparameters_of
from bench.optimizers.implementation import build_fastest, is_of_torch
from bench.optimizers.registry import ADAM_RATES
from bench.optimizers.space import Log, Space
from bench.optimizers.unfit import WRAPPER, wraps
from posemodel.dotted_paths import split_dotted_path
from posemodel.errors import SettingsError

DECADES_EITHER_WAY = 100.0
"""The default range of a learning rate is from the class's default divided by this factor to the default times the
factor."""
RANGE_WITHOUT_DEFAULT = (1e-5, 1.0)
"""The range of a learning rate for classes without a default."""

TORCH_CLASSES: dict[str, type[Optimizer]] = {
    name.lower(): value
    for name, value in vars(torch.optim).items()
    if inspect.isclass(value) and issubclass(value, Optimizer) and value is not Optimizer
}
"""Lower-case name -> class, for all optimizers of `torch.optim`."""


def class_entry(name: str, optimizer_class: type[Optimizer]) -> OptimizerEntry:
    """Make the entry of a class: hyperparameters from its signature, and a learning rate range around its default.

    Raises SettingsError if the arguments of the class cannot be read.
    """
    try:
        accepted = inspect.signature(optimizer_class).parameters
        parameters = _hyperparameters(optimizer_class)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"optimizer {name}: the arguments of the class cannot be read ({error}).") from error
    path = f"{optimizer_class.__module__}.{optimizer_class.__qualname__}"
    if not accepted:
        raise SettingsError(f"optimizer {name}: {path} takes no parameters to optimize.")
    space = _torch_space(parameters) if is_of_torch(optimizer_class) else _space(parameters)
    return OptimizerEntry(name, partial(build_fastest, optimizer_class), space, path, path, parameters)


def _hyperparameters(optimizer_class: type[Optimizer]) -> dict[str, inspect.Parameter]:
    """Return the hyperparameters of a class; `**kwargs` stands for those of the next base class with an `__init__`."""
    parameters: dict[str, inspect.Parameter] = {}
    for kind in optimizer_class.__mro__[: optimizer_class.__mro__.index(Optimizer)]:
        init = vars(kind).get("__init__")
        if init is None:
            continue
        (_, *arguments) = inspect.signature(init).parameters.values()
        parameters = hyperparameters_of(arguments) | parameters
        if all(each.kind is not each.VAR_KEYWORD for each in arguments):
            break
    return parameters


def _space(accepted: Mapping[str, inspect.Parameter]) -> Space:
    if RATE not in accepted:
        return {}
    default = accepted[RATE].default
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


def class_at(path: str) -> type[Optimizer]:
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
    if inspect.isclass(optimizer_class) and wraps(optimizer_class):
        raise SettingsError(f"optimizer {path}: {WRAPPER}.")
    if (
        not inspect.isclass(optimizer_class)
        or not issubclass(optimizer_class, Optimizer)
        or optimizer_class is Optimizer
    ):
        raise SettingsError(f"optimizer {path}: is not a class derived from torch.optim.Optimizer.")
    return optimizer_class


def _import_failed(path: str, module_name: str, error: BaseException) -> SettingsError:
    return SettingsError(f"optimizer {path}: importing {module_name} fails with {type(error).__name__}: {error}.")
