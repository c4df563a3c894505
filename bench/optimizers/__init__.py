"""The optimizers by name: the registry's, every class of `torch.optim`, any class by its dotted path.

In: a name; out: an entry with its hyperparameters, space and factory. Never trains.
"""

from bench.optimizers.entry import OptimizerEntry, did_you_mean
from bench.optimizers.registry import OPTIMIZERS
from bench.settings.dotted import is_path, with_dots
from posemodel.errors import SettingsError

__all__ = ["OPTIMIZERS", "OptimizerEntry", "optimizer_entry"]


def optimizer_entry(name: str) -> OptimizerEntry:
    """The entry of a name: of the registry or of `torch.optim` (in any case), or a class by its path:
    `my_package.Lion` or `my_package:Lion`.

    Raises SettingsError, which names the nearest or says why the class cannot be imported.
    """
    name = with_dots(name)
    known = OPTIMIZERS.get(name) or OPTIMIZERS.get(name.lower())
    if known is not None:
        return known
    from bench.optimizers.classes import TORCH_CLASSES, class_at, class_entry  # PyTorch: the registry's cost no import

    if is_path(name):
        return class_entry(name, class_at(name))
    if name.lower() in TORCH_CLASSES:
        return class_entry(name, TORCH_CLASSES[name.lower()])
    names = list(dict.fromkeys((*OPTIMIZERS, *sorted(TORCH_CLASSES))))
    raise SettingsError(
        f"optimizers: no optimizer is called {name!r}{did_you_mean(name, names)} There are: "
        f"{', '.join(names)}; and any class by its path, my_package.Lion or my_package:Lion."
    )
