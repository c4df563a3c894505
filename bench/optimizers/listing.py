"""Choose, of the optimizers that can be named, those that a filter means: part of a name, a module, or one name."""

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib.util import find_spec
from pkgutil import iter_modules

from bench.optimizers.classes import TORCH_CLASSES
from bench.optimizers.entry import did_you_mean
from bench.optimizers.installed import OURS, TORCH, installed_optimizers, optimizers_in
from bench.optimizers.names import parts_of
from bench.optimizers.registry import OPTIMIZERS
from posemodel.dotted_paths import is_dotted_path, split_dotted_path, with_dots
from posemodel.errors import SettingsError

EXTRA = "optimizers"
"""Extra of this package that installs `EXTRA_PACKAGES`."""
EXTRA_PACKAGES = ("pytorch_optimizer", "schedulefree", "lion_pytorch", "prodigyopt")
"""Modules of the packages of optimizers that the extra installs."""
COMPOSED = "composed"
"""Group of names that are made of others: a wrapper over an optimizer, a pair."""


def listed_optimizers(
    text: str | None = None, on_broken: Callable[[str], object] | None = None
) -> dict[str, list[str]]:
    """Return the names of optimizers by group: all (None), or those that a filter means.

    Args:
        text: Part of a name or of a group's, in upper or lower case; a module or package, also of the working folder,
            whose classes are added (the standard library is not looked at); the path of one class; or a name made of
            others, `muon+adamw`.
        on_broken: Called with a sentence for each known package that is installed and cannot be imported.

    Raises SettingsError if nothing is meant, or a module that is meant cannot be imported.
    """
    groups = installed_optimizers(on_broken)
    if text is None:
        return groups
    text = with_dots(text.strip())
    part = text.lower()
    meant = {
        group: [name for name in names if part in name.lower() or part in group.lower()]
        for group, names in groups.items()
    }
    meant = {group: names for group, names in meant.items() if names}
    if text not in groups and _is_module(text):
        listed = {name for names in meant.values() for name in names}
        more = [name for name in optimizers_in(text) if name not in listed]
        if not more and not meant:
            raise SettingsError(f"{text}: the module has no class that is an optimizer.")
        meant |= {text: more} if more else {}
    if not meant and _is_one_name(text):
        meant = {group_of(text): [text]}
    if not meant:
        everything = [name for names in groups.values() for name in names]
        near = did_you_mean(text, [*everything, *(name.rpartition(".")[2] for name in everything), *_modules_here()])
        raise SettingsError(
            f"optimizers: no name contains {text!r}, and there is no module of that name, installed or in the working "
            f"folder{near}"
        )
    return meant


def group_of(name: str) -> str:
    """Return the group of an optimizer by its name: ours, PyTorch's, or the package of its class."""
    if is_dotted_path(name):
        return name.partition(".")[0]
    if name.lower() in OPTIMIZERS:
        return OURS
    return TORCH if name.lower() in TORCH_CLASSES else COMPOSED


def missing_packages() -> list[str]:
    """Return the modules of `EXTRA_PACKAGES` that are not installed."""
    return [module for module in EXTRA_PACKAGES if not _is_module(module)]


def paths_called(class_name: str) -> list[str]:
    """Return the paths of the classes of installed packages that have this name, in upper or lower case."""
    return [
        path
        for names in installed_optimizers().values()
        for path in names
        if path.rpartition(".")[2].lower() == class_name.lower() and is_dotted_path(path)
    ]


def _is_module(path: str) -> bool:
    if not all(part.isidentifier() for part in path.split(".")) or path.partition(".")[0] in sys.stdlib_module_names:
        return False
    try:
        with redirect_stdout(sys.stderr):  # a package is imported to look for a module in it
            return find_spec(path) is not None
    except ModuleNotFoundError:
        return False
    except (Exception, SystemExit) as error:  # a user's package may raise anything
        raise SettingsError(f"{path}: importing it fails with {type(error).__name__}: {error}.") from error


def _is_one_name(text: str) -> bool:
    """Return whether a text is a name of its own, whose parts may be wrong: then its check says what is."""
    try:
        if parts_of(text) is not None:
            return True
    except ValueError as error:
        raise SettingsError(f"optimizers: {text!r}: {error}.") from error
    return is_dotted_path(text) and _is_module(split_dotted_path(text)[0])


def _modules_here() -> list[str]:
    return [module.name for module in iter_modules([""])]
