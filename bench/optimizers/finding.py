"""Find optimizers outside the registry: PyTorch's by name, any class by its dotted path, names made of others."""

from bench.optimizers.classes import TORCH_CLASSES, class_at, class_entry
from bench.optimizers.composed import composed_entry
from bench.optimizers.entry import OptimizerEntry, did_you_mean
from bench.optimizers.listing import paths_called
from bench.optimizers.names import parts_of
from bench.optimizers.registry import OPTIMIZERS
from posemodel.dotted_paths import is_dotted_path
from posemodel.errors import SettingsError


def find_entry(name: str) -> OptimizerEntry:
    """Return the entry of an optimizer that is not in the registry; SettingsError if there is none."""
    try:
        parts = parts_of(name)
    except ValueError as error:
        raise SettingsError(f"optimizers: {name!r}: {error}.") from error
    if parts is not None:
        return composed_entry(name, parts)
    if is_dotted_path(name):
        return class_entry(name, class_at(name))
    if name.lower() in TORCH_CLASSES:
        return class_entry(name, TORCH_CLASSES[name.lower()])
    if paths := paths_called(name):
        raise SettingsError(
            f"optimizers: {name!r} is the name of {'a class' if len(paths) == 1 else 'classes'} of installed packages; "
            f"give the path: {' or '.join(paths)}."
        )
    names = list(dict.fromkeys((*OPTIMIZERS, *sorted(TORCH_CLASSES))))
    raise SettingsError(
        f"optimizers: no optimizer is called {name!r}{did_you_mean(name, names)} There are: "
        f"{', '.join(names)}; and any class by its path, my_package.Lion or my_package:Lion."
    )
