"""List the optimizers that can be named: ours, PyTorch's, and those of the packages that are installed."""

import importlib
import inspect
import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib.util import find_spec

from bench.optimizers import OPTIMIZERS
from bench.optimizers.classes import TORCH_CLASSES, is_optimizer_class
from bench.optimizers.implementation import is_of_torch
from posemodel.errors import SettingsError

OURS, TORCH = "posebench", "torch.optim"
"""Groups of the names that need no package."""
PACKAGES = (
    "pytorch_optimizer",
    "torch_optimizer",
    "schedulefree",
    "lion_pytorch",
    "prodigyopt",
    "dadaptation",
    "adabelief_pytorch",
    "adan_pytorch",
    "ademamix",
    "heavyball",
    "muon",
    "sophia",
    "soap",
    "timm.optim",
    "transformers.optimization",
    "bitsandbytes.optim",
)
"""Packages of optimizers, by the module that has the classes."""


def installed_optimizers(on_broken: Callable[[str], object] | None = None) -> dict[str, list[str]]:
    """Return the names of all optimizers, by group: ours, PyTorch's, and each installed package of `PACKAGES`.

    A package that cannot be imported is left out, and ``on_broken`` called with the reason.
    """
    groups = {OURS: [*OPTIMIZERS], TORCH: sorted(TORCH_CLASSES.keys() - OPTIMIZERS.keys())}
    for module in PACKAGES:
        if not _is_installed(module):
            continue
        try:
            groups[module] = optimizers_in(module)
        except SettingsError as error:
            if on_broken is not None:
                on_broken(str(error))
    return {group: names for group, names in groups.items() if names}


def optimizers_in(module: str) -> list[str]:
    """Return the paths of a module's optimizer classes, without PyTorch's own; SettingsError if it cannot be imported.

    A class under several names is listed once.
    """
    try:
        with redirect_stdout(sys.stderr), warnings.catch_warnings():  # stdout is reserved for JSON
            warnings.simplefilter("ignore")
            content = vars(importlib.import_module(module))
    except (Exception, SystemExit) as error:  # a user's module may raise anything
        raise SettingsError(f"{module}: importing it fails with {type(error).__name__}: {error}.") from error
    names: dict[object, str] = {}
    for name, value in content.items():
        if is_optimizer_class(value) and not is_of_torch(value) and not inspect.isabstract(value):
            names.setdefault(value, name)
    return sorted((f"{module}.{name}" for name in names.values()), key=str.lower)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except Exception:  # a package is imported to look for a module in it, and may raise anything
        return False
